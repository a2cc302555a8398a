/**
 * IP addresses as canonical text (RFC 5952; IPv4 dotted), bytes, and 32-bit words for containment tests.
 * An IPv4-mapped IPv6 address (`::ffff:a.b.c.d`) is the IPv4 address everywhere: sockets that listen on `::` report peers that way.
 */
import type { Cidr } from './model.ts';

/** Four big-endian 32-bit words; an IPv4 address uses only `a`. */
export interface IpWords {
  readonly family: 4 | 6;
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
}

const v4 = (a: number): IpWords => ({ family: 4, a, b: 0, c: 0, d: 0 });

const parseV4 = (text: string, start: number): number => {
  let value = 0;
  let octet = -1;
  let octets = 0;
  let digits = 0;
  for (let i = start; i <= text.length; i++) {
    const code = i === text.length ? 46 : text.charCodeAt(i);
    if (code === 46) {
      if (octet < 0) return -1;
      value = value * 256 + octet;
      octet = -1;
      digits = 0;
      if (++octets > 4) return -1;
    } else if (code >= 48 && code <= 57) {
      // A leading zero would be octal to some readers and decimal to others: refused.
      if (digits > 0 && octet === 0) return -1;
      octet = digits === 0 ? code - 48 : octet * 10 + (code - 48);
      if (octet > 255 || ++digits > 3) return -1;
    } else return -1;
  }
  return octets === 4 ? value >>> 0 : -1;
};

const parseGroup = (text: string): number => {
  if (text.length === 0 || text.length > 4 || !/^[0-9a-fA-F]+$/.test(text)) return -1;
  return Number.parseInt(text, 16);
};

const parseGroups = (text: string): number[] | undefined => {
  if (text === '') return [];
  const parts = text.split(':');
  const groups: number[] = [];
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    if (part.includes('.')) {
      const tail = i === parts.length - 1 ? parseV4(part, 0) : -1;
      if (tail < 0) return undefined;
      groups.push(tail >>> 16, tail & 0xffff);
    } else {
      const group = parseGroup(part);
      if (group < 0) return undefined;
      groups.push(group);
    }
  }
  return groups;
};

const fromWords = (a: number, b: number, c: number, d: number): IpWords =>
  a === 0 && b === 0 && c === 0xffff ? v4(d) : { family: 6, a, b, c, d };

const parseV6 = (text: string): IpWords | undefined => {
  const gap = text.indexOf('::');
  let groups: number[] | undefined;
  if (gap < 0) groups = parseGroups(text);
  else {
    const head = parseGroups(text.slice(0, gap));
    const tail = parseGroups(text.slice(gap + 2));
    // `1.2.3.4::` would put dotted quads before the gap, and `::` must stand for at least one group.
    if (head === undefined || tail === undefined || text.slice(0, gap).includes('.') || head.length + tail.length > 7) return undefined;
    groups = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  }
  if (groups?.length !== 8) return undefined;
  const word = (i: number) => ((groups[i]! << 16) | groups[i + 1]!) >>> 0;
  return fromWords(word(0), word(2), word(4), word(6));
};

/** Words of an address text (zones such as `%eth0` are refused), or undefined. */
export const parseIp = (text: string): IpWords | undefined => {
  if (text.includes(':')) return parseV6(text);
  const value = parseV4(text, 0);
  return value < 0 ? undefined : v4(value);
};

/** Words of 4 or 16 bytes; any other length is undefined. */
export const ipFromBytes = (bytes: Uint8Array): IpWords | undefined => {
  const word = (i: number) => ((bytes[i]! << 24) | (bytes[i + 1]! << 16) | (bytes[i + 2]! << 8) | bytes[i + 3]!) >>> 0;
  if (bytes.length === 4) return v4(word(0));
  return bytes.length === 16 ? fromWords(word(0), word(4), word(8), word(12)) : undefined;
};

export const ipToBytes = (ip: IpWords): Uint8Array => {
  const bytes = new Uint8Array(ip.family === 4 ? 4 : 16);
  const put = (offset: number, word: number) => {
    for (let i = 0; i < 4; i++) bytes[offset + i] = (word >>> (24 - 8 * i)) & 0xff;
  };
  put(0, ip.a);
  if (ip.family === 6) {
    put(4, ip.b);
    put(8, ip.c);
    put(12, ip.d);
  }
  return bytes;
};

const formatV6 = (ip: IpWords): string => {
  const groups = [ip.a >>> 16, ip.a & 0xffff, ip.b >>> 16, ip.b & 0xffff, ip.c >>> 16, ip.c & 0xffff, ip.d >>> 16, ip.d & 0xffff];
  let best = -1;
  let bestLength = 1; // a single zero group is written out (RFC 5952, 4.2.2)
  for (let i = 0; i < 8; ) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > bestLength) {
      best = i;
      bestLength = end - i;
    }
    i = end + 1;
  }
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(':');
  return best < 0 ? text(groups) : `${text(groups.slice(0, best))}::${text(groups.slice(best + bestLength))}`;
};

