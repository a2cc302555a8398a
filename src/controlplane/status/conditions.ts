import type { AuthorizationPolicy, PeerAuthentication, ServiceEntry } from '../../platform/kubernetes/index.ts';
import { entryProblems } from '../compile/service-entry.ts';
import { type ConvertedPolicy, peerAuthenticationProblems, WAYPOINT_BOUND } from '../wire.ts';

/** One proxy's view of one policy. */
export interface ProxyState {
  readonly proxy: string;
  readonly state: 'acknowledged' | 'pending' | 'rejected';
  readonly reason?: string;
}

export interface WantedCondition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
}

/** Names listed in a message before "and N more". */
const NAMES_LIMIT = 5;
const REASON_LIMIT = 300;

const NO_WAYPOINT: WantedCondition = {
  type: 'WaypointAccepted',
  status: 'False',
  reason: 'Unsupported',
  message: 'not enforced: waypoints do not evaluate policies with targetRefs yet, so this one has no effect',
};

/** Conditions of an AuthorizationPolicy: what of it can be enforced, and which proxies have it. */
export function authorizationConditions(compiled: ConvertedPolicy, proxies: readonly ProxyState[]): WantedCondition[] {
  const wanted: WantedCondition[] = [compiled.condition ?? NO_WAYPOINT];
  if (compiled.authorization !== undefined) wanted.push(syncedCondition(proxies));
  return wanted;
}

/** Conditions of a PeerAuthentication; `proxies` only when it became a policy of its own. */
export function peerConditions(
  policy: PeerAuthentication,
  rootNamespace: string,
  proxies: readonly ProxyState[] | undefined,
  older?: PeerAuthentication,
): WantedCondition[] {
  if (older !== undefined) {
    const message = `no effect: ${older.metadata.namespace}/${older.metadata.name} is older and is about the same workloads; delete one of them`;
    return [{ type: 'ZtunnelAccepted', status: 'False', reason: 'Conflicted', message }];
  }
  const problems = peerAuthenticationProblems(policy, rootNamespace);
  const modes = [policy.spec?.mtls?.mode, ...Object.values(policy.spec?.portLevelMtls ?? {}).map((mtls) => mtls?.mode)];
  if (modes.includes('DISABLE')) problems.push('ztunnel treats DISABLE as PERMISSIVE');
  const accepted: WantedCondition =
    problems.length === 0
      ? { type: 'ZtunnelAccepted', status: 'True', reason: 'Accepted', message: 'attached to ztunnel' }
      : { type: 'ZtunnelAccepted', status: 'True', reason: 'UnsupportedValue', message: problems.join('; ') };
  return proxies === undefined ? [accepted] : [accepted, syncedCondition(proxies)];
}

/** Conditions of a ServiceEntry: what of it node proxies cannot do, and what became of its wish for a waypoint. */
export function entryConditions(entry: ServiceEntry, binding: WantedCondition | undefined): WantedCondition[] {
  const problems = entryProblems(entry);
  const accepted = { type: 'ZtunnelAccepted', status: 'True' } as const;
  return [
    problems.length === 0
      ? { ...accepted, reason: 'Accepted', message: 'known to node proxies' }
      : { ...accepted, reason: 'UnsupportedValue', message: problems.join('; ') },
    ...(binding === undefined ? [] : [binding]),
  ];
}

/** Which proxies have the object's current content. */
export function syncedCondition(proxies: readonly ProxyState[]): WantedCondition {
  const type = 'ZtunnelSynced';
  const rejected = proxies.filter((proxy) => proxy.state === 'rejected');
  if (rejected.length > 0) {
    const shown = rejected.slice(0, NAMES_LIMIT).map((proxy) => `${proxy.proxy}: ${(proxy.reason ?? '').slice(0, REASON_LIMIT)}`);
    return {
      type,
      status: 'False',
      reason: 'Rejected',
      message: `rejected by ${rejected.length} of ${proxies.length} ztunnels (${shown.join('; ')}${more(rejected.length)})`,
    };
  }
  const pending = proxies.filter((proxy) => proxy.state === 'pending');
  if (pending.length > 0) {
    const names = pending.slice(0, NAMES_LIMIT).map((proxy) => proxy.proxy);
    return {
      type,
      status: 'False',
      reason: 'Pending',
      message: `waiting for ${pending.length} of ${proxies.length} ztunnels (${names.join(', ')}${more(pending.length)})`,
    };
  }
  if (proxies.length === 0) return { type, status: 'Unknown', reason: 'NoProxies', message: 'no ztunnel is connected' };
  const names = proxies.slice(0, NAMES_LIMIT).map((proxy) => proxy.proxy);
  return {
    type,
    status: 'True',
    reason: 'Acknowledged',
    message: `acknowledged by ${proxies.length} of ${proxies.length} ztunnels (${names.join(', ')}${more(proxies.length)})`,
  };
}

const more = (count: number): string => (count > NAMES_LIMIT ? ` and ${count - NAMES_LIMIT} more` : '');

type Conditions = NonNullable<NonNullable<AuthorizationPolicy['status']>['conditions']>;

/** Our condition types; everybody else's stay as they are. */
const OWNED = new Set(['ZtunnelAccepted', 'ZtunnelSynced', 'WaypointAccepted', 'WaypointSynced', WAYPOINT_BOUND]);

/** The whole new condition list, or undefined when the object already says so. */
export function mergeConditions(
  current: Conditions | undefined,
  wanted: readonly WantedCondition[],
  generation: number | undefined,
  now: string,
): Conditions | undefined {
  const before = current ?? [];
  const foreign = before.filter((condition) => !OWNED.has(condition.type));
  const ours = wanted.map((condition) => {
    const old = before.find((candidate) => candidate.type === condition.type);
    return {
      ...condition,
      ...(generation !== undefined && { observedGeneration: generation }),
      lastTransitionTime: old?.status === condition.status && old.lastTransitionTime !== undefined ? old.lastTransitionTime : now,
    };
  });
  const merged = [...foreign, ...ours];
  return Bun.deepEquals(merged, before) ? undefined : merged;
}
