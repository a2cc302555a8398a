import { describe, expect, test } from 'bun:test';
import { authorize } from './authorize.ts';
import { parseIdentity } from './identity.ts';
import {
  convertPeerAuthentication,
  effectivePeerAuthentication,
  inheritedPeerMode,
  type PeerAuthenticationObject,
  peerAuthenticationConflicts,
  peerAuthenticationProblems,
  staticStrictPolicy,
} from './peer-authentication-conversion.ts';

const ROOT = 'istio-system';
const STATIC = 'istio-system/istio_converted_static_strict';
type Ports = Record<string, string>;
const peer = (
  name: string,
  mode: string | undefined,
  over: { namespace?: string; app?: string; ports?: Ports; at?: string } = {},
): PeerAuthenticationObject => ({
  metadata: { name, namespace: over.namespace ?? 'team', creationTimestamp: over.at ?? '2026-01-01T00:00:00Z' },
  spec: {
    ...(over.app !== undefined && { selector: { matchLabels: { app: over.app } } }),
    ...(mode !== undefined && { mtls: { mode } }),
    ...(over.ports && {
      portLevelMtls: Object.fromEntries(Object.entries(over.ports).map(([port, portMode]) => [port, { mode: portMode }])),
    }),
  },
});
const effect = (...policies: PeerAuthenticationObject[]) => {
  const { mode, keys } = effectivePeerAuthentication(policies, { namespace: 'team', labels: { app: 'a' } }, ROOT);
  return { mode, keys };
};
const mesh = (mode: string, at?: string) => peer('mesh', mode, { namespace: ROOT, ...(at && { at }) });

describe('effective mode', () => {
  test.each<[string, PeerAuthenticationObject[], string]>([
    ['nothing set', [], 'PERMISSIVE'],
    ['mesh', [mesh('STRICT')], 'STRICT'],
    ['namespace over mesh', [mesh('STRICT'), peer('ns', 'PERMISSIVE')], 'PERMISSIVE'],
    ['an unset namespace inherits', [mesh('STRICT'), peer('ns', 'UNSET')], 'STRICT'],
    ['a namespace without mtls inherits', [mesh('STRICT'), peer('ns', undefined)], 'STRICT'],
    ['workload over namespace', [peer('ns', 'PERMISSIVE'), peer('w', 'STRICT', { app: 'a' })], 'STRICT'],
    ['an unset workload inherits', [peer('ns', 'STRICT'), peer('w', 'UNSET', { app: 'a' })], 'STRICT'],
    ['another workload’s policy', [peer('w', 'STRICT', { app: 'b' })], 'PERMISSIVE'],
    ['another namespace’s policy', [peer('ns', 'STRICT', { namespace: 'other' })], 'PERMISSIVE'],
    ['another namespace’s selector', [peer('w', 'STRICT', { namespace: 'other', app: 'a' })], 'PERMISSIVE'],
    ['DISABLE is PERMISSIVE', [mesh('STRICT'), peer('ns', 'DISABLE')], 'PERMISSIVE'],
    ['a mode nobody knows is STRICT', [peer('ns', 'STRCIT')], 'STRICT'],
    ['the oldest of a level wins', [peer('young', 'STRICT', { at: '2026-02-01T00:00:00Z' }), peer('old', 'PERMISSIVE')], 'PERMISSIVE'],
    ['the name decides between twins', [peer('b', 'PERMISSIVE'), peer('a', 'STRICT')], 'STRICT'],
    [
      'the oldest selector wins',
      [peer('young', 'STRICT', { app: 'a', at: '2026-02-01T00:00:00Z' }), peer('old', 'PERMISSIVE', { app: 'a' })],
      'PERMISSIVE',
    ],
  ])('%s', (_title, policies, mode) => {
    expect(effect(...policies)).toEqual({ mode: mode as 'STRICT', keys: mode === 'STRICT' ? [STATIC] : [] });
  });

  test('is inherited by everything without a selector', () => {
    expect(inheritedPeerMode([mesh('STRICT'), peer('w', 'PERMISSIVE', { app: 'a' })], 'team', ROOT)).toBe('STRICT');
  });
});

