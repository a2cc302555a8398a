/** The agent's environment variables; names as istio-cni's where it has one. */
import { DEFAULT_EXCLUDED_NAMESPACES } from '../mesh/index.ts';
import { DEFAULT_DRAIN_LIMIT_MS } from './drain.ts';
import type { RuleDefaults } from './pod-view.ts';
import type { ProbeRuleOptions } from './probe-rules.ts';
import { PROBE_SNAT_IPV4, PROBE_SNAT_IPV6 } from './rules.ts';

export interface AgentConfig {
  /** `NODE_NAME`, required: whose pods these are. */
  readonly node: string;
  /** `NODE_AGENT_PORT`: health and metrics. */
  readonly port: number;
  /** `ZTUNNEL_UDS_ADDRESS` */
  readonly zdsPath: string;
  /** `CNI_AGENT_RUN_DIR` + `/pluginevent.sock` */
  readonly pluginPath: string;
  /** `EXCLUDE_NAMESPACES`, comma-separated. */
  readonly excludedNamespaces: readonly string[];
  /** `AMBIENT_DNS_CAPTURE`, `HOST_PROBE_SNAT_IP`, `HOST_PROBE_SNAT_IPV6` */
  readonly rules: RuleDefaults;
  /** The same addresses and `KUBELET_UID`. */
  readonly probes: ProbeRuleOptions;
  /** `DRAIN_LIMIT_SECONDS` */
  readonly drainLimitMs: number;
}

/** The configuration, or every variable that is wrong. */
export function readConfig(
  env: NodeJS.ProcessEnv,
): { readonly ok: true; readonly value: AgentConfig } | { readonly ok: false; readonly error: readonly string[] } {
  const problems: string[] = [];
  const number = (name: string, fallback: number, max: number): number => {
    const text = env[name];
    if (text === undefined || text === '') return fallback;
    const value = Number(text);
    if (Number.isInteger(value) && value >= 0 && value <= max) return value;
    problems.push(`${name}="${text}" is not a whole number from 0 to ${max}`);
    return fallback;
  };
  const address = (name: string, fallback: string, pattern: RegExp): string => {
    const text = env[name] || fallback;
    if (!pattern.test(text)) problems.push(`${name}="${text}" is not an IP address of that family`);
    return text;
  };
  const excluded = env['EXCLUDE_NAMESPACES'];
  const node = env['NODE_NAME'] ?? '';
  if (node === '') problems.push('NODE_NAME is not set; set it to the name of the node (downward API: spec.nodeName)');
  const probeIpv4 = address('HOST_PROBE_SNAT_IP', PROBE_SNAT_IPV4, /^\d{1,3}(\.\d{1,3}){3}$/);
  const probeIpv6 = address('HOST_PROBE_SNAT_IPV6', PROBE_SNAT_IPV6, /^[0-9a-fA-F:]*:[0-9a-fA-F:.]*$/);
  const value: AgentConfig = {
    node,
    port: number('NODE_AGENT_PORT', 15023, 65535),
    zdsPath: env['ZTUNNEL_UDS_ADDRESS'] || '/var/run/ztunnel/ztunnel.sock',
    pluginPath: `${env['CNI_AGENT_RUN_DIR'] || '/var/run/istio-cni'}/pluginevent.sock`,
    excludedNamespaces: excluded === undefined ? DEFAULT_EXCLUDED_NAMESPACES : excluded.split(',').map((name) => name.trim()),
    rules: { probeIpv4, probeIpv6, captureDns: env['AMBIENT_DNS_CAPTURE'] === 'true' },
    probes: { ipv4: probeIpv4, ipv6: probeIpv6, kubeletUid: number('KUBELET_UID', 0, 0xffff_fffe) },
    drainLimitMs: number('DRAIN_LIMIT_SECONDS', DEFAULT_DRAIN_LIMIT_MS / 1000, 86_400) * 1000,
  };
  return problems.length > 0 ? { ok: false, error: problems } : { ok: true, value };
}
