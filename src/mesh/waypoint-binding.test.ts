import { describe, expect, test } from 'bun:test';
import { bindWaypoint, type WaypointGateway, type WaypointLookup } from './waypoint-binding.ts';

type Listener = WaypointGateway['spec']['listeners'][number];
const listener = (namespaces?: NonNullable<Listener['allowedRoutes']>['namespaces']): Listener => ({
  port: 15_008,
  protocol: 'HBONE',
  ...(namespaces && { allowedRoutes: { namespaces } }),
});
const gateway = (
  over: {
    labels?: Record<string, string>;
    className?: string;
    listeners?: Listener[];
    addresses?: { type?: string; value: string }[];
  } = {},
): WaypointGateway => ({
  metadata: { name: 'wp', labels: over.labels },
  spec: { gatewayClassName: over.className ?? 'istio-waypoint', listeners: over.listeners ?? [listener()] },
  status: {
    addresses: over.addresses ?? [
      { type: 'IPAddress', value: '10.96.0.9' },
      { type: 'Hostname', value: 'wp.team.svc.cluster.local' },
    ],
  },
});
const lookup = (gateways: Record<string, WaypointGateway>, classFor?: string): WaypointLookup => ({
  gateway: (namespace, name) => gateways[`${namespace}/${name}`],
  classWaypointFor: () => classFor,
  isWaypointClass: (name) => name === 'istio-waypoint',
  network: 'n1',
});
const USE = 'istio.io/use-waypoint';
const object = (labels: Record<string, string> = { [USE]: 'wp' }) => ({ metadata: { name: 'o', namespace: 'team', labels } });
const namespace = (labels: Record<string, string> = {}) => ({ metadata: { name: 'team', labels } });
const bind = (
  found: WaypointGateway | undefined,
  subject = object(),
  around = namespace(),
  kind: 'service' | 'workload' = 'service',
  classFor?: string,
) => bindWaypoint(kind, subject, around, lookup(found ? { 'team/wp': found, 'infra/wp': found } : {}, classFor));
const reason = (binding: ReturnType<typeof bindWaypoint>) => binding.condition?.reason;

test('prefers the hostname of the waypoint, and says that it is bound', () => {
  expect(bind(gateway())).toEqual({
    waypoint: {
      destination: { kind: 'hostname', value: { namespace: 'team', hostname: 'wp.team.svc.cluster.local' } },
      hboneMtlsPort: 15_008,
    },
    gateways: ['team/wp'],
    condition: { type: 'istio.io/WaypointBound', status: 'True', reason: 'WaypointAccepted', message: 'bound to waypoint team/wp' },
  });
});

test('takes the address when there is no hostname', () => {
  const { waypoint } = bind(gateway({ addresses: [{ type: 'IPAddress', value: '10.96.0.9' }] }));
  expect(waypoint?.destination).toEqual({ kind: 'address', value: { network: 'n1', address: '10.96.0.9' } });
});

describe('the label', () => {
  test('of the object is before that of its namespace', () => {
    expect(bind(gateway(), object({}), namespace({ [USE]: 'wp' })).waypoint).toBeDefined();
    expect(bind(gateway(), object({ [USE]: 'none' }), namespace({ [USE]: 'wp' }))).toEqual({});
    expect(bind(gateway(), object({}), namespace())).toEqual({});
  });
  test('names the namespace beside it, not from elsewhere', () => {
    const labels = { [USE]: 'wp', 'istio.io/use-waypoint-namespace': 'infra' };
    expect(bind(gateway({ listeners: [listener({ from: 'All' })] }), object(labels)).waypoint?.destination).toMatchObject({
      value: { namespace: 'infra' },
    });
    const mixed = bind(gateway(), object(), namespace({ 'istio.io/use-waypoint-namespace': 'infra' }));
    expect(mixed.waypoint?.destination).toMatchObject({ value: { namespace: 'team' } });
  });
  test('is ignored on a waypoint’s own pods', () => {
    expect(
      bind(gateway(), object({ [USE]: 'wp', 'gateway.networking.k8s.io/gateway-name': 'wp' }), namespace(), 'workload', 'all'),
    ).toEqual({});
  });
});

test.each<[string, ReturnType<typeof bindWaypoint>, string]>([
  ['does not exist', bind(undefined), 'WaypointMissing'],
  ['is no waypoint', bind(gateway({ className: 'other', listeners: [{ port: 80, protocol: 'HTTP' }] })), 'NotAWaypoint'],
  ['has no address yet', bind(gateway({ addresses: [] })), 'WaypointNotReady'],
  ['serves services, not workloads', bind(gateway(), object(), namespace(), 'workload'), 'WaypointTypeMismatch'],
  ['serves workloads only', bind(gateway({ labels: { 'istio.io/waypoint-for': 'workload' } })), 'WaypointTypeMismatch'],
  ['serves nothing', bind(gateway({ labels: { 'istio.io/waypoint-for': 'none' } })), 'WaypointTypeMismatch'],
  [
    'admits only its own namespace',
    bind(gateway(), object({ [USE]: 'wp', 'istio.io/use-waypoint-namespace': 'infra' })),
    'NotAllowedByListener',
  ],
])('is not bound when the waypoint %s', (_title, binding, expected) => {
  expect(binding.waypoint).toBeUndefined();
  expect([binding.condition?.status, reason(binding)]).toEqual(['False', expected]);
});