describe('ports', () => {
  const key = 'team/converted_peer_authentication_w';
  test('a workload lists the converted policy alone, also when STRICT is inherited', () => {
    expect(effect(peer('w', 'STRICT', { app: 'a', ports: { 80: 'PERMISSIVE' } })).keys).toEqual([key]);
    expect(effect(mesh('STRICT'), peer('w', 'UNSET', { app: 'a', ports: { 80: 'DISABLE' } })).keys).toEqual([key]);
    expect(effect(peer('w', 'PERMISSIVE', { app: 'a', ports: { 80: 'STRICT' } })).keys).toEqual([key]);
  });
  test('that change nothing add nothing', () => {
    expect(effect(peer('w', 'STRICT', { app: 'a', ports: { 80: 'STRICT', 81: 'UNSET' } })).keys).toEqual([STATIC]);
    expect(effect(peer('w', 'PERMISSIVE', { app: 'a', ports: { 80: 'PERMISSIVE' } })).keys).toEqual([]);
  });
  test('need a selector, and a namespace other than the root', () => {
    expect(convertPeerAuthentication(peer('ns', 'STRICT', { ports: { 80: 'PERMISSIVE' } }), 'PERMISSIVE', ROOT)).toBeUndefined();
    expect(
      convertPeerAuthentication(peer('w', 'STRICT', { namespace: ROOT, app: 'a', ports: { 80: 'PERMISSIVE' } }), 'PERMISSIVE', ROOT),
    ).toBeUndefined();
  });

  const allows = (policy: PeerAuthenticationObject, port: number, identity?: string, inherited: 'STRICT' | 'PERMISSIVE' = 'PERMISSIVE') =>
    authorize([convertPeerAuthentication(policy, inherited, ROOT)!], {
      sourceIp: '10.0.0.1',
      destinationIp: '10.0.0.2',
      destinationPort: port,
      identity: identity === undefined ? undefined : parseIdentity(identity),
    }).allowed;
  const someone = 'spiffe://td/ns/a/sa/b';

  test('STRICT with two permissive ports: plain text on those two only', () => {
    const policy = peer('w', 'STRICT', { app: 'a', ports: { 80: 'PERMISSIVE', 81: 'DISABLE' } });
    expect([79, 80, 81, 82].map((port) => allows(policy, port))).toEqual([false, true, true, false]);
    expect(allows(policy, 79, someone)).toBe(true);
    expect(convertPeerAuthentication(policy, 'PERMISSIVE', ROOT)?.rules).toHaveLength(1);
  });
  test('PERMISSIVE with two strict ports: no plain text on those two', () => {
    const policy = peer('w', 'PERMISSIVE', { app: 'a', ports: { 80: 'STRICT', 81: 'STRICT' } });
    expect([79, 80, 81, 82].map((port) => allows(policy, port))).toEqual([true, false, false, true]);
    expect(allows(policy, 80, someone)).toBe(true);
    expect(convertPeerAuthentication(policy, 'PERMISSIVE', ROOT)?.rules).toHaveLength(2);
  });
  test('UNSET under a strict namespace: the strict clause comes along', () => {
    const policy = peer('w', 'UNSET', { app: 'a', ports: { 80: 'PERMISSIVE' } });
    expect([80, 81].map((port) => allows(policy, port, undefined, 'STRICT'))).toEqual([true, false]);
  });
});

test('the static policy denies plain text and nothing else', () => {
  const connection = { sourceIp: '10.0.0.1', destinationIp: '10.0.0.2', destinationPort: 80 };
  const policy = staticStrictPolicy(ROOT);
  expect(authorize([policy], connection)).toMatchObject({ allowed: false, reason: `explicitly denied by: ${STATIC}` });
  expect(authorize([policy], { ...connection, identity: parseIdentity('spiffe://td/ns/a/sa/b') }).allowed).toBe(true);
  expect(policy.scope).toBe('WORKLOAD_SELECTOR');
});

test('names what has no effect', () => {
  expect(peerAuthenticationProblems(peer('p', 'STRCIT', { ports: { 99999: 'X' } }), ROOT)).toEqual([
    'spec.mtls.mode: "STRCIT" is unknown and taken as STRICT',
    'spec.portLevelMtls["99999"]: not a port',
    'spec.portLevelMtls["99999"].mode: "X" is unknown and taken as STRICT',
    'spec.portLevelMtls: ignored, it needs spec.selector',
  ]);
  expect(peerAuthenticationProblems(peer('p', 'STRICT', { app: 'a', ports: { 80: 'STRICT' } }), ROOT)).toEqual([]);
});

test('a younger policy for the same workloads is told which one it loses against', () => {
  const old = peer('old', 'STRICT');
  const young = peer('young', 'PERMISSIVE', { at: '2026-02-01T00:00:00Z' });
  const others = [
    peer('selector', 'STRICT', { app: 'a', at: '2020-01-01T00:00:00Z' }),
    peer('elsewhere', 'STRICT', { namespace: 'other', at: '2020-01-01T00:00:00Z' }),
  ];
  const all = [young, old, ...others];
  expect([...peerAuthenticationConflicts(all)]).toEqual([[young, old]]);
  const [first, second] = [peer('a', 'STRICT', { app: 'x' }), peer('b', 'STRICT', { app: 'x' })];
  expect([...peerAuthenticationConflicts([second, first])]).toEqual([[second, first]]);
});
