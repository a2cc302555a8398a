import { describe, expect, test } from 'bun:test';
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { AddressSchema, AuthorizationSchema } from '../protocol/messages/index.ts';
import { formatIp, ipFromBytes, makeCidr } from './ip.ts';
import { podUid, serviceAliases, workloadAliases } from './keys.ts';
import { ALWAYS, NEVER } from './match.ts';
import type { Authorization, Cidr, GatewayAddress, Match, NetworkAddress, Service, ServicePort, StringMatch, Workload } from './model.ts';
import { gatewayByAddress, policy, port, service, workload } from './test-fixtures.ts';
import { decodeAddress } from './wds-decode.ts';
import { decodeAuthorization } from './wds-decode-policy.ts';
import { encodeAuthorization, encodeService, encodeWorkload } from './wds-encode.ts';

const name = fc.stringMatching(/^[a-z][a-z0-9.-]{0,8}$/);
const ip = fc
  .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map((bytes) => formatIp(ipFromBytes(bytes)!));
const portNumber = fc.integer({ min: 1, max: 65_535 });
const servicePort: fc.Arbitrary<ServicePort> = fc.record({
  servicePort: portNumber,
  targetPort: fc.nat(65_535),
  appProtocol: fc.constantFrom('UNKNOWN', 'HTTP11', 'HTTP2', 'GRPC', 'TCP', 'TLS'),
});
const networkAddress: fc.Arbitrary<NetworkAddress> = fc.record({ network: fc.oneof(fc.constant(''), name), address: ip });
const gateway: fc.Arbitrary<GatewayAddress> = fc.record({
  destination: fc.oneof(
    fc.record({ kind: fc.constant('hostname' as const), value: fc.record({ namespace: name, hostname: name }) }),
    fc.record({ kind: fc.constant('address' as const), value: networkAddress }),
  ),
  hboneMtlsPort: portNumber,
});
const optional = <T>(key: string, arbitrary: fc.Arbitrary<T>) =>
  fc.option(arbitrary, { nil: undefined }).map((value) => (value === undefined ? {} : { [key]: value }));
const anyWorkload: fc.Arbitrary<Workload> = fc
  .tuple(
    fc.record({
      uid: name,
      name,
      namespace: name,
      addresses: fc.array(ip, { maxLength: 3 }),
      hostname: fc.oneof(fc.constant(''), name),
      network: fc.oneof(fc.constant(''), name),
      tunnelProtocol: fc.constantFrom('HBONE' as const, 'NONE' as const),
      trustDomain: fc.oneof(fc.constant('cluster.local'), name),
      serviceAccount: name,
      node: name,
      canonicalName: name,
      canonicalRevision: name,
      workloadType: fc.constantFrom('DEPLOYMENT' as const, 'CRONJOB' as const, 'POD' as const, 'JOB' as const),
      workloadName: name,
      nativeTunnel: fc.boolean(),
      authorizationPolicies: fc.array(name, { maxLength: 2 }),
      status: fc.constantFrom('HEALTHY' as const, 'UNHEALTHY' as const),
      clusterId: name,
      services: fc
        .uniqueArray(
          fc.tuple(
            fc.tuple(name, name).map((parts) => parts.join('/')),
            fc.array(servicePort, { maxLength: 2 }),
          ),
          { maxLength: 3, selector: ([key]) => key },
        )
        .map((entries) => new Map(entries)),
      locality: fc.record({ region: fc.oneof(fc.constant(''), name), zone: fc.constant(''), subzone: fc.oneof(fc.constant(''), name) }),
      networkMode: fc.constantFrom('STANDARD' as const, 'HOST_NETWORK' as const),
      capacity: fc.nat(5),
    }),
    optional('waypoint', gateway),
    optional('networkGateway', gateway),
    optional('applicationTunnel', fc.record({ protocol: fc.constantFrom('NONE', 'PROXY'), port: fc.nat(65_535) })),
  )
  .map((parts) => Object.assign({}, ...parts) as Workload);
