import type { Result } from '../result.ts';
import { formatIp, parseIp } from './ip.ts';

/** The target of a CONNECT: an address, or (cross-network only) the name of a service. Addresses are canonical text, names lower case. */
export type Authority =
  | { readonly kind: 'ip'; readonly address: string; readonly port: number }
  | { readonly kind: 'hostname'; readonly hostname: string; readonly port: number };

const PORT = /^[1-9][0-9]{0,4}$/;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const LONGEST_HOSTNAME = 253;

/** Strict: `1.2.3.4:80`, `[fd00::1]:80` or `name.example:80`; the port is not optional. The error says what is wrong with which part. */
export function parseAuthority(text: string): Result<Authority, string> {
  const colon = text.lastIndexOf(':');
  if (colon < 0) return problem(text, 'it has no port');
  const host = text.slice(0, colon);
  const portText = text.slice(colon + 1);
  const port = Number(portText);
  if (!PORT.test(portText) || port > 65_535) return problem(text, 'its port is not a number from 1 to 65535');
  if (host.startsWith('[')) {
    const octets = host.endsWith(']') && host.includes(':') ? parseIp(host.slice(1, -1)) : undefined;
    return octets === undefined
      ? problem(text, 'what stands in brackets is not an IPv6 address')
      : { ok: true, value: { kind: 'ip', address: formatIp(octets), port } };
  }
  if (host.includes(':')) return problem(text, 'an IPv6 address needs brackets');
  const octets = parseIp(host);
  if (octets !== undefined) return { ok: true, value: { kind: 'ip', address: formatIp(octets), port } };
  const hostname = host.toLowerCase();
  if (!isHostname(hostname)) return problem(text, 'its host is neither an address nor a DNS name');
  return { ok: true, value: { kind: 'hostname', hostname, port } };
}

function isHostname(name: string): boolean {
  if (name.length > LONGEST_HOSTNAME) return false;
  const labels = name.split('.');
  // A last label of digits would be a mistyped address, never a name.
  return labels.every((label) => LABEL.test(label)) && !/^[0-9]+$/.test(labels.at(-1)!);
}

export function formatAuthority(authority: Authority): string {
  return authority.kind === 'ip' ? formatAddress(authority.address, authority.port) : `${authority.hostname}:${authority.port}`;
}

/** `1.2.3.4:80` or `[fd00::1]:80`. */
export const formatAddress = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

const LONGEST_QUOTE = 80;
const problem = (text: string, why: string): Result<never, string> => ({
  ok: false,
  error: `authority ${JSON.stringify(text.slice(0, LONGEST_QUOTE))}: ${why}`,
});
