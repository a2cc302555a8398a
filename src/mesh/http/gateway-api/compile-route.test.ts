import { describe, expect, test } from 'bun:test';
import { mergeRoutes } from './merge-routes.ts';
import { PROGRAMMED, routeStatus } from './route-status.ts';
import { CONSUMER, compile, conditionsOf, http, NAMESPACE, parent, ref, serviceKey, world } from './test-routes.ts';

const toEcho = [{ backendRefs: [ref('echo-v1')] }];

const backendsOf = (compiled: ReturnType<typeof http>) => {
  const fragment = compiled.parents[0]?.attachments[0]?.fragment;
  return fragment?.kind === 'http' ? fragment.actions[0]?.backends : fragment?.backends;
};

const grant = (kind: string, namespace = 'elsewhere', name?: string) => ({
  metadata: { name: 'grant', namespace },
  spec: {
    from: [{ group: 'gateway.networking.k8s.io', kind, namespace: NAMESPACE }],
    to: [{ group: '', kind: 'Service', ...(name !== undefined && { name }) }],
  },
});

describe('parents', () => {
  test('a Gateway is somebody else’s: no status, no attachment', () => {
    const compiled = http(toEcho, { parents: [{ name: 'ingress' }, { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'x' }] });
    expect(compiled.parents).toEqual([]);
    expect(routeStatus(compiled)).toEqual({ parents: [] });
  });

  test('each parent that is a service has its own status', () => {
    const missing = parent('nobody');
    const compiled = http(toEcho, { parents: [{ name: 'ingress' }, parent('echo'), missing] });
    const { parents } = routeStatus(compiled);
    expect(parents.map(({ parentRef, controllerName }) => [parentRef.name, controllerName])).toEqual([
      ['echo', 'istio.io/mesh-controller'],
      ['nobody', 'istio.io/mesh-controller'],
    ]);
    expect(conditionsOf(parents)).toEqual([
      'Accepted=True Accepted',
      'ResolvedRefs=True ResolvedRefs',
      'lateen.dev/Programmed=True Programmed',
    ]);
    expect(conditionsOf(parents.slice(1))).toEqual(['Accepted=False NoMatchingParent', 'ResolvedRefs=True ResolvedRefs']);
    expect(parents[1]?.conditions[0]?.message).toBe(`Service ${NAMESPACE}/nobody does not exist`);
  });

  test.each([
    [{}, [0]],
    [{ port: 80 }, [80]],
    [{ sectionName: 'http-alt' }, [8080]],
    [{ sectionName: 'http', port: 80 }, [80]],
    [{ sectionName: 'http', port: 8080 }, []],
    [{ port: 81 }, []],
    [{ sectionName: 'nothing' }, []],
  ] as const)('a parentRef with %j selects ports %j', (more, ports) => {
    const compiled = http(toEcho, { parents: [parent('echo', more)] });
    expect(compiled.parents[0]?.attachments.map(({ port }) => port)).toEqual([...ports]);
    expect(conditionsOf(compiled.parents)[0]).toBe(ports.length > 0 ? 'Accepted=True Accepted' : 'Accepted=False NoMatchingParent');
  });

  test('a ServiceEntry is attached to by each of its hosts', () => {
    const entry = { group: 'networking.istio.io', kind: 'ServiceEntry', name: 'external' };
    const compiled = http(toEcho, { parents: [entry] });
    expect(compiled.parents[0]?.attachments.map(({ service }) => service)).toEqual([
      `${NAMESPACE}/api.example.com`,
      `${NAMESPACE}/www.example.com`,
    ]);
  });

  test('a route of a service that has no waypoint is accepted and said to be without effect', () => {
    const compiled = http(toEcho, { lookup: world({ unbound: ['echo'] }) });
    const { parents } = routeStatus(compiled);
    expect(conditionsOf(parents)).toEqual([
      'Accepted=True Accepted',
      'ResolvedRefs=True ResolvedRefs',
      'lateen.dev/Programmed=False NoWaypoint',
    ]);
    expect(parents[0]?.conditions[2]?.message).toContain(serviceKey('echo'));
  });

  test.each([
    ['HTTPRoute', 443, 'ProtocolMismatch'],
    ['HTTPRoute', 9090, 'ProtocolMismatch'],
    ['HTTPRoute', 7070, 'Programmed'],
    ['HTTPRoute', undefined, 'Programmed'],
    ['TLSRoute', 80, 'ProtocolMismatch'],
    ['TLSRoute', 443, 'Programmed'],
    ['TCPRoute', 80, 'Programmed'],
  ] as const)('a %s on port %p whose traffic is declared is %s', (kind, port, reason) => {
    const compiled = compile(kind, toEcho, { parents: [parent('echo', { port })], hostnames: ['a.com'] });
    const state = routeStatus(compiled).parents[0]?.conditions.find(({ type }) => type === PROGRAMMED);
    expect(state?.reason).toBe(reason);
    if (reason !== 'Programmed') expect(state?.message).toContain(`port ${port} as`);
  });

  test('hostnames are ignored, and the status says so', () => {
    const compiled = http(toEcho, { hostnames: ['example.com'] });
    expect(compiled.parents[0]?.conditions[0]?.message).toContain('hostnames have no meaning');
    const { ports } = mergeRoutes(serviceKey('echo'), [compiled]);
    expect(ports[0]?.http?.rules).toEqual([{ match: {}, action: 0 }]);
  });

  test('what the outcome depends on is listed, missing services included', () => {
    const compiled = http([{ backendRefs: [ref('nobody'), ref('other', 80, { namespace: 'elsewhere' })] }]);
    expect(compiled.dependencies).toEqual({
      services: [`Service/${NAMESPACE}/echo`, `Service/${NAMESPACE}/nobody`],
      grants: ['elsewhere'],
    });
  });
});

