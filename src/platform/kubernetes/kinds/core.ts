import type { Static } from 'typebox';
import { age, ageColumn, column, defineKind, forbidden, nameColumn, since } from './kind.ts';
import { conditions, kindSchema, localObjectReferenceSchema, objectReferenceSchema } from './meta.ts';
import { boolean, bytes, int32, list, listMap, map, object, opaque, quantity, set, string, strings, time } from './schema.ts';

const namespaceSchema = kindSchema({ spec: object({ finalizers: list(string) }), status: object({ phase: string, conditions }) });
export type Namespace = Static<typeof namespaceSchema>;
export const NamespaceKind = defineKind<Namespace>({
  apiVersion: 'v1',
  kind: 'Namespace',
  plural: 'namespaces',
  shortNames: ['ns'],
  scope: 'Cluster',
  status: true,
  description: 'Namespace provides a scope for Names.',
  schema: namespaceSchema,
  columns: [nameColumn, column('Status', 'The status of the namespace'), ageColumn],
  cells: (namespace, now) => [namespace.metadata.name ?? '', namespace.status?.phase ?? '', age(namespace, now)],
  defaults: (namespace) => {
    namespace.spec ??= {};
    namespace.metadata.labels = { ...namespace.metadata.labels, 'kubernetes.io/metadata.name': namespace.metadata.name ?? '' };
  },
});

const taint = object({ key: string, value: string, effect: string, timeAdded: time }, ['key', 'effect']);
export type Taint = Static<typeof taint>;
const nodeSchema = kindSchema({
  spec: object({
    podCIDR: string,
    podCIDRs: set(string),
    providerID: string,
    unschedulable: boolean,
    taints: list(taint),
    configSource: opaque,
    externalID: string,
  }),
  status: object({
    capacity: map(quantity),
    allocatable: map(quantity),
    phase: string,
    conditions,
    addresses: list(object({ type: string, address: string }, ['type', 'address'])),
    daemonEndpoints: object({ kubeletEndpoint: object({ Port: int32 }, ['Port']) }),
    nodeInfo: object({
      machineID: string,
      systemUUID: string,
      bootID: string,
      kernelVersion: string,
      osImage: string,
      containerRuntimeVersion: string,
      kubeletVersion: string,
      kubeProxyVersion: string,
      operatingSystem: string,
      architecture: string,
      swap: opaque,
    }),
    images: list(object({ names: list(string), sizeBytes: quantity })),
    volumesInUse: list(string),
    volumesAttached: list(opaque),
    config: opaque,
    runtimeHandlers: list(opaque),
    features: opaque,
  }),
});
export type Node = Static<typeof nodeSchema>;

const address = (node: Node, type: string) => node.status?.addresses?.find((entry) => entry.type === type)?.address ?? '<none>';
export const NodeKind = defineKind<Node>({
  apiVersion: 'v1',
  kind: 'Node',
  plural: 'nodes',
  shortNames: ['no'],
  scope: 'Cluster',
  status: true,
  description: 'Node is a worker node in Kubernetes.',
  schema: nodeSchema,
  columns: [
    nameColumn,
    column('Status', 'The status of the node'),
    column('Roles', 'The roles of the node'),
    ageColumn,
    column('Version', 'Kubelet Version reported by the node.'),
    column('Internal-IP', 'Address inside the cluster', { wide: true }),
    column('External-IP', 'Address outside the cluster', { wide: true }),
    column('OS-Image', 'OS Image reported by the node', { wide: true }),
    column('Kernel-Version', 'Kernel Version reported by the node', { wide: true }),
    column('Container-Runtime', 'ContainerRuntime Version reported by the node', { wide: true }),
  ],
  cells: (node, now) => {
    const ready = node.status?.conditions?.find((condition) => condition.type === 'Ready');
    const status = ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady';
    const roles = Object.keys(node.metadata.labels ?? {})
      .filter((label) => label.startsWith('node-role.kubernetes.io/'))
      .map((label) => label.slice('node-role.kubernetes.io/'.length))
      .sort();
    const info = node.status?.nodeInfo;
    return [
      node.metadata.name ?? '',
      node.spec?.unschedulable === true ? `${status},SchedulingDisabled` : status,
      roles.length === 0 ? '<none>' : roles.join(','),
      age(node, now),
      info?.kubeletVersion ?? '',
      address(node, 'InternalIP'),
      address(node, 'ExternalIP'),
      info?.osImage || '<unknown>',
      info?.kernelVersion || '<unknown>',
      info?.containerRuntimeVersion || '<unknown>',
    ];
  },
  defaults: (node) => {
    node.spec ??= {};
    node.status ??= {};
  },
});