export const formatIp = (ip: IpWords): string =>
  ip.family === 4 ? `${ip.a >>> 24}.${(ip.a >>> 16) & 0xff}.${(ip.a >>> 8) & 0xff}.${ip.a & 0xff}` : formatV6(ip);

/** The one spelling used as key everywhere, or undefined when it is not an address. */
export const canonicalIp = (text: string): string | undefined => {
  // A valid dotted quad (no leading zeros) is already canonical: the hot path of every connection.
  if (!text.includes(':')) return parseV4(text, 0) < 0 ? undefined : text;
  const ip = parseV6(text);
  return ip && formatIp(ip);
};

/** Family of a canonical address text. */
export const ipFamily = (canonical: string): 4 | 6 => (canonical.includes(':') ? 6 : 4);

export const isLoopback = (canonical: string): boolean => canonical.startsWith('127.') || canonical === '::1';

/** `network/ip`, the key of address indexes; also the WDS alias of a resource. */
export const networkIpKey = (network: string, ip: string): string => `${network}/${ip}`;

/** `ip:port`, IPv6 in brackets; a hostname passes unchanged. */
export const formatHostPort = (host: string, port: number): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

export const isPort = (value: number): boolean => Number.isInteger(value) && value > 0 && value <= 65_535;

/** A decimal port 1–65535 without sign, spaces or leading zeros, else undefined. */
export const parsePort = (text: string): number | undefined =>
  /^[1-9][0-9]{0,4}$/.test(text) && Number(text) <= 65_535 ? Number(text) : undefined;

const maskWord = (length: number, index: number): number => {
  const bits = Math.min(32, Math.max(0, length - 32 * index));
  return bits === 0 ? 0 : (0xffff_ffff << (32 - bits)) >>> 0;
};

/** The network address of `ip/length`: host bits cleared. */
export const maskIp = (ip: IpWords, length: number): IpWords => ({
  family: ip.family,
  a: (ip.a & maskWord(length, 0)) >>> 0,
  b: (ip.b & maskWord(length, 1)) >>> 0,
  c: (ip.c & maskWord(length, 2)) >>> 0,
  d: (ip.d & maskWord(length, 3)) >>> 0,
});

/** A CIDR of an address and a prefix length: host bits cleared, mapped IPv4 unwrapped. Undefined when the length does not fit. */
export const makeCidr = (ip: IpWords, length: number, writtenAs: 4 | 6 = ip.family): Cidr | undefined => {
  if (!Number.isInteger(length) || length < 0 || length > (writtenAs === 4 ? 32 : 128)) return undefined;
  if (writtenAs === ip.family) return { address: formatIp(maskIp(ip, length)), length };
  if (length >= 96) return { address: formatIp(maskIp(ip, length - 96)), length: length - 96 };
  // A range wider than the mapped block is an IPv6 range again.
  const mapped: IpWords = { family: 6, a: 0, b: 0, c: 0xffff, d: ip.a };
  return { address: formatIp(maskIp(mapped, length)), length };
};

/** `10.0.0.0/8`, or a bare address as a range of one. Undefined when it is neither. */
export const parseCidr = (text: string): Cidr | undefined => {
  const slash = text.indexOf('/');
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (ip === undefined) return undefined;
  if (slash < 0) return { address: formatIp(ip), length: ip.family === 4 ? 32 : 128 };
  const length = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(length)) return undefined;
  return makeCidr(ip, Number(length), text.includes(':') ? 6 : 4);
};

export const formatCidr = (cidr: Cidr): string => `${cidr.address}/${cidr.length}`;

/** A CIDR prepared for many containment tests. */
export interface CidrTest {
  readonly network: IpWords;
  readonly mask: IpWords;
}

/** Undefined when the CIDR is not one (bad address or length). */
export const compileCidr = (cidr: Cidr): CidrTest | undefined => {
  const ip = parseIp(cidr.address);
  if (ip === undefined || !Number.isInteger(cidr.length) || cidr.length < 0 || cidr.length > (ip.family === 4 ? 32 : 128)) return undefined;
  const ones: IpWords = { family: ip.family, a: 0xffff_ffff, b: 0xffff_ffff, c: 0xffff_ffff, d: 0xffff_ffff };
  return { network: maskIp(ip, cidr.length), mask: maskIp(ones, cidr.length) };
};

/** IPv4 and IPv6 never contain each other: `::/0` does not hold `10.0.0.1`. */
export const cidrTestHolds = ({ network, mask }: CidrTest, ip: IpWords): boolean =>
  network.family === ip.family &&
  (ip.a & mask.a) >>> 0 === network.a &&
  (network.family === 4 ||
    ((ip.b & mask.b) >>> 0 === network.b && (ip.c & mask.c) >>> 0 === network.c && (ip.d & mask.d) >>> 0 === network.d));

export const cidrContains = (cidr: Cidr, ip: string): boolean => {
  const test = compileCidr(cidr);
  const words = parseIp(ip);
  return test !== undefined && words !== undefined && cidrTestHolds(test, words);
};
