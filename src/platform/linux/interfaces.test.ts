import { afterAll, beforeAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import { hasIpv6, localIpv4, namespaceAddresses } from './interfaces.ts';

const NAME = `na-${process.pid}-if`;
let fd: number;
const ip = (...argv: string[]) => expect(Bun.spawnSync(['ip', ...argv]).exitCode).toBe(0);

beforeAll(() => {
  ip('netns', 'add', NAME);
  // The peer stays down, so this end has no carrier.
  ip('-n', NAME, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'peer0');
  ip('-n', NAME, 'addr', 'add', '10.202.0.7/24', 'dev', 'eth0');
  ip('-n', NAME, 'addr', 'add', 'fd00:202::7/64', 'dev', 'eth0', 'nodad');
  ip('-n', NAME, 'link', 'set', 'eth0', 'up');
  fd = fs.openSync(`/run/netns/${NAME}`, 'r');
});
afterAll(() => {
  fs.closeSync(fd);
  ip('netns', 'del', NAME);
});

test('sees the addresses of an interface whose carrier is not up', () => {
  expect(namespaceAddresses(fd)).toEqual(expect.arrayContaining(['10.202.0.7', 'fd00:0202:0000:0000:0000:0000:0000:0007']));
});

test('takes neither network nor broadcast addresses for local ones', () => {
  const trie =
    '  +-- 10.0.0.0/24 2 0 2\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.5\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n';
  expect(localIpv4(trie)).toEqual(['10.0.0.5']);
});

test('tells whether IPv6 can be used', () => {
  expect(hasIpv6(fd)).toBe(true);
  expect(
    Bun.spawnSync(['ip', 'netns', 'exec', NAME, 'sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.lo.disable_ipv6=1'])
      .exitCode,
  ).toBe(0);
  expect(hasIpv6(fd)).toBe(false);
});
