import { formatIp, parseIp } from './ip.ts';

/** An address as the PROXY protocol carries it. */
export interface ProxyEndpoint {
  readonly address: string;
  readonly port: number;
}

export interface ProxyHeader {
  /** The tunnel's TCP peer. */
  readonly source: ProxyEndpoint;
  /** What the client asked for. */
  readonly destination: ProxyEndpoint;
  /** The SPIFFE URI of the client, when mutual TLS proved one. */
  readonly identity?: string;
}

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
const VERSION_2_PROXY = 0x21;
const STREAM_IPV4 = 0x11;
const STREAM_IPV6 = 0x21;
const HEAD = 16;
/** TLV type of the peer's identity (ambient-wire 1.7). */
const TLV_IDENTITY = 0xd0;

/**
 * A PROXY protocol v2 header, command PROXY, stream. When only one side is IPv6 the other is written IPv4-mapped.
 * Throws a TypeError for an address that is not one: the caller resolved it before.
 */
export function encodeProxyHeader(header: ProxyHeader): Uint8Array {
  let source = octetsOf(header.source);
  let destination = octetsOf(header.destination);
  const isIpv4 = source.length === 4 && destination.length === 4;
  if (!isIpv4) {
    source = mapped(source);
    destination = mapped(destination);
  }
  const identity = header.identity === undefined ? undefined : new TextEncoder().encode(header.identity);
  const addresses = source.length * 2 + 4;
  const length = addresses + (identity === undefined ? 0 : 3 + identity.length);
  const bytes = new Uint8Array(HEAD + length);
  const view = new DataView(bytes.buffer);
  bytes.set(SIGNATURE);
  bytes[12] = VERSION_2_PROXY;
  bytes[13] = isIpv4 ? STREAM_IPV4 : STREAM_IPV6;
  view.setUint16(14, length);
  bytes.set(source, HEAD);
  bytes.set(destination, HEAD + source.length);
  view.setUint16(HEAD + source.length * 2, header.source.port);
  view.setUint16(HEAD + source.length * 2 + 2, header.destination.port);
  if (identity !== undefined) {
    bytes[HEAD + addresses] = TLV_IDENTITY;
    view.setUint16(HEAD + addresses + 1, identity.length);
    bytes.set(identity, HEAD + addresses + 3);
  }
  return bytes;
}

/** The same as a line of text, version 1, which has no room for an identity. */
export function encodeProxyLine(header: ProxyHeader): Uint8Array {
  let source = octetsOf(header.source);
  let destination = octetsOf(header.destination);
  const isIpv4 = source.length === 4 && destination.length === 4;
  if (!isIpv4) {
    source = mapped(source);
    destination = mapped(destination);
  }
  const family = isIpv4 ? 'TCP4' : 'TCP6';
  const line = `PROXY ${family} ${formatIp(source)} ${formatIp(destination)} ${header.source.port} ${header.destination.port}\r\n`;
  return new TextEncoder().encode(line);
}

function octetsOf(endpoint: ProxyEndpoint): Uint8Array {
  const octets = parseIp(endpoint.address);
  if (octets === undefined) throw new TypeError(`PROXY header: ${JSON.stringify(endpoint.address)} is not an IP address`);
  return octets;
}

function mapped(octets: Uint8Array): Uint8Array {
  if (octets.length === 16) return octets;
  const ipv6 = new Uint8Array(16);
  ipv6[10] = 0xff;
  ipv6[11] = 0xff;
  ipv6.set(octets, 12);
  return ipv6;
}
