/** NetworkPolicies and what workloads are to them, to the wire. Equal values give equal bytes. */
import { create, toBinary } from '@bufbuild/protobuf';
import { NetworkPolicyMessageSchema, WorkloadNetworkPolicySchema } from '../../protocol/messages/index.ts';
import { ipToBytes, parseIp } from '../ip.ts';
import type { Cidr } from '../model.ts';
import type { NetworkFacts, NetworkPolicy, NetworkRule } from './model.ts';

const bytesOf = (address: string): Uint8Array => {
  const ip = parseIp(address);
  return ip === undefined ? new Uint8Array(0) : ipToBytes(ip);
};
const rangeMessage = ({ address, length }: Cidr) => ({ address: bytesOf(address), length });

const directionMessage = (rules: readonly NetworkRule[]) => ({
  rules: rules.map(({ peers, ports }) => ({
    peers: peers.map((peer) =>
      peer.kind === 'group'
        ? { group: peer.group, text: peer.text }
        : { text: peer.text, block: rangeMessage(peer.block.cidr), except: peer.block.except.map(rangeMessage) },
    ),
    ports: ports.map((port) => (port.kind === 'range' ? { first: port.first, last: port.last } : { name: port.name })),
  })),
});

/** Bytes of a `lateen.policy.v1.NetworkPolicy`. */
export const encodeNetworkPolicy = ({ ingress, egress, ...named }: NetworkPolicy): Uint8Array =>
  toBinary(
    NetworkPolicyMessageSchema,
    create(NetworkPolicyMessageSchema, {
      ...named,
      ...(ingress && { ingress: directionMessage(ingress) }),
      ...(egress && { egress: directionMessage(egress) }),
    }),
  );

/** Bytes of a `lateen.policy.v1.WorkloadNetworkPolicy`. */
export const encodeNetworkFacts = ({ groups, ports, nodeAddresses, enforces }: NetworkFacts): Uint8Array =>
  toBinary(
    WorkloadNetworkPolicySchema,
    create(WorkloadNetworkPolicySchema, {
      groups: [...groups].sort(),
      ports: [...ports].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, port]) => ({ name, port })),
      nodeAddresses: nodeAddresses.map(bytesOf),
      enforces,
    }),
  );