test('what a waypoint serves: its label, then its class, then services', () => {
  expect(bind(gateway({ labels: { 'istio.io/waypoint-for': 'all' } }), object(), namespace(), 'workload').waypoint).toBeDefined();
  expect(bind(gateway(), object(), namespace(), 'workload', 'all').waypoint).toBeDefined();
  expect(reason(bind(gateway({ labels: { 'istio.io/waypoint-for': 'service' } }), object(), namespace(), 'workload', 'all'))).toBe(
    'WaypointTypeMismatch',
  );
});

test('an HBONE listener makes a waypoint of any class', () => {
  expect(bind(gateway({ className: 'other' })).waypoint).toBeDefined();
});

test('a listener may admit namespaces by their labels', () => {
  const far = object({ [USE]: 'wp', 'istio.io/use-waypoint-namespace': 'infra' });
  const admits = (
    selector: NonNullable<NonNullable<Listener['allowedRoutes']>['namespaces']>['selector'],
    labels: Record<string, string>,
  ) => bind(gateway({ listeners: [listener({ from: 'Selector', selector })] }), far, namespace(labels)).waypoint !== undefined;
  expect(admits({ matchLabels: { tier: 'ai' } }, { tier: 'ai' })).toBe(true);
  expect(admits({ matchLabels: { tier: 'ai' } }, {})).toBe(false);
  const expression = (operator: string, ...values: string[]) => ({ matchExpressions: [{ key: 'tier', operator, values }] });
  expect([admits(expression('In', 'ai'), { tier: 'ai' }), admits(expression('In', 'ai'), {})]).toEqual([true, false]);
  expect([admits(expression('NotIn', 'ai'), { tier: 'ai' }), admits(expression('NotIn', 'ai'), {})]).toEqual([false, true]);
  expect([admits(expression('Exists'), { tier: '' }), admits(expression('DoesNotExist'), { tier: '' })]).toEqual([true, false]);
  expect(admits(expression('Near'), { tier: 'ai' })).toBe(false);
  expect(admits(undefined, { tier: 'ai' })).toBe(false);
});

test('an object visible only in its namespace may not use a waypoint of another', () => {
  const far = { ...object({ [USE]: 'wp', 'istio.io/use-waypoint-namespace': 'infra' }), visibility: 'NAMESPACE' as const };
  expect(reason(bindWaypoint('service', far, namespace(), lookup({ 'infra/wp': gateway() })))).toBe('CrossNamespaceWaypointForbidden');
});

describe('a canary', () => {
  const WEIGHT = 'istio.io/use-waypoint-canary-weight';
  const canaryOf = (weight: string | undefined, gateways: Record<string, WaypointGateway>, labels: Record<string, string> = {}) =>
    bindWaypoint(
      'service',
      {
        metadata: {
          name: 'o',
          namespace: 'team',
          labels: { [USE]: 'wp', 'istio.io/use-waypoint-canary': 'next', ...labels },
          ...(weight !== undefined && { annotations: { [WEIGHT]: weight } }),
        },
      },
      namespace(),
      lookup(gateways),
    );
  const next = gateway({ addresses: [{ type: 'Hostname', value: 'next.team.svc.cluster.local' }] });
  const shares = (binding: ReturnType<typeof bindWaypoint>) =>
    binding.weightedWaypoints?.map(({ destination, weight }) => [
      destination.destination.kind === 'hostname' && destination.destination.value.hostname,
      weight,
    ]);

  test('takes its share, and the primary stays the plain waypoint', () => {
    const binding = canaryOf('20', { 'team/wp': gateway(), 'team/next': next });
    expect(shares(binding)).toEqual([
      ['wp.team.svc.cluster.local', 80],
      ['next.team.svc.cluster.local', 20],
    ]);
    expect(binding.waypoint?.destination).toMatchObject({ value: { hostname: 'wp.team.svc.cluster.local' } });
    expect(binding.gateways).toEqual(['team/wp', 'team/next']);
    expect(binding.condition?.message).toContain('20 % to its canary team/next');
  });

  test('has no share by default', () => {
    expect(shares(canaryOf(undefined, { 'team/wp': gateway(), 'team/next': next }))?.map(([, weight]) => weight)).toEqual([100, 0]);
  });

  test('that cannot be bound leaves everything to the primary, and the condition says why', () => {
    const binding = canaryOf('20', { 'team/wp': gateway() });
    expect(binding.weightedWaypoints).toBeUndefined();
    expect(binding.condition).toMatchObject({ status: 'True', message: expect.stringContaining('waypoint team/next does not exist') });
  });

  test.each(['101', '-1', 'half', '1.5'])('with the weight "%s" gets nothing, and the condition says why', (weight) => {
    const binding = canaryOf(weight, { 'team/wp': gateway(), 'team/next': next });
    expect(binding.weightedWaypoints).toBeUndefined();
    expect(binding.condition?.message).toContain(`"${weight}"`);
  });

  test('may be in another namespace', () => {
    const open = gateway({ listeners: [listener({ from: 'All' })] });
    const binding = canaryOf('5', { 'team/wp': gateway(), 'infra/next': open }, { 'istio.io/use-waypoint-canary-namespace': 'infra' });
    expect(binding.gateways).toEqual(['team/wp', 'infra/next']);
  });

  test('is nothing for workloads', () => {
    const object = { metadata: { name: 'o', namespace: 'team', labels: { [USE]: 'wp', 'istio.io/use-waypoint-canary': 'next' } } };
    const all = { 'istio.io/waypoint-for': 'all' };
    const found = { 'team/wp': gateway({ labels: all }), 'team/next': gateway({ labels: all }) };
    expect(bindWaypoint('workload', object, namespace(), lookup(found)).weightedWaypoints).toBeUndefined();
  });
});
