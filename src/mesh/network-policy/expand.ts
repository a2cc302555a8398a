/**
 * NetworkPolicies as plain Authorizations, for a node proxy that knows nothing else (a real ztunnel). What no rule allows is denied: not(r1 or r2 ...) is a
 * conjunction of clauses, each of which holds when one rule does not apply, because the peer is not among its peers or the port not among its ports (ambient
 * contract 3.2). Groups become the addresses their pods have now, named ports the numbers of each destination.
 */
import { principalOf } from '../identity.ts';
import { cidrContains } from '../ip.ts';
import { NEVER } from '../match.ts';
import type { Authorization, Cidr, Clause, Identity, Match } from '../model.ts';
import { hostCidr, rangesOf } from './cidr-set.ts';
import { egressAuthorizationName, ingressAuthorizationName } from './expanded-name.ts';
import type { NetworkFacts, NetworkPeer, NetworkPort, NetworkRule } from './model.ts';

export interface ExpandedPod {
  readonly namespace: string;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly facts: NetworkFacts;
}

/** A waypoint that has decided already for what comes from it. */
export interface DecidingWaypoint {
  readonly addresses: readonly string[];
  readonly identity: Identity;
}

/** Which pods are in a group; and all there are, for named ports. */
export interface PodLookup {
  members(group: string): readonly ExpandedPod[];
  all(): Iterable<ExpandedPod>;
}

const HIGHEST_PORT = 65_535;
const LOOPBACK: readonly Cidr[] = [
  { address: '127.0.0.0', length: 8 },
  { address: '::1', length: 128 },
];

const match = (over: Partial<Match>): Match => ({ ...NEVER, ...over });

/** Undefined: all ports. */
const portsOf = (ports: readonly NetworkPort[], named: ReadonlyMap<string, number>): Set<number> | undefined => {
  if (ports.length === 0) return undefined;
  const numbers = new Set<number>();
  for (const port of ports) {
    if (port.kind === 'range') for (let number = port.first; number <= port.last; number++) numbers.add(number);
    else {
      const number = named.get(port.name);
      if (number !== undefined) numbers.add(number);
    }
  }
  return numbers.size === HIGHEST_PORT ? undefined : numbers;
};

/** Not one of these ports; listed by whichever of the two lists is shorter. */
const notPorts = (numbers: ReadonlySet<number>): Match => {
  if (numbers.size <= HIGHEST_PORT / 2) return match({ notDestinationPorts: [...numbers].sort((a, b) => a - b) });
  const others: number[] = [];
  // Port 0 is none, but a connection that claimed it would be on neither list.
  for (let number = 0; number <= HIGHEST_PORT; number++) if (!numbers.has(number)) others.push(number);
  return match({ destinationPorts: others });
};

/** Undefined: everybody. */
const rangesOfPeers = (peers: readonly NetworkPeer[], pods: PodLookup): Cidr[] | undefined => {
  if (peers.length === 0) return undefined;
  const ranges = new Map<string, Cidr>();
  const add = (cidr: Cidr) => void ranges.set(`${cidr.address}/${cidr.length}`, cidr);
  for (const peer of peers) {
    if (peer.kind === 'block') rangesOf(peer.block).forEach(add);
    else for (const { addresses } of pods.members(peer.group)) addresses.map(hostCidr).forEach(add);
  }
  return [...ranges.keys()].sort().map((key) => ranges.get(key)!);
};

/** Holds where the rule does not apply. Undefined: it always applies; 'always': it never does. */
const unless = (
  ranges: readonly Cidr[] | undefined,
  ports: ReadonlySet<number> | undefined,
  side: 'source' | 'destination',
): Clause | undefined | 'always' => {
  if (ranges?.length === 0 || ports?.size === 0) return 'always';
  const matches: Match[] = [];
  if (ranges !== undefined) matches.push(match(side === 'source' ? { notSourceIps: ranges } : { notDestinationIps: ranges }));
  if (ports !== undefined) matches.push(notPorts(ports));
  return matches.length === 0 ? undefined : { matches };
};

/** All of the rules' clauses; undefined when one rule allows everything. */
const clausesOf = (clauses: readonly (Clause | undefined | 'always')[]): Clause[] | undefined =>
  clauses.includes(undefined) ? undefined : clauses.filter((clause): clause is Clause => clause !== undefined && clause !== 'always');

const own = ({ addresses, facts }: ExpandedPod): Cidr[] => [...[...addresses, ...facts.nodeAddresses].map(hostCidr), ...LOOPBACK];

/** What the ingress rules do not allow, for this pod; undefined when they allow everything. `waypoints` are those of the pod that decide themselves. */
export const expandIngress = (
  pod: ExpandedPod,
  rules: readonly NetworkRule[],
  waypoints: readonly DecidingWaypoint[],
  pods: PodLookup,
): Authorization | undefined => {
  const clauses = clausesOf([
    unless(own(pod), undefined, 'source'),
    ...rules.map(({ peers, ports }) => unless(rangesOfPeers(peers, pods), portsOf(ports, pod.facts.ports), 'source')),
  ]);
  if (clauses === undefined) return undefined;
  const decided = waypoints.map(
    ({ addresses, identity }): Clause => ({
      matches: [
        match({ notSourceIps: addresses.map(hostCidr) }),
        match({ notPrincipals: [{ kind: 'exact', value: principalOf(identity) }] }),
      ],
    }),
  );
  return {
    name: ingressAuthorizationName(pod.name),
    namespace: pod.namespace,
    scope: 'WORKLOAD_SELECTOR',
    action: 'DENY',
    rules: [{ clauses: [...clauses, ...decided] }],
    dryRun: false,
  };
};

/** What the egress rules of this pod do not allow, for every destination; undefined when they allow everything. */
export const expandEgress = (pod: ExpandedPod, rules: readonly NetworkRule[], pods: PodLookup): Authorization | undefined => {
  const clauses = clausesOf([
    unless(own(pod), undefined, 'destination'),
    ...rules.flatMap(({ peers, ports }) => {
      const ranges = rangesOfPeers(peers, pods);
      const numbered = ports.filter(({ kind }) => kind === 'range');
      const names = ports.flatMap((port) => (port.kind === 'name' ? [port.name] : []));
      const named = names.flatMap((name) =>
        [...byNumber(name, ranges, pods)].map(([number, found]) => unless(found, new Set([number]), 'destination')),
      );
      // A rule of nothing but named ports has no numbers for those who declare none.
      return names.length > 0 && numbered.length === 0 ? named : [unless(ranges, portsOf(numbered, new Map()), 'destination'), ...named];
    }),
  ]);
  if (clauses === undefined) return undefined;
  return {
    name: egressAuthorizationName(pod.name),
    namespace: pod.namespace,
    scope: 'GLOBAL',
    action: 'DENY',
    rules: [{ clauses: [{ matches: [match({ sourceIps: pod.addresses.map(hostCidr) })] }, ...clauses] }],
    dryRun: false,
  };
};

/** The addresses within the ranges whose pod calls a port by this name, by its number. */
const byNumber = (name: string, ranges: readonly Cidr[] | undefined, pods: PodLookup): Map<number, Cidr[]> => {
  const found = new Map<number, Cidr[]>();
  for (const { addresses, facts } of pods.all()) {
    const number = facts.ports.get(name);
    if (number === undefined) continue;
    const inside = addresses.filter((address) => ranges?.some((range) => cidrContains(range, address)) ?? true);
    if (inside.length > 0) found.set(number, [...(found.get(number) ?? []), ...inside.map(hostCidr)]);
  }
  return found;
};
