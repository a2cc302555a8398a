/** PeerAuthentication → Authorizations: STRICT is a DENY of connections without identity (section 3.6). */
import { parsePort } from './ip.ts';
import { policyKey } from './keys.ts';
import { NEVER } from './match.ts';
import type { Authorization, Match, Rule } from './model.ts';
import { byAge, labelsMatch, type ObjectMeta, selectorLabels, type WorkloadSelector } from './object.ts';

interface MutualTls {
  readonly mode?: string | undefined;
}

export interface PeerAuthenticationObject {
  readonly metadata: ObjectMeta;
  readonly spec?:
    | {
        readonly selector?: WorkloadSelector | undefined;
        readonly mtls?: MutualTls | undefined;
        readonly portLevelMtls?: Readonly<Record<string, MutualTls>> | undefined;
      }
    | undefined;
}

/** What an L4 proxy can enforce: plain text is refused or not. */
export type PeerMode = 'STRICT' | 'PERMISSIVE';

const PLAIN_TEXT: Match = { ...NEVER, notPrincipals: [{ kind: 'presence' }] };
export const STATIC_STRICT_NAME = 'istio_converted_static_strict';

/** Always offered; listed by every workload whose effective mode is STRICT on all ports. */
export const staticStrictPolicy = (rootNamespace: string): Authorization => ({
  name: STATIC_STRICT_NAME,
  namespace: rootNamespace,
  scope: 'WORKLOAD_SELECTOR',
  action: 'DENY',
  rules: [{ clauses: [{ matches: [PLAIN_TEXT] }] }],
  dryRun: false,
});

/** Undefined inherits. DISABLE cannot be told from PERMISSIVE here; a mode nobody knows is the strict one. */
const modeOf = (mtls: MutualTls | undefined): PeerMode | undefined => {
  const mode = mtls?.mode ?? 'UNSET';
  if (mode === 'UNSET') return undefined;
  return mode === 'PERMISSIVE' || mode === 'DISABLE' ? 'PERMISSIVE' : 'STRICT';
};

/**
 * The port rules of a selector policy whose workloads otherwise inherit `inherited`; undefined when the ports change nothing. It stands
 * alone: with base STRICT it contains the strict clause, so that the static policy must not be attached beside it.
 */
export const convertPeerAuthentication = (
  { metadata, spec }: PeerAuthenticationObject,
  inherited: PeerMode,
  rootNamespace: string,
): Authorization | undefined => {
  if (selectorLabels(spec?.selector) === undefined || metadata.namespace === rootNamespace) return undefined;
  const base = modeOf(spec?.mtls) ?? inherited;
  const exceptions = Object.entries(spec?.portLevelMtls ?? {})
    .flatMap(([text, mtls]) => {
      const port = parsePort(text);
      const mode = modeOf(mtls) ?? base;
      return port === undefined || mode === base ? [] : [port];
    })
    .sort((a, b) => a - b);
  if (exceptions.length === 0) return undefined;
  const rules: Rule[] =
    base === 'STRICT'
      ? // One rule whose clauses must all hold: plain text, and none of the exempt ports.
        [{ clauses: [{ matches: [PLAIN_TEXT] }, ...exceptions.map((port) => ({ matches: [{ ...NEVER, notDestinationPorts: [port] }] }))] }]
      : exceptions.map((port) => ({ clauses: [{ matches: [{ ...PLAIN_TEXT, destinationPorts: [port] }] }] }));
  return {
    name: `converted_peer_authentication_${metadata.name ?? ''}`,
    namespace: metadata.namespace ?? '',
    scope: 'WORKLOAD_SELECTOR',
    action: 'DENY',
    rules,
    dryRun: false,
  };
};

