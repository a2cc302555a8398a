import { expect, test } from 'bun:test';
import {
  clientIdentity,
  formatIdentity,
  identitiesFromSubjectAltName,
  isAcceptedServer,
  parseIdentity,
  sameIdentity,
  workloadIdentity,
} from './identity.ts';

const id = (text: string) => parseIdentity(text)!;

test('reads exactly five parts with literal ns and sa', () => {
  expect(parseIdentity('spiffe://td/ns/a/sa/b')).toEqual({ trustDomain: 'td', namespace: 'a', serviceAccount: 'b' });
  for (const bad of [
    'spiffe://td/ns/a/sa',
    'spiffe://td/ns/a/sa/b/c',
    'spiffe://td/namespace/a/sa/b',
    'spiffe://td/ns/a/account/b',
    'spiffe:///ns/a/sa/b',
    'spiffe://td/ns//sa/b',
    'spiffe://td/ns/a/sa/',
    'https://td/ns/a/sa/b',
    'td/ns/a/sa/b',
    '',
  ]) {
    expect(parseIdentity(bad)).toBeUndefined();
  }
});

test('writes what it reads', () => {
  expect(formatIdentity(id('spiffe://td/ns/a/sa/b'))).toBe('spiffe://td/ns/a/sa/b');
});

test('a workload without trust domain or account has the defaults', () => {
  expect(formatIdentity(workloadIdentity({ trustDomain: '', namespace: 'a', serviceAccount: '' }))).toBe(
    'spiffe://cluster.local/ns/a/sa/default',
  );
});

test('finds every SPIFFE identity of a certificate and skips other names', () => {
  const text = 'DNS:x, URI:spiffe://td/ns/a/sa/b, URI:https://example.com, IP Address:10.0.0.1, URI:"spiffe://td/ns/c/sa/d"';
  expect(identitiesFromSubjectAltName(text).map(formatIdentity)).toEqual(['spiffe://td/ns/a/sa/b', 'spiffe://td/ns/c/sa/d']);
});

test('a name quoted because it holds a comma cannot smuggle in an identity', () => {
  expect(identitiesFromSubjectAltName('DNS:"x, URI:spiffe://td/ns/a/sa/admin"')).toEqual([]);
  expect(identitiesFromSubjectAltName('URI:"https://x/, URI:spiffe://td/ns/a/sa/admin"')).toEqual([]);
});

test('a server is accepted by the exact triple only', () => {
  const accepted = ['spiffe://td/ns/a/sa/b'];
  expect(isAcceptedServer([id('spiffe://td/ns/a/sa/b')], accepted)).toBe(true);
  expect(isAcceptedServer([id('spiffe://td/ns/x/sa/x'), id('spiffe://td/ns/a/sa/b')], accepted)).toBe(true);
  expect(isAcceptedServer([id('spiffe://alias/ns/a/sa/b')], accepted)).toBe(false);
  expect(isAcceptedServer([], accepted)).toBe(false);
  expect(isAcceptedServer([id('spiffe://td/ns/a/sa/b')], [])).toBe(false);
});

test('a client needs one identity of our trust domain, and is called by its first', () => {
  const foreign = id('spiffe://other/ns/a/sa/b');
  const ours = id('spiffe://td/ns/a/sa/b');
  expect(clientIdentity([foreign], 'td')).toBeUndefined();
  expect(clientIdentity([], 'td')).toBeUndefined();
  expect(clientIdentity([ours], 'td')).toEqual(ours);
  expect(clientIdentity([foreign, ours], 'td')).toEqual(foreign);
  expect(sameIdentity(foreign, ours)).toBe(false);
});
