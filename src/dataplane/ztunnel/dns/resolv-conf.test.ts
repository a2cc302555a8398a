import { expect, test } from 'bun:test';
import { parseResolvConf } from './resolv-conf.ts';

test('reads what Kubernetes writes', () => {
  const text = 'search istio-system.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n';
  expect(parseResolvConf(text, true)).toEqual({
    nameservers: ['10.96.0.10'],
    search: ['istio-system.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
    timeoutMs: 2000,
    attempts: 2,
    problems: [],
  });
});

test('reads comments, tabs, IPv6, options within limits, and the last search list', () => {
  const text =
    '# mine\nnameserver\t2001:DB8:0::1 ; a comment\ndomain Old.example.\n; nameserver 1.1.1.1\nsearch Corp.Example. b.example\noptions timeout:90 attempts:0 rotate edns0\n';
  expect(parseResolvConf(text, true)).toMatchObject({
    nameservers: ['2001:db8::1'],
    search: ['corp.example', 'b.example'],
    timeoutMs: 30_000,
    attempts: 1,
    problems: [],
  });
});

test('says which nameservers cannot be used, and why', () => {
  const text =
    'nameserver fe80::1%eth0\nnameserver 127.0.0.53\nnameserver 10.0.0.1\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4';
  const { nameservers, problems } = parseResolvConf(text, true);
  expect(nameservers).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3']);
  expect(problems).toEqual([
    'nameserver "fe80::1%eth0" is not an address, or one of a single link',
    'nameserver 127.0.0.53 is on loopback, which is another one in every pod',
    'nameserver 10.0.0.4 is one too many: 3 are used',
  ]);
  expect(parseResolvConf(text, false).nameservers[0]).toBe('127.0.0.53');
});

test('an empty file has a problem', () => {
  expect(parseResolvConf('', true).problems).toEqual(['no usable nameserver: names that the mesh does not know cannot be resolved']);
});