const anyService: fc.Arbitrary<Service> = fc
  .tuple(
    fc.record({
      name,
      namespace: name,
      hostname: name,
      vips: fc.array(
        fc.oneof(
          networkAddress,
          fc.constant({ network: 'n', address: '10.0.0.0', length: 8 }),
          fc.constant({ network: '', address: 'fd00::', length: 16 }),
        ),
        { maxLength: 3 },
      ),
      ports: fc.array(servicePort, { maxLength: 2 }),
      subjectAltNames: fc.array(name, { maxLength: 2 }),
      weightedWaypoints: fc.array(fc.record({ destination: gateway, weight: fc.nat(100) }), { maxLength: 2 }),
      ipFamilies: fc.constantFrom('AUTOMATIC' as const, 'IPV4_ONLY' as const, 'IPV6_ONLY' as const, 'DUAL' as const),
      canonical: fc.boolean(),
      visibility: fc.constantFrom('PUBLIC' as const, 'NAMESPACE' as const),
    }),
    optional('waypoint', gateway),
    optional(
      'loadBalancing',
      fc.record({
        routingPreference: fc.array(fc.constantFrom('REGION', 'ZONE', 'SUBZONE', 'NODE', 'CLUSTER', 'NETWORK')),
        mode: fc.constantFrom('UNSPECIFIED', 'STRICT', 'FAILOVER', 'PASSTHROUGH'),
        healthPolicy: fc.constantFrom('ONLY_HEALTHY', 'ALLOW_ALL'),
      }),
    ),
  )
  .map((parts) => Object.assign({}, ...parts) as Service);
const stringMatch: fc.Arbitrary<StringMatch> = fc.oneof(
  fc.record({ kind: fc.constantFrom('exact' as const, 'prefix' as const, 'suffix' as const), value: name }),
  fc.constant({ kind: 'presence' as const }),
);
const cidr: fc.Arbitrary<Cidr> = fc
  .tuple(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.nat(32))
  .map(([bytes, length]) => makeCidr(ipFromBytes(bytes)!, length)!);
const account = fc.record({ namespace: name, serviceAccount: name });
const few = <T>(arbitrary: fc.Arbitrary<T>) => fc.array(arbitrary, { maxLength: 2 });
const anyMatch: fc.Arbitrary<Match> = fc.record({
  namespaces: few(stringMatch),
  notNamespaces: few(stringMatch),
  principals: few(stringMatch),
  notPrincipals: few(stringMatch),
  sourceIps: few(cidr),
  notSourceIps: few(cidr),
  destinationIps: few(cidr),
  notDestinationIps: few(cidr),
  destinationPorts: few(fc.nat(65_535)),
  notDestinationPorts: few(fc.nat(65_535)),
  serviceAccounts: few(account),
  notServiceAccounts: few(account),
});
const anyPolicy: fc.Arbitrary<Authorization> = fc.record({
  name,
  namespace: name,
  scope: fc.constantFrom('GLOBAL' as const, 'NAMESPACE' as const, 'WORKLOAD_SELECTOR' as const),
  action: fc.constantFrom('ALLOW' as const, 'DENY' as const),
  rules: few(fc.record({ clauses: few(fc.record({ matches: few(anyMatch) })) })),
  dryRun: fc.boolean(),
});

