/**
 * Whether NetworkPolicies allow a connection: the egress rules of its source and the ingress rules of its destination, on the addresses and the port behind
 * all tunnels and services. Semantics of `networking.k8s.io/v1`.
 */
import { isLoopback, parseIp } from '../ip.ts';
import type { Workload } from '../model.ts';
import type { Trace } from '../trace.ts';
import type { NetworkDirection } from './model.ts';
import type { Isolation, NetworkPolicyTable } from './table.ts';

/** One end of a connection. Without a workload it is known by its address only, and no selector means it. */
export interface NetworkEnd {
  /** Canonical text. */
  readonly ip: string;
  readonly workload?: Workload | undefined;
}

export interface NetworkFlow {
  readonly source: NetworkEnd;
  readonly destination: NetworkEnd;
  /** Of the destination pod. */
  readonly port: number;
}

export type NetworkDecision =
  | { readonly allowed: true }
  /** `policies`: keys of those that constrain this direction, none of which allows it. */
  | { readonly allowed: false; readonly direction: NetworkDirection; readonly policies: readonly string[] };

const RULE = 'networkpolicy';
export const NETWORK_ALLOWED: NetworkDecision = { allowed: true };

/** `trace` collects why. Egress is looked at first, as the packet would meet it. */
export const decideNetwork = (table: NetworkPolicyTable, flow: NetworkFlow, trace?: Trace): NetworkDecision => {
  if (table.size === 0) {
    trace?.push({ rule: RULE, text: 'there are no NetworkPolicies: allowed' });
    return NETWORK_ALLOWED;
  }
  const egress = decideEgress(table, flow, trace);
  return egress.allowed ? decideIngress(table, flow, trace) : egress;
};

export const decideEgress = (table: NetworkPolicyTable, { source, destination, port }: NetworkFlow, trace?: Trace): NetworkDecision => {
  const isolation = table.isolationOf(source.workload?.networkPolicy).egress;
  return decide('egress', isolation, source, destination, destination, port, trace);
};

export const decideIngress = (table: NetworkPolicyTable, { source, destination, port }: NetworkFlow, trace?: Trace): NetworkDecision => {
  const isolation = table.isolationOf(destination.workload?.networkPolicy).ingress;
  return decide('ingress', isolation, destination, source, destination, port, trace);
};

/** `own` is the pod that is constrained, `peer` the other end. */
const decide = (
  direction: NetworkDirection,
  isolation: Isolation | undefined,
  own: NetworkEnd,
  peer: NetworkEnd,
  destination: NetworkEnd,
  port: number,
  trace: Trace | undefined,
): NetworkDecision => {
  if (isolation === undefined) {
    trace?.push({ rule: RULE, text: `no NetworkPolicy constrains ${direction} of ${nameOf(own)}: allowed` });
    return NETWORK_ALLOWED;
  }
  // A pod can neither cut itself off from itself nor from its node.
  if (isSame(own, peer)) {
    trace?.push({ rule: RULE, text: `${nameOf(own)} with itself: ${direction} always allowed` });
    return NETWORK_ALLOWED;
  }
  if (own.workload?.networkPolicy?.nodeAddresses.includes(peer.ip)) {
    trace?.push({ rule: RULE, text: `${peer.ip} is the node of ${nameOf(own)}: ${direction} always allowed` });
    return NETWORK_ALLOWED;
  }
  const facts = peer.workload?.networkPolicy;
  const ip = parseIp(peer.ip);
  const ports = destination.workload?.networkPolicy?.ports;
  for (const [i, rules] of isolation.rules.entries()) {
    const isAllowed = rules.allow(facts, ip, port, ports);
    trace?.push({ rule: RULE, text: `${direction} rules of ${isolation.policies[i]}: ${isAllowed ? 'allow it' : 'do not allow it'}` });
    if (isAllowed) return NETWORK_ALLOWED;
  }
  return { allowed: false, direction, policies: isolation.policies };
};

const isSame = (a: NetworkEnd, b: NetworkEnd): boolean =>
  a.ip === b.ip || isLoopback(b.ip) || (a.workload !== undefined && a.workload.uid === b.workload?.uid);

const nameOf = ({ ip, workload }: NetworkEnd): string => (workload === undefined ? ip : `${workload.namespace}/${workload.name}`);

/** Keys named in a message before "and N more". */
const NAMES_LIMIT = 5;

/** `NetworkPolicy ingress: not allowed by shop/a, shop/b`; empty when it is allowed. */
export const networkRefusal = (decision: NetworkDecision): string => {
  if (decision.allowed) return '';
  const { direction, policies } = decision;
  const more = policies.length > NAMES_LIMIT ? ` and ${policies.length - NAMES_LIMIT} more` : '';
  return `NetworkPolicy ${direction}: not allowed by ${policies.slice(0, NAMES_LIMIT).join(', ')}${more}`;
};
