import type { Static } from 'typebox';
import { exportTo, istioStatus, istioStatusFields, NETWORKING_GROUP, networkingSelector } from './istio-common.ts';
import { age, ageColumn, column, defineKind, nameColumn } from './kind.ts';
import { kindSchema } from './meta.ts';
import { between, choice, limited, list, listMap, map, object, string, text, uint32 } from './schema.ts';
import { validateServiceEntry, validateWorkloadEntry } from './service-entry-validation.ts';

const port = between(1, 65535);
const workloadFields = {
  address: text({ maxLength: 256 }),
  ports: limited(map(port), { maxProperties: 128 }),
  labels: limited(map(string), { maxProperties: 256 }),
  network: text({ maxLength: 2048 }),
  locality: text({ maxLength: 2048 }),
  weight: uint32,
  serviceAccount: text({ maxLength: 253 }),
};
const workload = object(workloadFields);
/** `istio.networking.v1alpha3.WorkloadEntry`: one address behind a service. */
export type WorkloadEntrySpec = Static<typeof workload>;

const servicePort = object({ number: port, protocol: text({ maxLength: 256 }), name: text({ maxLength: 256 }), targetPort: port }, [
  'number',
  'name',
]);
export type ServiceEntryPort = Static<typeof servicePort>;
/** With the addresses its hosts were given, where it lists none. */
const serviceEntryStatus = object({
  ...istioStatusFields,
  addresses: list(object({ value: text({ maxLength: 64 }), host: text({ maxLength: 256 }) })),
});
const serviceEntrySchema = kindSchema(
  {
    spec: object(
      {
        hosts: limited(list(string), { minItems: 1, maxItems: 256 }),
        addresses: limited(list(text({ maxLength: 64 })), { maxItems: 256 }),
        ports: limited(listMap(servicePort, 'name'), { maxItems: 256 }),
        location: choice('MESH_EXTERNAL', 'MESH_INTERNAL'),
        resolution: choice('NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS'),
        endpoints: limited(list(workload), { maxItems: 4096 }),
        workloadSelector: networkingSelector,
        exportTo,
        subjectAltNames: list(string),
      },
      ['hosts'],
    ),
    status: serviceEntryStatus,
  },
  ['spec'],
);
export type ServiceEntry = Static<typeof serviceEntrySchema>;
export const ServiceEntryKind = defineKind<ServiceEntry>({
  apiVersion: `${NETWORKING_GROUP}/v1`,
  otherVersions: ['v1beta1', 'v1alpha3'],
  kind: 'ServiceEntry',
  plural: 'serviceentries',
  shortNames: ['se'],
  categories: ['istio-io', 'networking-istio-io'],
  status: true,
  description: 'ServiceEntry adds a service to the registry of the mesh.',
  schema: serviceEntrySchema,
  columns: [
    nameColumn,
    column('Hosts', 'The hosts of the service.'),
    column('Location', 'Whether the service is part of the mesh.'),
    column('Resolution', 'How its endpoints are found.'),
    ageColumn,
  ],
  cells: (entry, now) => [
    entry.metadata.name ?? '',
    entry.spec?.hosts === undefined ? null : JSON.stringify(entry.spec.hosts),
    entry.spec?.location ?? null,
    entry.spec?.resolution ?? null,
    age(entry, now),
  ],
  validate: validateServiceEntry,
});

const workloadEntrySchema = kindSchema({ spec: workload, status: istioStatus }, ['spec']);
export type WorkloadEntry = Static<typeof workloadEntrySchema>;
export const WorkloadEntryKind = defineKind<WorkloadEntry>({
  apiVersion: `${NETWORKING_GROUP}/v1`,
  otherVersions: ['v1beta1', 'v1alpha3'],
  kind: 'WorkloadEntry',
  plural: 'workloadentries',
  shortNames: ['we'],
  categories: ['istio-io', 'networking-istio-io'],
  status: true,
  description: 'WorkloadEntry describes a workload that is no pod.',
  schema: workloadEntrySchema,
  columns: [nameColumn, ageColumn, column('Address', 'The address of the workload.')],
  cells: (entry, now) => [entry.metadata.name ?? '', age(entry, now), entry.spec?.address ?? null],
  validate: validateWorkloadEntry,
});
