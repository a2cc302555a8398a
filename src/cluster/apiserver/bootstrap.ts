import { BUILT_IN_KINDS, type ObjectMeta, type PolicyRule } from '../../platform/kubernetes/kinds/index.ts';
import { ensureDefinitions } from './built-in-definitions.ts';
import type { Context } from './context.ts';
import { equal, type JsonObject } from './json.ts';
import { create, replace } from './operations.ts';
import type { StoredObject } from './store.ts';

const RBAC = 'rbac.authorization.k8s.io';
const READ = ['get', 'list', 'watch'];
const WRITE = ['create', 'delete', 'deletecollection', 'patch', 'update'];
const SERVED: Readonly<Record<string, readonly string[]>> = {
  '': ['configmaps', 'endpoints', 'events', 'pods', 'pods/log', 'pods/status', 'serviceaccounts', 'services', 'services/status'],
  apps: [
    'daemonsets',
    'daemonsets/status',
    'deployments',
    'deployments/scale',
    'deployments/status',
    'replicasets',
    'replicasets/scale',
    'replicasets/status',
  ],
  batch: ['jobs', 'jobs/status'],
  autoscaling: ['horizontalpodautoscalers'],
  policy: ['poddisruptionbudgets'],
  'networking.k8s.io': ['networkpolicies'],
  'discovery.k8s.io': ['endpointslices'],
  ...custom(),
};

/** What users of a namespace have in it of the kinds that definitions make in other clusters. */
function custom(): Record<string, string[]> {
  const served: Record<string, string[]> = {};
  for (const kind of BUILT_IN_KINDS)
    if (kind.isCustom && kind.namespaced) served[kind.group] = [...(served[kind.group] ?? []), kind.plural];
  return served;
}

const over = (verbs: readonly string[], skip: readonly string[] = []): PolicyRule[] =>
  Object.entries(SERVED).map(([group, resources]) => ({
    apiGroups: [group],
    resources: resources.filter((name) => !skip.includes(name)),
    verbs: [...verbs],
  }));
const rule = (apiGroups: string[], resources: string[], verbs: string[]): PolicyRule => ({ apiGroups, resources, verbs });
const paths = (nonResourceURLs: string[]): PolicyRule => ({ nonResourceURLs, verbs: ['get'] });

const EDIT: PolicyRule[] = [
  ...over([...READ, ...WRITE]),
  rule([''], ['secrets'], [...READ, ...WRITE]),
  rule([''], ['pods/attach', 'pods/exec', 'pods/portforward', 'pods/proxy', 'services/proxy'], [...READ, ...WRITE]),
  rule([''], ['pods/eviction', 'serviceaccounts/token'], ['create']),
  rule([''], ['namespaces'], READ),
];

const ALL: PolicyRule[] = [rule(['*'], ['*'], ['*']), { nonResourceURLs: ['*'], verbs: ['*'] }];