const serviceAccountSchema = kindSchema({
  secrets: listMap(objectReferenceSchema, 'name'),
  imagePullSecrets: list(localObjectReferenceSchema),
  automountServiceAccountToken: boolean,
});
export type ServiceAccount = Static<typeof serviceAccountSchema>;
export const ServiceAccountKind = defineKind<ServiceAccount>({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  plural: 'serviceaccounts',
  shortNames: ['sa'],
  description: 'ServiceAccount binds together a name and a principal that can be authenticated and authorized.',
  schema: serviceAccountSchema,
  columns: [nameColumn, column('Secrets', 'Number of secrets', { type: 'integer' }), ageColumn],
  cells: (account, now) => [account.metadata.name ?? '', account.secrets?.length ?? 0, age(account, now)],
});

const configMapSchema = kindSchema({ data: strings, binaryData: map(bytes), immutable: boolean });
export type ConfigMap = Static<typeof configMapSchema>;
export const ConfigMapKind = defineKind<ConfigMap>({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  shortNames: ['cm'],
  description: 'ConfigMap holds configuration data for pods to consume.',
  schema: configMapSchema,
  columns: [nameColumn, column('Data', 'Number of entries', { type: 'integer' }), ageColumn],
  cells: (map, now) => [
    map.metadata.name ?? '',
    Object.keys(map.data ?? {}).length + Object.keys(map.binaryData ?? {}).length,
    age(map, now),
  ],
  validate: (map, old) => {
    const changed =
      old?.immutable === true &&
      !(
        map.immutable === true &&
        Bun.deepEquals(map.data ?? {}, old.data ?? {}) &&
        Bun.deepEquals(map.binaryData ?? {}, old.binaryData ?? {})
      );
    return changed ? [forbidden('data', 'field is immutable when `immutable` is set')] : [];
  },
});

const secretSchema = kindSchema({ data: map(bytes), stringData: strings, type: string, immutable: boolean });
export type Secret = Static<typeof secretSchema>;
export const SecretKind = defineKind<Secret>({
  apiVersion: 'v1',
  kind: 'Secret',
  plural: 'secrets',
  description: 'Secret holds secret data of a certain type.',
  schema: secretSchema,
  columns: [nameColumn, column('Type', 'Kind of secret'), column('Data', 'Number of entries', { type: 'integer' }), ageColumn],
  cells: (secret, now) => [secret.metadata.name ?? '', secret.type ?? 'Opaque', Object.keys(secret.data ?? {}).length, age(secret, now)],
  defaults: (secret) => {
    secret.type ??= 'Opaque';
    if (secret.stringData === undefined) return;
    const encoded = Object.entries(secret.stringData).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
    secret.data = { ...secret.data, ...Object.fromEntries(encoded) };
    delete secret.stringData;
  },
  validate: (secret, old) => {
    if (old === undefined) return [];
    if (old.immutable === true && !(secret.immutable === true && Bun.deepEquals(secret.data ?? {}, old.data ?? {}))) {
      return [forbidden('data', 'field is immutable when `immutable` is set')];
    }
    return secret.type === old.type
      ? []
      : [{ field: 'type', reason: 'FieldValueInvalid', message: `Invalid value: ${JSON.stringify(secret.type)}: field is immutable` }];
  },
});

const eventSchema = kindSchema(
  {
    involvedObject: objectReferenceSchema,
    reason: string,
    message: string,
    source: object({ component: string, host: string }),
    firstTimestamp: time,
    lastTimestamp: time,
    count: int32,
    type: string,
    eventTime: time,
    series: object({ count: int32, lastObservedTime: time }),
    action: string,
    related: objectReferenceSchema,
    reportingComponent: string,
    reportingInstance: string,
  },
  ['involvedObject'],
);
export type Event = Static<typeof eventSchema>;
export const EventKind = defineKind<Event>({
  apiVersion: 'v1',
  kind: 'Event',
  plural: 'events',
  shortNames: ['ev'],
  description: 'Event is a report of an event somewhere in the cluster.',
  schema: eventSchema,
  columns: [
    column('Last Seen', 'Time of the last occurrence'),
    column('Type', 'Normal or Warning'),
    column('Reason', 'Why'),
    column('Object', 'The object it is about'),
    column('Subobject', 'Its part', { wide: true }),
    column('Source', 'Who reported it', { wide: true }),
    column('Message', 'What happened'),
    column('First Seen', 'Time of the first occurrence', { wide: true }),
    column('Count', 'Occurrences', { wide: true }),
    column('Name', 'Name of the event', { format: 'name', wide: true }),
  ],
  cells: (event, now) => {
    const created = event.metadata.creationTimestamp;
    const object = event.involvedObject;
    const source = event.source?.component ?? event.reportingComponent ?? '';
    return [
      since(event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ?? created, now),
      event.type ?? '',
      event.reason ?? '',
      `${(object.kind ?? '').toLowerCase()}/${object.name ?? ''}`,
      object.fieldPath ?? '',
      event.source?.host ? `${source}, ${event.source.host}` : source,
      (event.message ?? '').trim(),
      since(event.firstTimestamp ?? event.eventTime ?? created, now),
      event.series?.count ?? event.count ?? 1,
      event.metadata.name ?? '',
    ];
  },
});
