/** IP addresses as text and octets: 4 for IPv4, 16 for IPv6. No zones, no leading zeros, nothing but the address. */

const DECIMAL_OCTET = /^(?:0|[1-9][0-9]{0,2})$/;
const HEX_GROUP = /^[0-9a-fA-F]{1,4}$/;
const LONGEST_IPV6_TEXT = 45;

export function parseIp(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.', 5);
  if (parts.length !== 4) return undefined;
  const octets = new Uint8Array(4);
  for (let at = 0; at < 4; at++) {
    const part = parts[at]!;
    if (!DECIMAL_OCTET.test(part) || Number(part) > 255) return undefined;
    octets[at] = Number(part);
  }
  return octets;
}

function parseIpv6(text: string): Uint8Array | undefined {
  if (text.length > LONGEST_IPV6_TEXT) return undefined;
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const front = groups(halves[0]!, halves.length === 1);
  const back = halves.length === 2 ? groups(halves[1]!, true) : [];
  if (front === undefined || back === undefined) return undefined;
  const missing = 8 - front.length - back.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const octets = new Uint8Array(16);
  for (const [at, group] of front.entries()) putGroup(octets, at, group);
  for (const [at, group] of back.entries()) putGroup(octets, 8 - back.length + at, group);
  return octets;
}

/** The groups of one side of `::`; the last one may be a dotted IPv4 address. */
function groups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const found: number[] = [];
  for (const [at, part] of parts.entries()) {
    if (HEX_GROUP.test(part)) found.push(Number.parseInt(part, 16));
    else {
      const octets = mayEndInIpv4 && at === parts.length - 1 ? parseIpv4(part) : undefined;
      if (octets === undefined) return undefined;
      found.push((octets[0]! << 8) | octets[1]!, (octets[2]! << 8) | octets[3]!);
    }
  }
  return found;
}

function putGroup(octets: Uint8Array, at: number, group: number): void {
  octets[at * 2] = group >>> 8;
  octets[at * 2 + 1] = group;
}

/** Canonical text (RFC 5952; an IPv4-mapped address keeps its dotted tail). */
export function formatIp(octets: Uint8Array): string {
  if (octets.length === 4) return octets.join('.');
  const all = Array.from({ length: 8 }, (_, at) => (octets[at * 2]! << 8) | octets[at * 2 + 1]!);
  if (all.slice(0, 5).every((group) => group === 0) && all[5] === 0xffff) return `::ffff:${octets.subarray(12).join('.')}`;
  let bestStart = -1;
  let bestLength = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && all[end] === 0) end++;
    if (end - start > bestLength) {
      bestStart = start;
      bestLength = end - start;
    }
  }
  const hex = (from: number, to: number): string =>
    all
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return bestStart < 0 ? hex(0, 8) : `${hex(0, bestStart)}::${hex(bestStart + bestLength, 8)}`;
}
