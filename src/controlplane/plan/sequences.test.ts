import { expect, test } from 'bun:test';
import { fromBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { decodeServicePlan } from '../../mesh/http/index.ts';
import type { DestinationRule, Gateway, GatewayClass, HttpRoute, TcpRoute, VirtualService } from '../../platform/kubernetes/index.ts';
import { ServicePlanMessageSchema } from '../../protocol/messages/index.ts';
import { MeshCompiler } from '../compile/compiler.ts';
import { CONTEXT, fault, keyOf, type Entry as MeshEntry, pod, put, service } from '../compile/objects.test.ts';
import { selectsPod } from '../compile/service.ts';
import { SERVICE_PLAN_TYPE } from '../wire.ts';
import { ScopedStores } from '../xds/scoped.ts';
import { PlanCompiler, type PlannedKind, type PlannedKinds } from './compiler.ts';

type PlanEntry = { [K in PlannedKind]: { kind: K; object: PlannedKinds[K] } }[PlannedKind];
type Entry = MeshEntry | PlanEntry;

/** Both compilers with a waypoint's stores behind them. */
class Mesh {
  readonly mesh = new MeshCompiler(CONTEXT, fault);
  readonly plans = new PlanCompiler(this.mesh.view, (id, error) => {
    throw new Error(`${id}: ${error.stack}`);
  });
  readonly stores = new ScopedStores(SERVICE_PLAN_TYPE);

  put(entry: Entry): void {
    if (isPlanned(entry)) this.#set(entry.kind, keyOf(entry.object), entry.object);
    else put(this.mesh, entry);
  }
  remove(entry: Entry): void {
    if (isPlanned(entry)) this.#set(entry.kind, keyOf(entry.object), undefined);
    else this.mesh.remove(entry.kind, keyOf(entry.object));
  }
  #set(kind: PlannedKind, key: string, object: PlanEntry['object'] | undefined): void {
    // The entry's type ties the object to its kind.
    (this.plans.set as (kind: PlannedKind, key: string, object: unknown) => void).call(this.plans, kind, key, object);
  }
  flush(): void {
    const { services, movedPods } = this.mesh.flush();
    for (const name of services) this.plans.serviceChanged(name);
    for (const { namespace, labels } of movedPods)
      this.plans.podsChanged(namespace, (name) => {
        const found = this.mesh.view.service(namespace, name);
        return found !== undefined && selectsPod(found, labels);
      });
    this.stores.apply(this.plans.flush());
  }
  /** waypoint → service → plan, with what is found about each service. */
  snapshot(): unknown {
    const plans = Object.fromEntries(
      [...this.stores.scopes()]
        .sort()
        .map(
          (scope) =>
            [
              scope,
              Object.fromEntries(
                [...this.stores.scope(scope).all()].map(({ name, encoded }) => [name, Buffer.from(encoded).toString()]).sort(),
              ),
            ] as const,
        )
        .filter(([, resources]) => Object.keys(resources).length > 0),
    );
    const findings = SERVICES.map((name) => this.plans.findings(name));
    return { plans, findings, attached: [...this.plans.attachedRoutes()].sort() };
  }
}
const isPlanned = (entry: Entry): entry is PlanEntry =>
  ['HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute', 'ReferenceGrant', 'VirtualService', 'DestinationRule'].includes(entry.kind);

const NAMES = ['a', 'b'] as const;
const NAMESPACES = ['shop', 'bank'] as const;
const SERVICES = NAMESPACES.flatMap((namespace) => NAMES.map((name) => `${namespace}/${name}.${namespace}.svc.cluster.local`));
const name = fc.constantFrom(...NAMES);
const namespace = fc.constantFrom(...NAMESPACES);
/** Versions of one object differ in their generation, as the API server has it. */
let generation = 0;
const meta = (n: string, home: string) => ({
  name: n,
  namespace: home,
  uid: `${home}/${n}`,
  generation: ++generation,
  creationTimestamp: '2026-01-01T00:00:00Z',
});
const parent = fc.record(
  { group: fc.constant(''), kind: fc.constant('Service'), name, port: fc.constantFrom(80, 81) },
  { requiredKeys: ['group', 'kind', 'name'] },
);
const backend = fc.record(
  { name, namespace, port: fc.constantFrom(80, 99), weight: fc.constantFrom(1, 2) },
  { requiredKeys: ['name', 'port'] },
);

const httpRoute = fc
  .tuple(
    name,
    namespace,
    fc.array(parent, { minLength: 1, maxLength: 2 }),
    fc.array(backend, { maxLength: 2 }),
    fc.constantFrom('/', '/x', '/y'),
  )
  .map(
    ([n, home, parentRefs, backendRefs, value]): Entry => ({
      kind: 'HTTPRoute',
      object: {
        metadata: meta(n, home),
        spec: { parentRefs, rules: [{ matches: [{ path: { type: 'PathPrefix', value } }], backendRefs }] },
      } as HttpRoute,
    }),
  );
const tcpRoute = fc.tuple(name, namespace, parent, backend).map(
  ([n, home, parentRef, backendRef]): Entry => ({
    kind: 'TCPRoute',
    object: { metadata: meta(n, home), spec: { parentRefs: [parentRef], rules: [{ backendRefs: [backendRef] }] } } as TcpRoute,
  }),
);
const grant = fc.tuple(namespace, namespace).map(
  ([home, from]): Entry => ({
    kind: 'ReferenceGrant',
    object: {
      metadata: meta('g', home),
      spec: { from: [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: from }], to: [{ group: '', kind: 'Service' }] },
    },
  }),
);
const host = fc.constantFrom('a', 'b', 'a.bank.svc.cluster.local', '*.shop.svc.cluster.local', '*');
const virtualService = fc
  .tuple(name, namespace, host, fc.constantFrom('a', 'b.bank.svc.cluster.local', 'nobody'), fc.constantFrom('v1', 'v2', undefined))
  .map(
    ([n, home, h, to, subset]): Entry => ({
      kind: 'VirtualService',
      object: {
        metadata: meta(n, home),
        spec: { hosts: [h], http: [{ route: [{ destination: { host: to, ...(subset !== undefined && { subset }) } }] }] },
      } as VirtualService,
    }),
  );