describe('round trips', () => {
  test('workloads', () => {
    fc.assert(
      fc.property(anyWorkload, (value) =>
        expect(decodeAddress(encodeWorkload(value))).toEqual({ ok: true, value: { kind: 'workload', workload: value } }),
      ),
    );
  });
  test('services', () => {
    fc.assert(
      fc.property(anyService, (value) =>
        expect(decodeAddress(encodeService(value))).toEqual({ ok: true, value: { kind: 'service', service: value } }),
      ),
    );
  });
  test('policies', () => {
    fc.assert(
      fc.property(anyPolicy, (value) =>
        expect(decodeAuthorization(encodeAuthorization(value))).toEqual({ ok: true, value: { policy: value, warnings: [] } }),
      ),
    );
  });
  test('the order in which services were added does not show in the bytes', () => {
    fc.assert(
      fc.property(anyWorkload, (value) => {
        const reversed = { ...value, services: new Map([...value.services].reverse()) };
        expect(encodeWorkload(reversed)).toEqual(encodeWorkload(value));
      }),
    );
  });
  test('garbage is a problem, never an exception', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        for (const result of [decodeAddress(bytes), decodeAuthorization(bytes)]) {
          if (!result.ok) expect(result.error.length).toBeGreaterThan(0);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

type WorkloadInit = Parameters<typeof create<typeof AddressSchema>>[1] extends infer I ? I : never;
const decodeInit = (init: WorkloadInit) => decodeAddress(toBinary(AddressSchema, create(AddressSchema, init)));
const rawWorkload = (value: object) => decodeInit({ type: { case: 'workload', value: { uid: 'u', ...value } } });
const rawService = (value: object) => decodeInit({ type: { case: 'service', value: { namespace: 'n', hostname: 'h', ...value } } });
const problems = (result: ReturnType<typeof decodeAddress>): readonly string[] => (result.ok ? [] : result.error);

describe('decoding a workload', () => {
  test('applies the defaults of the data plane', () => {
    const result = rawWorkload({ namespace: 'n' });
    if (!result.ok || result.value.kind !== 'workload') throw new Error('not decoded');
    expect(result.value.workload).toMatchObject({
      trustDomain: 'cluster.local',
      serviceAccount: 'default',
      clusterId: 'Kubernetes',
      capacity: 1,
      tunnelProtocol: 'NONE',
      status: 'HEALTHY',
    });
  });
  test('a capacity of 0 is not "unset"', () => {
    const result = rawWorkload({ capacity: 0 });
    expect(result.ok && result.value.kind === 'workload' && result.value.workload.capacity).toBe(0);
  });
  test.each<[string, object, string]>([
    ['no uid', { uid: '' }, 'uid: must not be empty'],
    ['a bad address', { addresses: [new Uint8Array(5)] }, 'addresses[0]: an address has 4 or 16 bytes, not 5'],
    ['legacy mTLS', { tunnelProtocol: 2 }, 'tunnel_protocol: LEGACY_ISTIO_MTLS is not supported'],
    ['an unknown tunnel', { tunnelProtocol: 9 }, 'tunnel_protocol: unknown value 9'],
    ['an unknown status', { status: 7 }, 'status: unknown value 7'],
    ['an empty gateway', { waypoint: { hboneMtlsPort: 15_008 } }, 'waypoint: neither a hostname nor an address'],
    [
      'a gateway without port',
      { networkGateway: { destination: { case: 'hostname', value: {} } } },
      'network_gateway.hbone_mtls_port: 0 is not a port',
    ],
    ['a bad service key', { services: { nohost: {} } }, 'services["nohost"]: the key must be namespace/hostname'],
    [
      'a port out of range',
      { services: { 'n/h': { ports: [{ servicePort: 70_000 }] } } },
      'services["n/h"][0].service_port: 70000 is not a port',
    ],
  ])('refuses %s', (_title, value, problem) => {
    expect(problems(rawWorkload(value))).toContain(problem);
  });
  test('reports every problem at once', () => {
    expect(problems(rawWorkload({ uid: '', tunnelProtocol: 2, status: 7 }))).toHaveLength(3);
  });
});

describe('decoding a service', () => {
  test.each<[string, object, string]>([
    ['no hostname', { hostname: '' }, 'hostname: must not be empty'],
    ['a VIP of odd length', { addresses: [{ address: new Uint8Array(3) }] }, 'addresses[0].address: an address has 4 or 16 bytes, not 3'],
    [
      'a prefix too long',
      { addresses: [{ address: new Uint8Array(4), length: 33 }] },
      'addresses[0].length: 33 is longer than the address',
    ],
    ['an unspecified scope', { loadBalancing: { routingPreference: [0] } }, 'load_balancing.routing_preference[0]: unspecified'],
    ['an unknown mode', { loadBalancing: { mode: 9 } }, 'load_balancing.mode: unknown value 9'],
    ['an unknown visibility', { visibility: 5 }, 'visibility: unknown value 5'],
    ['a weighted waypoint without destination', { weightedWaypoints: [{ weight: 1 }] }, 'weighted_waypoints[0].destination: missing'],
  ])('refuses %s', (_title, value, problem) => {
    expect(problems(rawService(value))).toContain(problem);
  });
  test('an unknown application protocol is not a reason to refuse it', () => {
    expect(rawService({ ports: [{ servicePort: 80, targetPort: 80, appProtocol: 42 }] })).toMatchObject({
      ok: true,
      value: { service: { ports: [{ appProtocol: 'UNKNOWN' }] } },
    });
  });
  test('a full-length VIP is an address', () => {
    expect(rawService({ addresses: [{ address: new Uint8Array([10, 0, 0, 1]), length: 32 }] })).toMatchObject({
      value: { service: { vips: [{ network: '', address: '10.0.0.1' }] } },
    });
  });
  test('an address that is neither workload nor service is refused', () => {
    expect(decodeAddress(new Uint8Array(0))).toEqual({ ok: false, error: ['neither a workload nor a service'] });
  });
});

describe('values of a policy that cannot be read', () => {
  const BAD_IP = { address: new Uint8Array(3), length: 8 };
  const BAD_STRING = {};
  const decode = (action: 0 | 1, value: object) => {
    const result = decodeAuthorization(
      toBinary(AuthorizationSchema, create(AuthorizationSchema, { name: 'p', action, rules: [{ clauses: [{ matches: [value] }] }] })),
    );
    if (!result.ok) throw new Error(result.error.join());
    return { only: result.value.policy.rules[0]!.clauses[0]!.matches[0]!, warnings: result.value.warnings };
  };
  test('an ALLOW whose list they empty allows nothing through it', () => {
    expect(decode(0, { sourceIps: [BAD_IP], destinationPorts: [80] }).only).toEqual(NEVER);
  });
  test('an ALLOW keeps the other values of a list', () => {
    expect(decode(0, { destinationPorts: [80, 70_000] }).only).toEqual({ ...NEVER, destinationPorts: [80] });
  });
  test('an ALLOW whose exception is lost allows nothing through it', () => {
    expect(decode(0, { notPrincipals: [BAD_STRING], destinationPorts: [80] }).only).toEqual(NEVER);
  });
  test('a DENY loses the whole list, and denies everything when nothing is left', () => {
    expect(decode(1, { sourceIps: [BAD_IP], destinationPorts: [80] }).only).toEqual({ ...NEVER, destinationPorts: [80] });
    expect(decode(1, { sourceIps: [BAD_IP] }).only).toEqual(ALWAYS);
    expect(decode(1, { notSourceIps: [BAD_IP] }).only).toEqual(ALWAYS);
  });
  test('are named in a warning', () => {
    expect(decode(1, { sourceIps: [BAD_IP] }).warnings).toEqual(['rules[0].clauses[0].matches[0].source_ips[0]: not understood']);
  });
  test('an unknown scope or action refuses the policy', () => {
    const bytes = toBinary(
      AuthorizationSchema,
      create(AuthorizationSchema, { scope: 9 as never, action: 9 as never }) /* values of a later version */,
    );
    expect(decodeAuthorization(bytes)).toEqual({
      ok: false,
      error: ['name: must not be empty', 'scope: unknown value 9', 'action: unknown value 9'],
    });
  });
});

test('names resources as Istio does', () => {
  expect(podUid('Kubernetes', 'ns', 'a-1')).toBe('Kubernetes//Pod/ns/a-1');
  expect(workloadAliases(workload('a', { network: 'n1', addresses: ['10.0.0.1', 'fd00::1'] }))).toEqual(['n1/10.0.0.1', 'n1/fd00::1']);
  const ranged = service('s', '10.96.0.1', {
    vips: [
      { network: '', address: '10.96.0.1' },
      { network: '', address: '10.0.0.0', length: 8 },
    ],
  });
  expect(serviceAliases(ranged)).toEqual(['/10.96.0.1']);
});

test('leaves the default trust domain and capacity out of the bytes', () => {
  const text = (value: Workload) => new TextDecoder('latin1').decode(encodeWorkload(value));
  expect(text(workload('a'))).not.toContain('cluster.local');
  expect(text(workload('a', { trustDomain: 'other.td' }))).toContain('other.td');
  expect(encodeWorkload(workload('a', { capacity: 2 })).length).toBe(encodeWorkload(workload('a')).length + 5);
});

test('two values that differ anywhere differ in their bytes', () => {
  const base = encodeService(service('s', '10.96.0.1'));
  expect(encodeService(service('s', '10.96.0.2'))).not.toEqual(base);
  expect(encodeService(service('s', '10.96.0.1', { ports: [port(80)] }))).not.toEqual(base);
  expect(encodeService(service('s', '10.96.0.1', { waypoint: gatewayByAddress('10.0.0.9') }))).not.toEqual(base);
  expect(encodeAuthorization(policy('p', { rules: [{ clauses: [] }] }))).not.toEqual(encodeAuthorization(policy('p')));
});
