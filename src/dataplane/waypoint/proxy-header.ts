/** Who the client is, in front of a connection to an endpoint that wants to know: DestinationRule `proxyProtocol`. */
import { encodeProxyHeader, encodeProxyLine, parseIp } from '../../protocol/index.ts';
import type { Client } from './client.ts';

/** The destination is the service's address, where it has one: what the client connected to. */
export function proxyHeader(version: 1 | 2, { ip, address, service, port }: Client, endpointIp: string): Uint8Array {
  const vip = service?.vips.find((candidate) => parseIp(candidate.address) !== undefined)?.address;
  const header = {
    source: { address: ip, port: Number(address.slice(address.lastIndexOf(':') + 1)) },
    destination: { address: vip ?? endpointIp, port },
  };
  return version === 1 ? encodeProxyLine(header) : encodeProxyHeader(header);
}