const destinationRule = fc.tuple(name, namespace, host, fc.subarray(['v1', 'v2'])).map(
  ([n, home, h, subsets]): Entry => ({
    kind: 'DestinationRule',
    object: {
      metadata: meta(n, home),
      spec: { host: h, subsets: subsets.map((version) => ({ name: version, labels: { version } })) },
    } as DestinationRule,
  }),
);
const boundService = (n: string, home: string, port: number, use: string): Entry => {
  const entry = service(n, { ports: [{ name: 'http', port }], selector: { app: n } }, home);
  entry.object.metadata.labels = { 'istio.io/use-waypoint': use, 'istio.io/use-waypoint-namespace': 'shop' };
  return entry;
};
const kubeService = fc
  .tuple(name, namespace, fc.constantFrom(80, 81), fc.constantFrom('wp', 'wp', 'none'))
  .map(([n, home, port, use]) => boundService(n, home, port, use));
const endpoint = fc
  .tuple(fc.constantFrom('p', 'q'), namespace, name, fc.constantFrom('v1', 'v2'), fc.constantFrom('', '10.0.0.1'))
  .map(([n, home, app, version, ip]) => pod(n, { namespace: home, labels: { app, version }, ip }));
const waypoint = (isReady: boolean): Entry => ({
  kind: 'Gateway',
  object: {
    metadata: { name: 'wp', namespace: 'shop' },
    spec: {
      gatewayClassName: 'istio-waypoint',
      listeners: [{ name: 'mesh', port: 15_008, protocol: 'HBONE', allowedRoutes: { namespaces: { from: 'All' } } }],
    },
    ...(isReady && { status: { addresses: [{ type: 'Hostname', value: 'wp.shop.svc.cluster.local' }], conditions: [] } }),
  } satisfies Gateway,
});
const gateway = fc.constantFrom(true, true, true, false).map(waypoint);
const waypointClass: Entry = {
  kind: 'GatewayClass',
  object: { metadata: { name: 'istio-waypoint' }, spec: { controllerName: 'istio.io/mesh-controller' } } satisfies GatewayClass,
};
const object: fc.Arbitrary<Entry> = fc.oneof(
  { weight: 3, arbitrary: httpRoute },
  tcpRoute,
  grant,
  { weight: 2, arbitrary: virtualService },
  { weight: 2, arbitrary: destinationRule },
  { weight: 3, arbitrary: kubeService },
  { weight: 2, arbitrary: endpoint },
  gateway,
);

/** So that most sequences have something to route. */
const BEGINNING: readonly Entry[] = [waypoint(true), ...NAMES.map((n) => boundService(n, 'shop', 80, 'wp'))];

test('any sequence of changes gives each waypoint the plans that compiling the result from nothing gives', () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: object.map((entry) => ({ do: 'put' as const, entry })) },
    { weight: 1, arbitrary: fc.nat().map((index) => ({ do: 'remove' as const, index })) },
    { weight: 2, arbitrary: fc.constant({ do: 'flush' as const }) },
  );
  let plansSeen = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 60, size: 'max' }), (steps) => {
      const objects = new Map<string, Entry>();
      const grown = new Mesh();
      grown.put(waypointClass);
      for (const entry of BEGINNING) {
        objects.set(`${entry.kind} ${keyOf(entry.object)}`, entry);
        grown.put(entry);
      }
      for (const action of steps) {
        if (action.do === 'flush') grown.flush();
        else if (action.do === 'put') {
          objects.set(`${action.entry.kind} ${keyOf(action.entry.object)}`, action.entry);
          grown.put(action.entry);
        } else if (objects.size > 0) {
          const [key, entry] = [...objects][action.index % objects.size]!;
          objects.delete(key);
          grown.remove(entry);
        }
      }
      grown.flush();
      const made = new Mesh();
      made.put(waypointClass);
      for (const entry of objects.values()) made.put(entry);
      made.flush();
      expect(grown.snapshot()).toEqual(made.snapshot());
      plansSeen += made.stores.size;
    }),
    { numRuns: 100 },
  );
  expect(plansSeen).toBeGreaterThan(30);
}, 30_000);

test('everything a compiler makes is a plan that a waypoint takes', () => {
  fc.assert(
    fc.property(fc.array(object, { minLength: 10, maxLength: 40, size: 'max' }), (entries) => {
      const mesh = new Mesh();
      for (const entry of [waypointClass, ...BEGINNING, ...entries]) mesh.put(entry);
      const problems: string[] = [];
      const { services } = mesh.mesh.flush();
      for (const changed of services) mesh.plans.serviceChanged(changed);
      for (const resources of mesh.plans.flush().values()) {
        for (const [key, resource] of resources) {
          const decoded = resource && decodeServicePlan(fromBinary(ServicePlanMessageSchema, resource.value).plan);
          if (decoded?.ok === false) problems.push(`${key}: ${decoded.error}`);
        }
      }
      expect(problems).toEqual([]);
    }),
    { numRuns: 60 },
  );
});
