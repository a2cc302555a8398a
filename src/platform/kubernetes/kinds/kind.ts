import type { TSchema } from 'typebox';
import type { KubeObject } from './meta.ts';
import { applySchemaDefaults, type DefaultingSchema, hasDefaults } from './schema-defaults.ts';

/** One column of `kubectl get`; priority 1 shows only with `-o wide`. */
export interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  readonly format?: string;
  readonly description: string;
  readonly priority: number;
}

export type Cell = string | number | boolean | null;

/** One reason why an object is invalid: a `StatusCause` of the API. */
export interface FieldProblem {
  readonly field: string;
  readonly reason:
    | 'FieldValueRequired'
    | 'FieldValueInvalid'
    | 'FieldValueNotSupported'
    | 'FieldValueDuplicate'
    | 'FieldValueForbidden'
    | 'FieldValueTooLong'
    | 'FieldValueTypeInvalid'
    | 'FieldValueNotFound';
  readonly message: string;
}

export interface ScalePaths {
  readonly specReplicasPath: string;
  readonly statusReplicasPath: string;
  readonly labelSelectorPath?: string;
}

/** Everything Lateen knows about one kind, at its preferred version. Usable as a `Resource<T>` of the client. */
export interface Kind<T extends KubeObject = KubeObject> {
  readonly group: string;
  /** The preferred version, in which objects are stored. */
  readonly version: string;
  readonly versions: readonly string[];
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly hasStatus: boolean;
  readonly scale?: ScalePaths;
  /** Kinds whose generation counts changes outside metadata and status. */
  readonly hasGeneration: boolean;
  /** In other clusters a CustomResourceDefinition makes this kind, so it behaves and shows as a custom resource. */
  readonly isCustom: boolean;
  readonly description: string;
  readonly schema: TSchema;
  readonly columns: readonly Column[];
  cells(object: T, now: number): Cell[];
  /** Fills in what Kubernetes would, in place. */
  applyDefaults(object: T): void;
  /** Rules beyond the schema. `old` is the stored object on update. */
  validate(object: T, old?: T): FieldProblem[];
  /** Never present at run time; carries `T`. */
  readonly objectType?: T;
}

interface KindInput<T extends KubeObject> {
  apiVersion: string;
  otherVersions?: readonly string[];
  kind: string;
  plural: string;
  shortNames?: readonly string[];
  categories?: readonly string[];
  scope?: 'Namespaced' | 'Cluster';
  status?: boolean;
  scale?: ScalePaths;
  description: string;
  schema: TSchema;
  columns?: readonly Column[];
  cells?: (object: T, now: number) => Cell[];
  defaults?: (object: T) => void;
  validate?: (object: T, old?: T) => FieldProblem[];
}

export function defineKind<T extends KubeObject>(input: KindInput<T>): Kind<T> {
  const slash = input.apiVersion.indexOf('/');
  const version = input.apiVersion.slice(slash + 1);
  const group = slash < 0 ? '' : input.apiVersion.slice(0, slash);
  // TypeBox schemas are plain JSON Schema objects
  const schema = input.schema as unknown as DefaultingSchema;
  const defaults = input.defaults ?? (() => {});
  const properties = (input.schema as { properties?: Record<string, unknown> }).properties ?? {};
  return {
    group,
    version,
    versions: [version, ...(input.otherVersions ?? [])],
    kind: input.kind,
    plural: input.plural,
    singular: input.kind.toLowerCase(),
    shortNames: input.shortNames ?? [],
    categories: input.categories ?? [],
    namespaced: (input.scope ?? 'Namespaced') === 'Namespaced',
    hasStatus: input.status ?? false,
    ...(input.scale === undefined ? {} : { scale: input.scale }),
    hasGeneration: 'spec' in properties,
    isCustom: group.endsWith('.istio.io') || group === 'gateway.networking.k8s.io',
    description: input.description,
    schema: input.schema,
    columns: input.columns ?? [
      column('Name', 'Name must be unique within a namespace.', { format: 'name' }),
      column('Age', 'Time since creation.'),
    ],
    cells: input.cells ?? ((object, now) => [object.metadata.name ?? '', age(object, now)]),
    applyDefaults: hasDefaults(schema)
      ? (object) => {
          applySchemaDefaults(object, schema);
          defaults(object);
        }
      : defaults,
    validate: input.validate ?? (() => []),
  };
}

export function column(name: string, description = '', extra: { type?: Column['type']; format?: string; wide?: boolean } = {}): Column {
  return {
    name,
    type: extra.type ?? 'string',
    ...(extra.format === undefined ? {} : { format: extra.format }),
    description: description === '' ? name : description,
    priority: extra.wide === true ? 1 : 0,
  };
}

export const nameColumn = column('Name', 'Name must be unique within a namespace.', { format: 'name' });
export const ageColumn = column('Age', 'CreationTimestamp is a timestamp representing the server time when this object was created.');

export const age = (object: KubeObject, now: number): string => since(object.metadata.creationTimestamp, now);

export function since(timestamp: string | undefined, now: number): string {
  if (timestamp === undefined || timestamp === '') return '<unknown>';
  return humanDuration(now - Date.parse(timestamp));
}

/** A duration as kubectl prints it: two units at most, finer ones only when they matter. */
export function humanDuration(milliseconds: number): string {
  if (milliseconds < -1000) return '<invalid>';
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (major: number, majorUnit: string, minor: number, minorUnit: string) =>
    minor === 0 ? `${major}${majorUnit}` : `${major}${majorUnit}${minor}${minorUnit}`;
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return two(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return two(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (days < 8) return two(days, 'd', hours % 24, 'h');
  if (days < 365 * 2) return `${days}d`;
  const years = Math.floor(days / 365);
  if (years < 8) return two(years, 'y', days % 365, 'd');
  return `${years}y`;
}

export const required = (field: string, detail = ''): FieldProblem => ({
  field,
  reason: 'FieldValueRequired',
  message: detail === '' ? 'Required value' : `Required value: ${detail}`,
});
export const invalid = (field: string, value: unknown, detail: string): FieldProblem => ({
  field,
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${JSON.stringify(value) ?? 'null'}: ${detail}`,
});
export const notSupported = (field: string, value: unknown, values: readonly string[]): FieldProblem => ({
  field,
  reason: 'FieldValueNotSupported',
  message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${values.map((v) => JSON.stringify(v)).join(', ')}`,
});
export const duplicate = (field: string, value: unknown): FieldProblem => ({
  field,
  reason: 'FieldValueDuplicate',
  message: `Duplicate value: ${JSON.stringify(value)}`,
});
export const forbidden = (field: string, detail: string): FieldProblem => ({
  field,
  reason: 'FieldValueForbidden',
  message: `Forbidden: ${detail}`,
});
