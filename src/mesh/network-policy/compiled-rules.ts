/** Rules prepared for many connections: addresses as words, one pass without allocation per test. */
import { type CidrTest, cidrTestHolds, compileCidr, type IpWords } from '../ip.ts';
import type { NetworkFacts, NetworkRule } from './model.ts';

interface BlockTest {
  readonly cidr: CidrTest;
  readonly except: readonly CidrTest[];
}

interface RuleTest {
  readonly anyPeer: boolean;
  readonly groups: readonly string[];
  readonly blocks: readonly BlockTest[];
  readonly anyPort: boolean;
  readonly ranges: readonly { readonly first: number; readonly last: number }[];
  readonly names: readonly string[];
}

/** The rules of one direction of one policy. */
export class CompiledRules {
  readonly #rules: readonly RuleTest[];

  constructor(rules: readonly NetworkRule[]) {
    this.#rules = rules.map(compileRule);
  }

  /** Whether one of the rules allows it. `peer` is the other end; `ports` are those of the destination pod. */
  allow(
    peer: NetworkFacts | undefined,
    peerIp: IpWords | undefined,
    port: number,
    ports: ReadonlyMap<string, number> | undefined,
  ): boolean {
    for (const rule of this.#rules) if (isPort(rule, port, ports) && isPeer(rule, peer, peerIp)) return true;
    return false;
  }
}

const compileRule = ({ peers, ports }: NetworkRule): RuleTest => ({
  anyPeer: peers.length === 0,
  groups: peers.flatMap((peer) => (peer.kind === 'group' ? [peer.group] : [])),
  blocks: peers.flatMap((peer): BlockTest[] => {
    if (peer.kind !== 'block') return [];
    const cidr = compileCidr(peer.block.cidr);
    const except = peer.block.except.map(compileCidr);
    // Codecs and compilation let no other through; were one here, its block would allow nothing.
    return cidr === undefined || except.includes(undefined) ? [] : [{ cidr, except: except as CidrTest[] }];
  }),
  anyPort: ports.length === 0,
  ranges: ports.flatMap((port) => (port.kind === 'range' ? [{ first: port.first, last: port.last }] : [])),
  names: ports.flatMap((port) => (port.kind === 'name' ? [port.name] : [])),
});

const isPort = (rule: RuleTest, port: number, named: ReadonlyMap<string, number> | undefined): boolean => {
  if (rule.anyPort) return true;
  for (const { first, last } of rule.ranges) if (port >= first && port <= last) return true;
  for (const name of rule.names) if (named?.get(name) === port) return true;
  return false;
};

const isPeer = (rule: RuleTest, peer: NetworkFacts | undefined, ip: IpWords | undefined): boolean => {
  if (rule.anyPeer) return true;
  if (peer !== undefined) for (const group of rule.groups) if (peer.groups.has(group)) return true;
  if (ip !== undefined) for (const { cidr, except } of rule.blocks) if (cidrTestHolds(cidr, ip) && !isExcept(except, ip)) return true;
  return false;
};

const isExcept = (except: readonly CidrTest[], ip: IpWords): boolean => {
  for (const test of except) if (cidrTestHolds(test, ip)) return true;
  return false;
};
