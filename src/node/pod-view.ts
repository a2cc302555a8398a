/** What the agent needs to know about a pod, taken from the Kubernetes object once. */
import type { Pod } from '../platform/kubernetes/index.ts';
import { REDIRECTION } from './annotate.ts';
import { type PodRuleOptions, PROBE_SNAT_IPV4, PROBE_SNAT_IPV6 } from './rules.ts';

export interface PodView {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly ips: readonly string[];
  readonly hostNetwork: boolean;
  /** Succeeded or Failed: its containers are gone. */
  readonly isTerminal: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export function viewPod(pod: Pod): PodView {
  const { metadata, spec, status } = pod;
  const listed = (status?.podIPs ?? []).map(({ ip }) => ip ?? '').filter((ip) => ip !== '');
  const phase = status?.phase;
  return {
    uid: metadata.uid ?? '',
    name: metadata.name ?? '',
    namespace: metadata.namespace ?? '',
    serviceAccount: spec?.serviceAccountName ?? 'default',
    ips: listed.length > 0 ? listed : status?.podIP ? [status.podIP] : [],
    hostNetwork: spec?.hostNetwork ?? false,
    isTerminal: phase === 'Succeeded' || phase === 'Failed',
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
  };
}

/** Drops what {@link viewPod} does not read, before the informer stores it. */
export function slimPod(pod: Pod): Pod {
  const { metadata, spec, status } = pod;
  const { uid, name, namespace, resourceVersion, labels, annotations } = metadata;
  return {
    metadata: {
      ...(uid !== undefined && { uid }),
      ...(name !== undefined && { name }),
      ...(namespace !== undefined && { namespace }),
      ...(resourceVersion !== undefined && { resourceVersion }),
      ...(labels !== undefined && { labels }),
      ...(annotations !== undefined && { annotations }),
    },
    spec: {
      containers: [],
      ...(spec?.serviceAccountName !== undefined && { serviceAccountName: spec.serviceAccountName }),
      ...(spec?.hostNetwork !== undefined && { hostNetwork: spec.hostNetwork }),
    },
    status: {
      ...(status?.phase !== undefined && { phase: status.phase }),
      ...(status?.podIP !== undefined && { podIP: status.podIP }),
      ...(status?.podIPs !== undefined && { podIPs: status.podIPs }),
    },
  };
}

export const redirectionOf = (pod: PodView): string | undefined => pod.annotations[REDIRECTION];

const BYPASS = 'ambient.istio.io/bypass-inbound-capture';
const DNS = 'ambient.istio.io/dns-capture';
const VIRTUAL = 'istio.io/reroute-virtual-interfaces';
const INTERFACE_NAME = /^[A-Za-z0-9_.-]{1,15}$/;

export interface RuleDefaults {
  readonly probeIpv4: string;
  readonly probeIpv6: string;
  /** Whether DNS is captured where a pod's annotation does not say otherwise. */
  readonly captureDns: boolean;
}

export const RULE_DEFAULTS: RuleDefaults = { probeIpv4: PROBE_SNAT_IPV4, probeIpv6: PROBE_SNAT_IPV6, captureDns: false };

/** The pod's rules by its annotations, and what in them cannot be honoured. */
export function ruleOptionsOf(
  pod: PodView,
  defaults: RuleDefaults,
): { readonly options: PodRuleOptions; readonly problems: readonly string[] } {
  const problems: string[] = [];
  const flag = (name: string): boolean | undefined => {
    const text = pod.annotations[name]?.trim().toLowerCase();
    if (text === undefined || text === '') return undefined;
    if (text === 'true' || text === '1') return true;
    if (text === 'false' || text === '0') return false;
    problems.push(`annotation ${name}: "${pod.annotations[name]}" is neither "true" nor "false"; it is ignored`);
    return undefined;
  };
  const virtualInterfaces: string[] = [];
  for (const name of (pod.annotations[VIRTUAL] ?? '').split(',').map((part) => part.trim())) {
    if (name === '') continue;
    if (INTERFACE_NAME.test(name)) virtualInterfaces.push(name);
    else problems.push(`annotation ${VIRTUAL}: "${name}" is not the name of an interface; it is ignored`);
  }
  const bypassInbound = flag(BYPASS) ?? false;
  const captureDns = flag(DNS) ?? defaults.captureDns;
  return {
    options: {
      probeIpv4: defaults.probeIpv4,
      probeIpv6: defaults.probeIpv6,
      bypassInbound,
      captureDns,
      virtualInterfaces,
      draining: false,
    },
    problems,
  };
}