describe('backends', () => {
  test.each([
    ['of an unknown kind', { ...ref('x'), kind: 'Bucket', group: 'storage.example.com' }, 'InvalidKind'],
    ['of a Service that does not exist', ref('nobody'), 'BackendNotFound'],
    ['of a port that does not exist', ref('echo-v1', 81), 'BackendNotFound'],
    ['in another namespace without a grant', ref('other', 80, { namespace: 'elsewhere' }), 'RefNotPermitted'],
    [
      'by the host of a Service in another namespace',
      { group: 'networking.istio.io', kind: 'Hostname', name: 'other.elsewhere.svc.cluster.local', port: 80 },
      'RefNotPermitted',
    ],
    [
      'of a host nobody defines',
      { group: 'networking.istio.io', kind: 'Hostname', name: 'nowhere.example.com', port: 443 },
      'BackendNotFound',
    ],
  ] as const)('a backend %s fails its own share only', (_, bad, reason) => {
    const compiled = http([{ backendRefs: [ref('echo-v1'), bad] }]);
    expect(conditionsOf(compiled.parents)).toEqual(['Accepted=True Accepted', `ResolvedRefs=False ${reason}`]);
    const backends = backendsOf(compiled);
    expect(backends?.[0]).toEqual({ service: serviceKey('echo-v1'), port: 8080, weight: 1 });
    expect(backends?.[1]?.invalid).toBeString();
    expect(backends?.[1]?.weight).toBe(1);
    expect(compiled.parents[0]?.conditions[1]?.message).toStartWith('spec.rules[0].backendRefs[1]: ');
  });

  test('a Service without a port refuses the route', () => {
    const compiled = http([{ backendRefs: [{ name: 'echo-v1' }] }]);
    expect(compiled.refused?.map(({ field }) => field)).toEqual(['spec.rules[0].backendRefs[0].port']);
  });

  test.each([
    ['ServiceEntry', 'external', `${NAMESPACE}/api.example.com`],
    ['Hostname', 'www.example.com', `${NAMESPACE}/www.example.com`],
  ])('a %s of Istio is a backend', (kind, name, service) => {
    const compiled = http([{ backendRefs: [{ group: 'networking.istio.io', kind, name, port: 443 }] }]);
    expect(backendsOf(compiled)).toEqual([{ service, port: 443, weight: 1 }]);
  });

  test.each([
    ['for the kind of route', grant('HTTPRoute'), true],
    ['for one service', grant('HTTPRoute', 'elsewhere', 'other'), true],
    ['for another service', grant('HTTPRoute', 'elsewhere', 'another'), false],
    ['for another kind of route', grant('GRPCRoute'), false],
    ['in another namespace', grant('HTTPRoute', NAMESPACE), false],
  ] as const)('a ReferenceGrant %s decides about another namespace', (_, given, isPermitted) => {
    const compiled = http([{ backendRefs: [ref('other', 80, { namespace: 'elsewhere' })] }], { lookup: world({ grants: [given] }) });
    expect(backendsOf(compiled)?.[0]?.invalid === undefined).toBe(isPermitted);
  });

  test('a consumer route needs no grant for the namespace of its parent, a producer route for that of its backend', () => {
    const consumer = http([{ backendRefs: [ref('echo-v1', 80, { namespace: NAMESPACE })] }], {
      namespace: CONSUMER,
      parents: [parent('echo', { namespace: NAMESPACE })],
    });
    expect(conditionsOf(consumer.parents)[1]).toBe('ResolvedRefs=True ResolvedRefs');
    // The same backend under a parent elsewhere: that parent's clients have no claim on it.
    const elsewhere = http([{ backendRefs: [ref('echo-v1', 80, { namespace: NAMESPACE })] }], {
      namespace: CONSUMER,
      parents: [parent('other', { namespace: 'elsewhere' })],
    });
    expect(conditionsOf(elsewhere.parents)[1]).toBe('ResolvedRefs=False RefNotPermitted');
  });

  test('a route in two namespaces is judged for each parent', () => {
    const compiled = http([{ backendRefs: [ref('other', 80, { namespace: 'elsewhere' })] }], {
      parents: [parent('echo'), parent('other', { namespace: 'elsewhere' })],
    });
    expect(compiled.parents.map(({ conditions }) => conditions[1]?.reason)).toEqual(['RefNotPermitted', 'ResolvedRefs']);
  });
});

