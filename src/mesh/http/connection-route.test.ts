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
  expect(matchTls(rules, serverName, undefined)?.name).toBe(name);
  expect(matchTls(rules.slice(0, 2), undefined, undefined)).toBeUndefined();
});

test('TLS for the same name takes another rule for the namespace it is for', () => {
  const rules = [{ ...tls('a', 'x.example.com'), sourceNamespace: 'ns-a' }, tls('any', 'x.example.com')];
  expect(matchTls(rules, 'x.example.com', 'ns-a')?.name).toBe('a');
  expect(matchTls(rules, 'x.example.com', 'ns-b')?.name).toBe('any');
  expect(matchTls(rules, 'x.example.com', undefined)?.name).toBe('any');
  expect(matchTls(rules.slice(0, 1), 'x.example.com', 'ns-b')).toBeUndefined();
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