const CLUSTER_ROLES: Readonly<Record<string, PolicyRule[]>> = {
  'cluster-admin': ALL,
  admin: [
    ...EDIT,
    rule([RBAC], ['roles', 'rolebindings'], [...READ, ...WRITE]),
    rule(['authorization.k8s.io'], ['localsubjectaccessreviews'], ['create']),
  ],
  edit: EDIT,
  view: [...over(READ), rule([''], ['namespaces'], READ)],
  // every controller of the embedded cluster runs as this one user
  'system:kube-controller-manager': ALL,
  'system:node': [
    rule([''], ['services', 'endpoints', 'namespaces', 'configmaps', 'secrets', 'serviceaccounts'], READ),
    rule(['discovery.k8s.io'], ['endpointslices'], READ),
    rule([''], ['nodes', 'nodes/status', 'pods', 'pods/status'], [...READ, ...WRITE]),
    rule([''], ['events'], ['create', 'patch', 'update']),
    rule([''], ['serviceaccounts/token'], ['create']),
    rule([''], ['pods/eviction'], ['create']),
    rule(['coordination.k8s.io'], ['leases'], [...READ, ...WRITE]),
    rule(['authentication.k8s.io'], ['tokenreviews'], ['create']),
    rule(['authorization.k8s.io'], ['subjectaccessreviews', 'localsubjectaccessreviews'], ['create']),
  ],
  'system:discovery': [
    paths(['/api', '/api/*', '/apis', '/apis/*', '/healthz', '/livez', '/openapi', '/openapi/*', '/readyz', '/version', '/version/']),
  ],
  'system:public-info-viewer': [paths(['/healthz', '/livez', '/readyz', '/version', '/version/'])],
  'system:basic-user': [
    rule(['authorization.k8s.io'], ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'], ['create']),
    rule(['authentication.k8s.io'], ['selfsubjectreviews'], ['create']),
  ],
  'system:service-account-issuer-discovery': [
    paths(['/.well-known/openid-configuration', '/.well-known/openid-configuration/', '/openid/v1/jwks', '/openid/v1/jwks/']),
  ],
  'system:auth-delegator': [
    rule(['authentication.k8s.io'], ['tokenreviews'], ['create']),
    rule(['authorization.k8s.io'], ['subjectaccessreviews'], ['create']),
  ],
};

const BINDINGS: readonly (readonly [name: string, role: string, kind: 'Group' | 'User', subjects: readonly string[]])[] = [
  ['cluster-admin', 'cluster-admin', 'Group', ['system:masters']],
  ['system:node', 'system:node', 'Group', ['system:nodes']],
  ['system:kube-controller-manager', 'system:kube-controller-manager', 'User', ['system:kube-controller-manager']],
  ['system:discovery', 'system:discovery', 'Group', ['system:authenticated']],
  ['system:basic-user', 'system:basic-user', 'Group', ['system:authenticated']],
  ['system:public-info-viewer', 'system:public-info-viewer', 'Group', ['system:authenticated', 'system:unauthenticated']],
  ['system:service-account-issuer-discovery', 'system:service-account-issuer-discovery', 'Group', ['system:serviceaccounts']],
];

const LABELS = { 'kubernetes.io/bootstrapping': 'rbac-defaults' };

/** Makes what every cluster has: the system namespaces, the bootstrap roles, and the Service of the API server itself. Repeats safely. */
export function bootstrap(context: Context, endpoint: { address: string; port: number }): void {
  for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease'])
    ensure(context, '/namespaces', '', { metadata: { name } });
  for (const [name, rules] of Object.entries(CLUSTER_ROLES)) {
    ensure(context, `${RBAC}/clusterroles`, '', { metadata: { name, labels: LABELS }, rules });
  }
  for (const [name, role, kind, subjects] of BINDINGS) {
    ensure(context, `${RBAC}/clusterrolebindings`, '', {
      metadata: { name, labels: LABELS },
      roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: role },
      subjects: subjects.map((subject) => ({ apiGroup: RBAC, kind, name: subject })),
    });
  }
  ensureDefinitions(context);
  ensure(context, '/services', 'default', {
    metadata: { name: 'kubernetes', namespace: 'default', labels: { component: 'apiserver', provider: 'kubernetes' } },
    spec: {
      clusterIP: context.addresses.at(1),
      type: 'ClusterIP',
      ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: endpoint.port }],
    },
  });
  const port = { name: 'https', port: endpoint.port, protocol: 'TCP' };
  ensure(context, 'discovery.k8s.io/endpointslices', 'default', {
    metadata: { name: 'kubernetes', namespace: 'default', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [endpoint.address], conditions: { ready: true } }],
    ports: [port],
  });
  ensure(context, '/endpoints', 'default', {
    metadata: { name: 'kubernetes', namespace: 'default', labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
    subsets: [{ addresses: [{ ip: endpoint.address }], ports: [port] }],
  });
}

/** Creates the object, or brings the fields given here up to date. */
export function ensure(
  context: Context,
  key: string,
  namespace: string,
  wanted: JsonObject & { metadata: ObjectMeta & { name: string } },
): StoredObject {
  const type = context.types.byKey(key)!;
  const options = { dryRun: false, fieldManager: 'kube-apiserver', fieldValidation: 'Ignore', subresource: '', warnings: [] } as const;
  const body = { apiVersion: type.group === '' ? type.version : `${type.group}/${type.version}`, kind: type.kind, ...wanted };
  const entry = context.store.get(key, namespace, wanted.metadata.name);
  if (entry === undefined) return create(context, type, type.version, namespace, structuredClone(body), { ...options, warnings: [] });
  const { metadata: _metadata, ...fields } = structuredClone(wanted) as JsonObject;
  const next = { ...structuredClone(entry.object), ...fields } as StoredObject; // the same kind with some fields replaced
  if (equal(next, entry.object) || key === '/namespaces' || key === '/services') return entry.object;
  return replace(context, type, type.version, entry, next, { ...options, warnings: [] });
}
