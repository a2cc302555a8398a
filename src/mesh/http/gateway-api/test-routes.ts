/** The services and ports of the mesh conformance suite, for the tests of this folder. */
import { checkRegex } from '../regex.ts';
import { compileRoute } from './compile-route.ts';
import type { CompiledRoute } from './compiled-route.ts';
import type { RouteLookup, RouteTarget } from './lookup.ts';
import type { BackendReference, HttpRouteRule, ParentReference, ReferenceGrantObject, RouteKind, RouteObjects } from './objects.ts';

export const NAMESPACE = 'gateway-conformance-mesh';
export const CONSUMER = 'gateway-conformance-mesh-consumer';

/** `namespace/hostname` of a Service. */
export const serviceKey = (name: string, namespace = NAMESPACE): string => `${namespace}/${name}.${namespace}.svc.cluster.local`;

const PORTS = [
  { port: 80, name: 'http', protocol: 'HTTP11' },
  { port: 8080, name: 'http-alt', protocol: 'HTTP11' },
  { port: 443, name: 'https', protocol: 'TLS' },
  { port: 9090, name: 'tcp', protocol: 'TCP' },
  { port: 7070, name: 'grpc', protocol: 'GRPC' },
] as const;

interface World {
  readonly grants?: readonly ReferenceGrantObject[];
  readonly missing?: readonly string[];
  readonly unbound?: readonly string[];
}

/** Services echo, echo-v1, echo-v2 and echo-v3 in the conformance namespace, `other` in namespace `elsewhere`, and a ServiceEntry. */
export const world = ({ grants = [], missing = [], unbound = [] }: World = {}): RouteLookup => {
  const services = new Map<string, readonly RouteTarget[]>();
  const add = (name: string, namespace: string): void => {
    const service = { key: serviceKey(name, namespace), ports: PORTS, isBoundToWaypoint: !unbound.includes(name) };
    if (missing.includes(name)) return;
    services.set(`Service/${namespace}/${name}`, [service]);
    services.set(`Hostname/${NAMESPACE}/${name}.${namespace}.svc.cluster.local`, [service]);
  };
  for (const name of ['echo', 'echo-v1', 'echo-v2', 'echo-v3']) add(name, NAMESPACE);
  add('other', 'elsewhere');
  const external = ['api.example.com', 'www.example.com'].map((host) => ({
    key: `${NAMESPACE}/${host}`,
    ports: [{ port: 443, name: 'https' }],
    isBoundToWaypoint: true,
  }));
  services.set(`ServiceEntry/${NAMESPACE}/external`, external);
  for (const service of external) services.set(`Hostname/${service.key}`, [service]);
  return {
    controllerName: 'istio.io/mesh-controller',
    services: (kind, namespace, name) => services.get(`${kind}/${namespace}/${name}`) ?? [],
    grants: (namespace) => grants.filter(({ metadata }) => metadata.namespace === namespace),
    checkRegex,
  };
};

export const parent = (name: string, more: Partial<ParentReference> = {}): ParentReference => ({
  group: '',
  kind: 'Service',
  name,
  ...more,
});
export const ref = (name: string, port = 8080, more: Partial<BackendReference> = {}): BackendReference => ({ name, port, ...more });

interface RouteOptions {
  readonly name?: string;
  readonly namespace?: string;
  readonly created?: string;
  readonly parents?: readonly ParentReference[];
  readonly hostnames?: readonly string[];
  readonly lookup?: RouteLookup;
}

export const compile = <K extends RouteKind>(
  kind: K,
  rules: NonNullable<RouteObjects[K]['spec']>['rules'],
  { name = 'route', namespace = NAMESPACE, created = '2026-01-01T00:00:00Z', parents, hostnames, lookup = world() }: RouteOptions = {},
): CompiledRoute => {
  const object = {
    metadata: { name, namespace, creationTimestamp: created },
    spec: { parentRefs: parents ?? [parent('echo', { port: 80 })], hostnames, rules },
  };
  return compileRoute(kind, object as RouteObjects[K], lookup); // the rules are those of the kind
};

export const http = (rules: readonly HttpRouteRule[], options: RouteOptions = {}): CompiledRoute => compile('HTTPRoute', rules, options);

/** `type=status reason` of the first parent's conditions. */
export const conditionsOf = (
  parents: readonly { readonly conditions: readonly { type: string; status: string; reason: string }[] }[],
): string[] => (parents[0]?.conditions ?? []).map(({ type, status, reason }) => `${type}=${status} ${reason}`);
