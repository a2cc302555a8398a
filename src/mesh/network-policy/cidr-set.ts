/** Ranges of addresses without exceptions: what is left of a block is a list of smaller ones. */
import { cidrContains, formatIp, ipFromBytes, ipToBytes, maskIp, parseIp } from '../ip.ts';
import type { Cidr } from '../model.ts';
import type { IpBlock } from './model.ts';

export const hostCidr = (address: string): Cidr => ({ address, length: address.includes(':') ? 128 : 32 });

const contains = (outer: Cidr, inner: Cidr): boolean => outer.length <= inner.length && cidrContains(outer, inner.address);

/** One range without another: the siblings on the way from the outer to the inner one. */
const subtract = (outer: Cidr, inner: Cidr): Cidr[] => {
  if (contains(inner, outer)) return [];
  const ip = contains(outer, inner) ? parseIp(inner.address) : undefined;
  if (ip === undefined) return [outer];
  const left: Cidr[] = [];
  for (let length = outer.length + 1; length <= inner.length; length++) {
    const octets = ipToBytes(maskIp(ip, length));
    octets[(length - 1) >> 3]! ^= 0x80 >> ((length - 1) & 7);
    const sibling = ipFromBytes(octets);
    // Addresses that are IPv4 in disguise are IPv4 everywhere, and no IPv6 block holds them.
    if (sibling?.family === ip.family) left.push({ address: formatIp(sibling), length });
  }
  return left;
};

/** The addresses of a block, its exceptions taken out. */
export const rangesOf = ({ cidr, except }: IpBlock): Cidr[] =>
  except.reduce<Cidr[]>((ranges, exception) => ranges.flatMap((range) => subtract(range, exception)), [cidr]);
