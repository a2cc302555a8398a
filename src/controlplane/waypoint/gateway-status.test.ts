import { expect, test } from 'bun:test';
import type { Gateway } from '../../platform/kubernetes/index.ts';
import { gatewayStatus, type WaypointState } from './gateway-status.ts';

const NOW = '2026-03-01T00:00:00Z';
const EARLIER = '2026-01-01T00:00:00Z';
const gateway = (spec: Partial<Gateway['spec']> = {}, status?: Gateway['status']): Gateway => ({
  metadata: { name: 'wp', namespace: 'shop', generation: 3 },
  spec: { gatewayClassName: 'istio-waypoint', listeners: [{ name: 'mesh', port: 15_008, protocol: 'HBONE' }], ...spec },
  ...(status !== undefined && { status }),
});
const state = (change: Partial<WaypointState> = {}): WaypointState => ({
  clusterDomain: 'cluster.local',
  readyReplicas: 1,
  attachedRoutes: 2,
  parameterProblems: [],
  ...change,
});
const said = (status: Gateway['status']) =>
  Object.fromEntries((status?.conditions ?? []).map(({ type, status: value, reason }) => [type, `${value} ${reason}`]));

test('a ready replica brings the address; without one there is none yet', () => {
  const ready = gatewayStatus(gateway(), state(), NOW);
  expect(ready.addresses).toEqual([{ type: 'Hostname', value: 'wp.shop.svc.cluster.local' }]);
  expect(said(ready)).toEqual({ Accepted: 'True Accepted', Programmed: 'True Programmed' });
  expect(ready.listeners).toMatchObject([{ name: 'mesh', attachedRoutes: 2 }]);
  const waiting = gatewayStatus(gateway(), state({ readyReplicas: 0 }), NOW);
  expect(waiting.addresses).toBeUndefined();
  expect(said(waiting)).toEqual({ Accepted: 'True Accepted', Programmed: 'False Pending' });
});

test('an address that was given stays when no replica is ready or the parameters are wrong, and goes with the listener', () => {
  const had = gatewayStatus(gateway(), state(), EARLIER);
  expect(gatewayStatus(gateway({}, had), state({ readyReplicas: 0 }), NOW).addresses).toHaveLength(1);
  const wrong = gatewayStatus(gateway({}, had), state({ parameterProblems: ['ConfigMap x: bad'] }), NOW);
  expect(wrong.addresses).toHaveLength(1);
  expect(said(wrong)).toEqual({ Accepted: 'False InvalidParameters', Programmed: 'True Programmed' });
  const gone = gatewayStatus(gateway({ listeners: [{ name: 'web', port: 80, protocol: 'HTTP' }] }, had), state(), NOW);
  expect(gone.addresses).toBeUndefined();
  expect(said(gone)).toEqual({ Accepted: 'False ListenersNotValid', Programmed: 'False Invalid' });
});

test('a listener that cannot be served beside one that can', () => {
  const mixed = gatewayStatus(
    gateway({
      listeners: [
        { name: 'mesh', port: 15_008, protocol: 'HBONE' },
        { name: 'odd', port: 15_009, protocol: 'HBONE' },
      ],
    }),
    state(),
    NOW,
  );
  expect(said(mixed)).toEqual({ Accepted: 'True ListenersNotValid', Programmed: 'True Programmed' });
  expect(mixed.listeners?.[1]).toMatchObject({ name: 'odd', attachedRoutes: 0, supportedKinds: [] });
  expect(said({ ...mixed, conditions: mixed.listeners?.[1]?.conditions ?? [] })).toMatchObject({ Accepted: 'False PortUnavailable' });
});

test('a proxy deployed by hand is where the Gateway says; any other address is refused', () => {
  const byHand = gatewayStatus(
    gateway({ addresses: [{ type: 'Hostname', value: 'mine.shop.svc.cluster.local' }] }),
    state({ readyReplicas: 0 }),
    NOW,
  );
  expect(byHand.addresses).toEqual([{ type: 'Hostname', value: 'mine.shop.svc.cluster.local' }]);
  expect(said(byHand)).toEqual({ Accepted: 'True Accepted', Programmed: 'True Programmed' });
  expect(said(gatewayStatus(gateway({ addresses: [{ type: 'IPAddress', value: '10.0.0.1' }] }), state(), NOW))).toMatchObject({
    Accepted: 'False UnsupportedAddress',
  });
});

test('what could not be applied is what Programmed says', () => {
  const failed = gatewayStatus(gateway(), state({ applyProblem: 'Service shop/wp exists' }), NOW);
  expect(failed.conditions).toContainEqual({
    type: 'Programmed',
    status: 'False',
    reason: 'Invalid',
    message: 'Service shop/wp exists',
    observedGeneration: 3,
    lastTransitionTime: NOW,
  });
});

test("the time of a condition is that of its last change, and other controllers' conditions stay", () => {
  const had = gatewayStatus(gateway(), state(), EARLIER);
  const foreign = { type: 'Theirs', status: 'True', reason: 'R', message: '', lastTransitionTime: EARLIER, observedGeneration: 1 };
  const again = gatewayStatus(gateway({}, { ...had, conditions: [...(had.conditions ?? []), foreign] }), state({ readyReplicas: 0 }), NOW);
  expect(again.conditions?.map(({ type, lastTransitionTime }) => [type, lastTransitionTime])).toEqual([
    ['Accepted', EARLIER],
    ['Programmed', NOW],
    ['Theirs', EARLIER],
  ]);
});
