import { expect, test } from 'bun:test';
import { matchTcp, matchTls } from './connection-route.ts';

const tls = (name: string, ...sniHosts: string[]) => ({ name, sniHosts, backends: [] });

test.each([
  ['a.example.com', 'exact'],
  ['A.Example.Com', 'exact'],
  ['b.a.example.com', 'wild'],
  ['example.com', 'any'],
  [undefined, 'any'],
])('TLS for %p takes the rule %p', (serverName, name) => {
  const rules = [tls('exact', 'a.example.com'), tls('wild', '*.example.com'), tls('any')];
  expect(matchTls(rules, serverName)?.name).toBe(name);
  expect(matchTls(rules.slice(0, 2), undefined)).toBeUndefined();
});

test('TCP takes the first rule for the client’s namespace', () => {
  const rules = [
    { name: 'a', sourceNamespace: 'ns-a', backends: [] },
    { name: 'any', backends: [] },
  ];
  expect(matchTcp(rules, 'ns-a')?.name).toBe('a');
  expect(matchTcp(rules, undefined)?.name).toBe('any');
  expect(matchTcp(rules.slice(0, 1), 'ns-b')).toBeUndefined();
});
