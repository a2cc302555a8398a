import type { PeerAuthentication } from '../../platform/kubernetes/index.ts';
import type { Authorization, Match, Rule } from '../wire.ts';

/** Whether plain text is refused. UNSET inherits; DISABLE cannot be told from PERMISSIVE here (3.6). */
type Mode = 'STRICT' | 'PERMISSIVE' | 'UNSET';

const EMPTY_MATCH: Match = {
  namespaces: [],
  notNamespaces: [],
  principals: [],
  notPrincipals: [],
  sourceIps: [],
  notSourceIps: [],
  destinationIps: [],
  notDestinationIps: [],
  destinationPorts: [],
  notDestinationPorts: [],
  serviceAccounts: [],
  notServiceAccounts: [],
};
const PLAIN_TEXT: Match = { ...EMPTY_MATCH, notPrincipals: [{ kind: 'presence' }] };

export const STATIC_STRICT = 'istio_converted_static_strict';

/** Always offered; attached by key to every workload whose effective mode is STRICT. */
export const staticStrictPolicy = (rootNamespace: string): Authorization => ({
  name: STATIC_STRICT,
  namespace: rootNamespace,
  scope: 'WORKLOAD_SELECTOR',
  action: 'DENY',
  rules: [{ clauses: [{ matches: [PLAIN_TEXT] }] }],
  dryRun: false,
});

export const convertedName = (policy: PeerAuthentication): string => `converted_peer_authentication_${policy.metadata.name}`;
export const convertedKey = (policy: PeerAuthentication): string => `${policy.metadata.namespace}/${convertedName(policy)}`;

export type PeerScope = 'mesh' | 'namespace' | 'workload';

/** Undefined for a selector in the root namespace's own workloads is still `workload`; port levels are ignored there. */
export const peerScope = (policy: PeerAuthentication, rootNamespace: string): PeerScope =>
  selectorOf(policy) !== undefined ? 'workload' : policy.metadata.namespace === rootNamespace ? 'mesh' : 'namespace';

export function selectorOf(policy: PeerAuthentication): Readonly<Record<string, string>> | undefined {
  const labels = policy.spec?.selector?.matchLabels;
  return labels !== undefined && Object.keys(labels).length > 0 ? labels : undefined;
}

function modeOf(mtls: { readonly mode?: string } | undefined): Mode {
  if (mtls?.mode === 'STRICT') return 'STRICT';
  return mtls?.mode === 'PERMISSIVE' || mtls?.mode === 'DISABLE' ? 'PERMISSIVE' : 'UNSET';
}

/** Older first; the name decides between those of the same second. */
export function byAge(a: PeerAuthentication, b: PeerAuthentication): number {
  const [x, y] = [a, b].map((policy) => `${policy.metadata.creationTimestamp ?? ''} ${policy.metadata.name ?? ''}`) as [string, string];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** The mode that holds in a namespace without regard to workloads. */
export function baseMode(mesh: PeerAuthentication | undefined, namespace: PeerAuthentication | undefined): 'STRICT' | 'PERMISSIVE' {
  let mode: 'STRICT' | 'PERMISSIVE' = 'PERMISSIVE';
  for (const policy of [mesh, namespace]) {
    const own = modeOf(policy?.spec?.mtls);
    if (own !== 'UNSET') mode = own;
  }
  return mode;
}

/** Port rules of a selector policy as an Authorization (3.6), or undefined when they change nothing. */
export function convertPortLevels(
  policy: PeerAuthentication,
  base: 'STRICT' | 'PERMISSIVE',
  rootNamespace: string,
): Authorization | undefined {
  const namespace = policy.metadata.namespace ?? '';
  if (selectorOf(policy) === undefined || namespace === rootNamespace) return undefined;
  const mode = effective(policy, base);
  const exceptions: number[] = [];
  for (const [port, mtls] of Object.entries(policy.spec?.portLevelMtls ?? {})) {
    const number = Number(port);
    const own = modeOf(mtls);
    if (Number.isInteger(number) && number > 0 && number <= 65_535 && own !== 'UNSET' && own !== mode) exceptions.push(number);
  }
  if (exceptions.length === 0) return undefined;
  exceptions.sort((a, b) => a - b);
  const rules: Rule[] =
    mode === 'STRICT'
      ? [
          {
            clauses: [
              { matches: [PLAIN_TEXT] },
              ...exceptions.map((port) => ({ matches: [{ ...EMPTY_MATCH, notDestinationPorts: [port] }] })),
            ],
          },
        ]
      : exceptions.map((port) => ({ clauses: [{ matches: [{ ...PLAIN_TEXT, destinationPorts: [port] }] }] }));
  return { name: convertedName(policy), namespace, scope: 'WORKLOAD_SELECTOR', action: 'DENY', rules, dryRun: false };
}

const effective = (policy: PeerAuthentication | undefined, base: 'STRICT' | 'PERMISSIVE'): 'STRICT' | 'PERMISSIVE' => {
  const own = modeOf(policy?.spec?.mtls);
  return own === 'UNSET' ? base : own;
};

/** Keys of the policies a workload gets from PeerAuthentication; `policy` is the oldest that selects it. */
export function peerPolicyKeys(policy: PeerAuthentication | undefined, base: 'STRICT' | 'PERMISSIVE', rootNamespace: string): string[] {
  if (policy !== undefined && convertPortLevels(policy, base, rootNamespace) !== undefined) return [convertedKey(policy)];
  return effective(policy, base) === 'STRICT' ? [`${rootNamespace}/${STATIC_STRICT}`] : [];
}
