/** NetworkPolicies and what workloads are to them, from the wire. A resource that is not understood is refused as a whole. */
import {
  decodeMessage,
  NetworkPolicyTable as NetworkPolicyMessageTable,
  type Plain,
  WorkloadNetworkPolicyTable,
} from '../../protocol/index.ts';
import type {
  NetworkPolicyDirection as DirectionMessage,
  NetworkPolicyPeer as PeerMessage,
  NetworkPolicyPort as PortMessage,
  NetworkPolicyRange as RangeMessage,
} from '../../protocol/messages/index.ts';
import { formatIp, ipFromBytes, isPort, makeCidr } from '../ip.ts';
import type { Cidr } from '../model.ts';
import { fail, ok, type Result } from '../result.ts';
import type { NetworkFacts, NetworkPeer, NetworkPolicy, NetworkPort, NetworkRule } from './model.ts';

/** Name of the entry in `Workload.extensions`. */
export const NETWORK_POLICY_EXTENSION = 'lateen.networkpolicy';

class Reader {
  readonly problems: string[] = [];

  cidr({ address, length }: Plain<RangeMessage>, at: string): Cidr {
    const ip = ipFromBytes(address);
    const cidr = ip && makeCidr(ip, length, address.length === 4 ? 4 : 6);
    if (cidr === undefined) this.problems.push(`${at}: not a range of addresses`);
    return cidr ?? { address: '0.0.0.0', length: 32 };
  }

  peer({ group, text, block, except }: Plain<PeerMessage>, at: string): NetworkPeer {
    if (block !== undefined)
      return {
        kind: 'block',
        block: { cidr: this.cidr(block, `${at}.block`), except: except.map((one, i) => this.cidr(one, `${at}.except[${i}]`)) },
        text,
      };
    if (group === '') this.problems.push(`${at}: neither a group nor a block`);
    return { kind: 'group', group, text };
  }

  port({ first, last, name }: Plain<PortMessage>, at: string): NetworkPort {
    if (name !== '') return { kind: 'name', name };
    if (!isPort(first) || !isPort(last) || last < first) this.problems.push(`${at}: ${first} to ${last} are not ports`);
    return { kind: 'range', first, last };
  }

  rules(message: Plain<DirectionMessage> | undefined, at: string): NetworkRule[] | undefined {
    return message?.rules.map(({ peers, ports }, i) => ({
      peers: peers.map((peer, j) => this.peer(peer, `${at}.rules[${i}].peers[${j}]`)),
      ports: ports.map((port, j) => this.port(port, `${at}.rules[${i}].ports[${j}]`)),
    }));
  }
}

/** The problems are the reason part of a NACK. */
export const decodeNetworkPolicy = (bytes: Uint8Array): Result<NetworkPolicy, string[]> => {
  const decoded = decodeMessage(NetworkPolicyMessageTable, bytes);
  if (!decoded.ok) return fail([decoded.error]);
  const { namespace, name, selects, selector, ...directions } = decoded.value;
  const reader = new Reader();
  const ingress = reader.rules(directions.ingress, 'ingress');
  const egress = reader.rules(directions.egress, 'egress');
  for (const [field, value] of Object.entries({ namespace, name, selects }))
    if (value === '') reader.problems.push(`${field}: must not be empty`);
  if (reader.problems.length > 0) return fail(reader.problems);
  return ok({ namespace, name, selects, selector, ...(ingress && { ingress }), ...(egress && { egress }) });
};

/** The same list of groups or ports is the same object: ten thousand pods are in few. */
const NO_PORTS: ReadonlyMap<string, number> = new Map();

/** Undefined when the workload carries nothing of the kind; a problem when it cannot be read. */
export const decodeNetworkFacts = (bytes: Uint8Array): Result<NetworkFacts, string> => {
  const decoded = decodeMessage(WorkloadNetworkPolicyTable, bytes);
  if (!decoded.ok) return decoded;
  const { groups, ports, nodeAddresses, enforces } = decoded.value;
  const addresses: string[] = [];
  for (const [i, address] of nodeAddresses.entries()) {
    const ip = ipFromBytes(address);
    if (ip === undefined) return fail(`node_addresses[${i}]: an address has 4 or 16 bytes, not ${address.length}`);
    addresses.push(formatIp(ip));
  }
  return ok({
    groups: new Set(groups),
    ports: ports.length === 0 ? NO_PORTS : new Map(ports.map(({ name, port }) => [name, port])),
    nodeAddresses: addresses,
    enforces,
  });
};