describe('routes of connections', () => {
  test('a TCPRoute sends all of a port’s traffic to its backends, recognised HTTP included', () => {
    const compiled = compile('TCPRoute', [{ backendRefs: [{ ...ref('echo-v1', 9090), weight: 9 }, ref('echo-v2', 9090)] }], {
      parents: [parent('echo', { port: 9090 })],
    });
    const { ports } = mergeRoutes(serviceKey('echo'), [compiled]);
    const name = `TCPRoute/${NAMESPACE}/route/0`;
    const backends = [
      { service: serviceKey('echo-v1'), port: 9090, weight: 9 },
      { service: serviceKey('echo-v2'), port: 9090, weight: 1 },
    ];
    expect(ports).toEqual([
      { port: 9090, http: { rules: [{ match: {}, action: 0 }], actions: [{ name, backends }] }, tcp: [{ name, backends }] },
    ]);
  });

  test('a TLSRoute goes by server name, exact names before wildcards', () => {
    const options = { parents: [parent('echo', { port: 443 })] };
    const wild = compile('TLSRoute', [{ backendRefs: [ref('echo-v1', 443)] }], {
      ...options,
      name: 'wild',
      hostnames: ['*.example.com', '*.a.example.com'],
    });
    const exact = compile('TLSRoute', [{ backendRefs: [ref('echo-v2', 443)] }], {
      ...options,
      name: 'exact',
      created: '2026-02-01T00:00:00Z',
      hostnames: ['x.a.example.com', '*.example.com'],
    });
    const { ports, conflicts } = mergeRoutes(serviceKey('echo'), [exact, wild]);
    expect(ports[0]?.tls?.map(({ name, sniHosts }) => [name.split('/')[2], ...sniHosts])).toEqual([
      ['exact', 'x.a.example.com'],
      ['wild', '*.a.example.com'],
      ['wild', '*.example.com'],
    ]);
    expect(ports[0]?.http).toBeUndefined();
    expect(conflicts).toEqual([]);
  });

  test.each([
    ['TLSRoute without hostnames', compile('TLSRoute', [{ backendRefs: [ref('echo-v1', 443)] }]), 'spec.hostnames'],
    ['TLSRoute with an address', compile('TLSRoute', [{ backendRefs: [] }], { hostnames: ['a_b'] }), 'spec.hostnames[0]'],
    ['TCPRoute with two rules', compile('TCPRoute', [{ backendRefs: [] }, { backendRefs: [] }]), 'spec.rules[1]'],
  ])('a %s is refused', (_, compiled, field) => {
    expect(compiled.refused?.[0]?.field).toBe(field);
    expect(conditionsOf(compiled.parents)[0]).toBe('Accepted=False UnsupportedValue');
  });
});