/** What is wrong with a policy, by field path: such parts have no effect. */
export const peerAuthenticationProblems = ({ metadata, spec }: PeerAuthenticationObject, rootNamespace: string): string[] => {
  const problems: string[] = [];
  const known = ['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT'];
  const checkMode = (path: string, mtls: MutualTls | undefined) => {
    if (mtls?.mode !== undefined && !known.includes(mtls.mode))
      problems.push(`${path}.mode: "${mtls.mode}" is unknown and taken as STRICT`);
  };
  checkMode('spec.mtls', spec?.mtls);
  const ports = Object.entries(spec?.portLevelMtls ?? {});
  for (const [text, mtls] of ports) {
    if (parsePort(text) === undefined) problems.push(`spec.portLevelMtls["${text}"]: not a port`);
    checkMode(`spec.portLevelMtls["${text}"]`, mtls);
  }
  if (ports.length > 0 && selectorLabels(spec?.selector) === undefined)
    problems.push('spec.portLevelMtls: ignored, it needs spec.selector');
  else if (ports.length > 0 && metadata.namespace === rootNamespace) problems.push('spec.portLevelMtls: ignored in the root namespace');
  return problems;
};

/** Policies for the same workloads (a whole namespace, or one selector): each that has no effect, with the oldest one, which has. */
export const peerAuthenticationConflicts = <P extends PeerAuthenticationObject>(policies: Iterable<P>): ReadonlyMap<P, P> => {
  const groups = new Map<string, P[]>();
  for (const policy of policies) {
    const selector = Object.entries(selectorLabels(policy.spec?.selector) ?? {}).sort();
    const subject = JSON.stringify([policy.metadata.namespace, selector]);
    const group = groups.get(subject);
    if (group === undefined) groups.set(subject, [policy]);
    else group.push(policy);
  }
  const losers = new Map<P, P>();
  for (const group of groups.values()) {
    const [oldest, ...others] = group.sort(byAge);
    for (const other of others) losers.set(other, oldest!); // a group has at least one
  }
  return losers;
};

export interface EffectivePeerAuthentication {
  /** The mode of ports without an exception. */
  readonly mode: PeerMode;
  /** Keys of the policies the workload must list. */
  readonly keys: readonly string[];
  /** The policies that decided, the workload's own first. */
  readonly decidedBy: readonly PeerAuthenticationObject[];
}

/** The mode every workload of a namespace has unless a selector policy says otherwise: namespace over mesh, the oldest of each. */
export const inheritedPeerMode = (policies: readonly PeerAuthenticationObject[], namespace: string, rootNamespace: string): PeerMode =>
  inherited(policies, namespace, rootNamespace).mode;

const inherited = (policies: readonly PeerAuthenticationObject[], namespace: string, rootNamespace: string) => {
  const wide = policies.filter(({ spec }) => selectorLabels(spec?.selector) === undefined).sort(byAge);
  const own = wide.find(({ metadata }) => metadata.namespace === namespace);
  const mesh = wide.find(({ metadata }) => metadata.namespace === rootNamespace);
  const decidedBy = [...new Set([own, mesh])].filter((policy) => policy !== undefined);
  return { mode: modeOf(own?.spec?.mtls) ?? modeOf(mesh?.spec?.mtls) ?? 'PERMISSIVE', decidedBy };
};

/** Workload selector over namespace over mesh; the oldest policy of a level wins, UNSET inherits. */
export const effectivePeerAuthentication = (
  policies: readonly PeerAuthenticationObject[],
  workload: { readonly namespace: string; readonly labels?: Readonly<Record<string, string>> | undefined },
  rootNamespace: string,
): EffectivePeerAuthentication => {
  const base = inherited(policies, workload.namespace, rootNamespace);
  const own = policies
    .filter(({ metadata, spec }) => {
      const selector = selectorLabels(spec?.selector);
      return metadata.namespace === workload.namespace && selector !== undefined && labelsMatch(selector, workload.labels);
    })
    .sort(byAge)[0];
  const mode = modeOf(own?.spec?.mtls) ?? base.mode;
  const decidedBy = own === undefined ? base.decidedBy : [own, ...base.decidedBy];
  const converted = own && convertPeerAuthentication(own, base.mode, rootNamespace);
  if (converted !== undefined) return { mode, keys: [policyKey(converted)], decidedBy };
  return { mode, keys: mode === 'STRICT' ? [policyKey(staticStrictPolicy(rootNamespace))] : [], decidedBy };
};
