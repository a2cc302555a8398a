/** Objects and comparisons that the compiler's tests share; a test file only so that the import rule leaves it alone. */
import type {
  AuthorizationPolicy,
  NetworkPolicy,
  PeerAuthentication,
  Pod,
  Service,
  ServiceEntry,
  WorkloadEntry,
} from '../../platform/kubernetes/index.ts';
import { ResourceStore } from '../xds/store.ts';
import { MeshCompiler } from './compiler.ts';
import type { CompiledKind, CompiledKinds } from './kinds.ts';

export const CONTEXT = {
  clusterId: 'Kubernetes',
  trustDomain: 'cluster.local',
  rootNamespace: 'istio-system',
  clusterDomain: 'cluster.local',
  network: '',
  networkPolicies: true,
  networkPolicyAuthorizations: false,
};
export type AnyObject = CompiledKinds[CompiledKind];
export type Entry = { [K in CompiledKind]: { kind: K; object: CompiledKinds[K] } }[CompiledKind];

export const pod = (
  name: string,
  change: {
    namespace?: string;
    ip?: string;
    labels?: Record<string, string>;
    node?: string;
    hbone?: boolean;
    ready?: boolean;
    phase?: string;
    deleting?: boolean;
    spec?: Partial<Pod['spec']>;
    owner?: { kind: string; name: string };
  } = {},
): Entry => ({
  kind: 'Pod',
  object: {
    metadata: {
      name,
      namespace: change.namespace ?? 'shop',
      labels: change.labels ?? { app: 'web' },
      ...(change.hbone && { annotations: { 'ambient.istio.io/redirection': 'enabled' } }),
      ...(change.deleting && { deletionTimestamp: '2026-01-01T00:00:00Z' }),
      ...(change.owner && { ownerReferences: [{ apiVersion: 'apps/v1', uid: 'u', controller: true, ...change.owner }] }),
    },
    spec: {
      nodeName: change.node ?? 'node1',
      containers: [{ name: 'app', ports: [{ name: 'web', containerPort: 8080 }] }],
      ...change.spec,
    },
    status: {
      phase: change.phase ?? 'Running',
      podIPs: change.ip === '' ? [] : [{ ip: change.ip ?? '10.244.1.5' }],
      conditions: [{ type: 'Ready', status: change.ready === false ? 'False' : 'True' }],
    },
  },
});
export const service = (name: string, spec: Partial<NonNullable<Service['spec']>> = {}, namespace = 'shop'): Entry => ({
  kind: 'Service',
  object: {
    metadata: { name, namespace },
    spec: { clusterIP: '10.96.0.9', selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }], ...spec },
  },
});
export const policy = (name: string, spec: NonNullable<AuthorizationPolicy['spec']>, namespace = 'shop'): Entry => ({
  kind: 'AuthorizationPolicy',
  object: { metadata: { name, namespace }, spec },
});
export const networkPolicy = (name: string, spec: NonNullable<NetworkPolicy['spec']>, namespace = 'shop'): Entry => ({
  kind: 'NetworkPolicy',
  object: { metadata: { name, namespace }, spec },
});
export const peer = (
  name: string,
  spec: NonNullable<PeerAuthentication['spec']>,
  namespace = 'shop',
  created = '2026-01-01T00:00:00Z',
): Entry => ({ kind: 'PeerAuthentication', object: { metadata: { name, namespace, creationTimestamp: created }, spec } });

export const serviceEntry = (
  name: string,
  spec: Partial<ServiceEntry['spec']> = {},
  over: { namespace?: string; created?: string; labels?: Record<string, string>; addresses?: { value: string; host?: string }[] } = {},
): Entry => ({
  kind: 'ServiceEntry',
  object: {
    metadata: {
      name,
      namespace: over.namespace ?? 'shop',
      creationTimestamp: over.created ?? '2026-01-01T00:00:00Z',
      ...(over.labels && { labels: over.labels }),
    },
    spec: { hosts: ['db.example.com'], ports: [{ number: 5432, name: 'pg', protocol: 'TCP' }], resolution: 'STATIC', ...spec },
    ...(over.addresses && { status: { addresses: over.addresses } }),
  },
});
export const workloadEntry = (name: string, spec: WorkloadEntry['spec'], namespace = 'shop'): Entry => ({
  kind: 'WorkloadEntry',
  object: { metadata: { name, namespace }, spec },
});

export const keyOf = (object: { readonly metadata: { namespace?: string; name?: string } }): string =>
  object.metadata.namespace ? `${object.metadata.namespace}/${object.metadata.name}` : (object.metadata.name ?? '');
export const put = (compiler: MeshCompiler, entry: Entry): void =>
  (compiler.upsert as (kind: CompiledKind, object: AnyObject) => void).call(compiler, entry.kind, entry.object);

/** name → version of everything, from objects alone. */
export function compile(entries: Iterable<Entry>): Map<string, string> {
  const compiler = new MeshCompiler(CONTEXT, fault);
  for (const entry of entries) put(compiler, entry);
  const stores = newStores();
  flush(compiler, stores);
  return snapshot(stores);
}
export const fault = (kind: string, key: string, error: Error): never => {
  throw new Error(`${kind} ${key}: ${error.stack}`);
};
export type Stores = readonly [addresses: ResourceStore, authorizations: ResourceStore, networkPolicies: ResourceStore];
export const newStores = (): Stores => [new ResourceStore('a'), new ResourceStore('p'), new ResourceStore('n')];
/** Until nothing is left to do: what goes may take a second step. */
export function flush(compiler: MeshCompiler, stores: Stores): void {
  do {
    const { addresses, authorizations, networkPolicies } = compiler.flush();
    stores[0].apply(addresses);
    stores[1].apply(authorizations);
    stores[2].apply(networkPolicies);
  } while (compiler.isDirty);
}
export const snapshot = (stores: readonly ResourceStore[]): Map<string, string> =>
  new Map(
    stores
      .flatMap((store) => [...store.all()].map((resource): [string, string] => [`${store.typeUrl} ${resource.name}`, resource.version]))
      .sort(),
  );
