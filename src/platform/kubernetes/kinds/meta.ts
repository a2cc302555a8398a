import { type Static, Type } from 'typebox';
import { boolean, choice, int64, list, listMap, map, object, opaque, set, string, strings, time } from './schema.ts';

export const ownerReferenceSchema = object(
  { apiVersion: string, kind: string, name: string, uid: string, controller: boolean, blockOwnerDeletion: boolean },
  ['apiVersion', 'kind', 'name', 'uid'],
);
export type OwnerReference = Static<typeof ownerReferenceSchema>;

export const managedFieldsSchema = object({
  manager: string,
  operation: string,
  apiVersion: string,
  time,
  fieldsType: string,
  fieldsV1: opaque,
  subresource: string,
});
export type ManagedFieldsEntry = Static<typeof managedFieldsSchema>;

export const objectMetaSchema = object({
  name: string,
  generateName: string,
  namespace: string,
  selfLink: string,
  uid: string,
  resourceVersion: string,
  generation: int64,
  creationTimestamp: time,
  deletionTimestamp: time,
  deletionGracePeriodSeconds: int64,
  labels: strings,
  annotations: strings,
  finalizers: set(string),
  ownerReferences: listMap(ownerReferenceSchema, 'uid'),
  managedFields: list(managedFieldsSchema),
});
export type ObjectMeta = Static<typeof objectMetaSchema>;

/** What every stored object has. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
}

export const labelSelectorSchema = object(
  {
    matchLabels: strings,
    matchExpressions: list(
      object({ key: string, operator: choice('In', 'NotIn', 'Exists', 'DoesNotExist'), values: list(string) }, ['key', 'operator']),
    ),
  },
  [],
  { 'x-kubernetes-map-type': 'atomic' },
);
export type LabelSelector = Static<typeof labelSelectorSchema>;

export const conditionSchema = object(
  {
    type: string,
    status: string,
    observedGeneration: int64,
    lastTransitionTime: time,
    // kubelet writes null: it does not keep the time
    lastProbeTime: Type.Unsafe<string | null>(time),
    lastUpdateTime: time,
    lastHeartbeatTime: time,
    reason: string,
    message: string,
  },
  ['type', 'status'],
);
export type Condition = Static<typeof conditionSchema>;
export const conditions = listMap(conditionSchema, 'type');

export const objectReferenceSchema = object(
  { apiVersion: string, kind: string, name: string, namespace: string, uid: string, resourceVersion: string, fieldPath: string },
  [],
  { 'x-kubernetes-map-type': 'atomic' },
);
export type ObjectReference = Static<typeof objectReferenceSchema>;

export const localObjectReferenceSchema = object({ name: string }, [], { 'x-kubernetes-map-type': 'atomic' });

/** The outer object of a kind: type, metadata and the kind's own fields. */
export function kindSchema<F extends Parameters<typeof object>[0], R extends keyof F & string = never>(
  fields: F,
  required: readonly R[] = [],
) {
  return object({ apiVersion: string, kind: string, metadata: objectMetaSchema, ...fields }, ['metadata', ...required]);
}

export const resourceList = map(opaque);
