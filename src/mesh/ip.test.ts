import { expect, test } from 'bun:test';
import { isIP } from 'node:net';
import fc from 'fast-check';
import {
  canonicalIp,
  cidrContains,
  formatCidr,
  formatHostPort,
  formatIp,
  ipFromBytes,
  ipToBytes,
  isLoopback,
  parseCidr,
  parseIp,
  parsePort,
} from './ip.ts';

test.each([
  ['10.0.0.1', '10.0.0.1'],
  ['255.255.255.255', '255.255.255.255'],
  ['FD00:0:0:0:0:0:0:1', 'fd00::1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['::', '::'],
  ['1::', '1::'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['::ffff:a00:1', '10.0.0.1'],
  ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
])('%s is written %s', (text, canonical) => {
  expect(canonicalIp(text)).toBe(canonical);
});

test.each([
  '',
  '10.0.0',
  '10.0.0.256',
  '010.0.0.1',
  '1.2.3.4.5',
  '1.2.3.',
  'fe80::1%eth0',
  '1:2:3',
  ':::',
  '1::2::3',
  '1:2:3:4:5:6:7:8:9',
  '1.2.3.4::',
  'a.b.c.d',
  '12345::',
  '1:2:3:4:5:6:7::8:',
])('"%s" is not an address', (text) => {
  expect(canonicalIp(text)).toBeUndefined();
});

test('agrees with node:net about what an address is', () => {
  const nearly = fc.stringMatching(/^[0-9a-f.:]{1,20}$/);
  fc.assert(
    fc.property(fc.oneof(nearly, fc.ipV4(), fc.ipV6()), (text) => {
      expect(canonicalIp(text) !== undefined).toBe(isIP(text) !== 0);
    }),
    { numRuns: 2000 },
  );
});

test('bytes and text name the same address in both directions', () => {
  const bytes = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }));
  fc.assert(
    fc.property(bytes, (input) => {
      const ip = ipFromBytes(input)!;
      expect(parseIp(formatIp(ip))).toEqual(ip);
      expect(ipFromBytes(ipToBytes(ip))).toEqual(ip);
    }),
  );
});

test('refuses address bytes of any other length', () => {
  for (const length of [0, 3, 5, 15, 17]) expect(ipFromBytes(new Uint8Array(length))).toBeUndefined();
});

test('a mapped IPv4 address in bytes is the IPv4 address', () => {
  const mapped = new Uint8Array(16);
  mapped.set([0xff, 0xff, 10, 0, 0, 1], 10);
  expect(formatIp(ipFromBytes(mapped)!)).toBe('10.0.0.1');
});

test.each([
  ['10.1.2.3/8', '10.0.0.0/8'],
  ['10.1.2.3', '10.1.2.3/32'],
  ['fd00::1', 'fd00::1/128'],
  ['fd00:1:2::/20', 'fd00::/20'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['::ffff:10.0.0.0/104', '10.0.0.0/8'],
  ['::ffff:10.0.0.0/90', '::ffc0:0:0/90'],
])('the range %s is %s', (text, expected) => {
  expect(formatCidr(parseCidr(text)!)).toBe(expected);
});

test.each(['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/08', 'fd00::/129', 'x/8', '/8', '10.0.0.0/8/8'])(
  '%s is not a range',
  (text) => {
    expect(parseCidr(text)).toBeUndefined();
  },
);

test('a range holds an address exactly when their first bits agree', () => {
  const bits = (ip: string) => [...ipToBytes(parseIp(ip)!)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const address = fc.oneof(
    fc.ipV4(),
    fc.ipV6().filter((ip) => !ip.includes('.')),
  );
  fc.assert(
    fc.property(address, address, fc.nat(128), (base, ip, size) => {
      const length = base.includes(':') ? size : size % 33;
      const cidr = parseCidr(`${base}/${length}`)!;
      const same = canonicalIp(base)!.includes(':') === canonicalIp(ip)!.includes(':');
      expect(cidrContains(cidr, ip)).toBe(same && bits(base).slice(0, length) === bits(ip).slice(0, length));
    }),
    { numRuns: 1000 },
  );
});

test('an IPv6 range never holds an IPv4 address, not even ::/0', () => {
  expect(cidrContains(parseCidr('::/0')!, '10.0.0.1')).toBe(false);
  expect(cidrContains(parseCidr('0.0.0.0/0')!, 'fd00::1')).toBe(false);
  expect(cidrContains(parseCidr('10.0.0.0/8')!, '::ffff:10.1.1.1')).toBe(true);
});

test('writes IPv6 hosts in brackets', () => {
  expect(formatHostPort('fd00::1', 80)).toBe('[fd00::1]:80');
  expect(formatHostPort('10.0.0.1', 80)).toBe('10.0.0.1:80');
  expect(formatHostPort('a.example', 80)).toBe('a.example:80');
});

test('ports are 1 to 65535 in plain decimals', () => {
  expect(parsePort('65535')).toBe(65_535);
  for (const text of ['0', '65536', '080', '+80', '80 ', '8e1', '']) expect(parsePort(text)).toBeUndefined();
});

test('knows loopback addresses', () => {
  expect(['127.0.0.1', '127.9.9.9', '::1', '10.0.0.1', 'fd00::1'].map(isLoopback)).toEqual([true, true, true, false, false]);
});
