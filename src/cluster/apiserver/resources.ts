import {
  applySchemaDefaults,
  BUILT_IN_KINDS,
  type Cell,
  type Column,
  type CustomResourceDefinition,
  type CustomResourceDefinitionVersion,
  type FieldProblem,
  type Kind,
  objectMetaSchema,
  type ScalePaths,
  since,
} from '../../platform/kubernetes/kinds/index.ts';
import { isObject } from './json.ts';
import { jsonPath } from './json-path.ts';
import type { StoredObject } from './store.ts';
import type { StructuralSchema } from './structural.ts';

/** One served resource: a built-in kind, or one that a CustomResourceDefinition made. */
export interface ResourceType {
  readonly group: string;
  /** The version objects are stored in. */
  readonly version: string;
  /** Served versions, the preferred one first. */
  readonly versions: readonly string[];
  readonly kind: string;
  readonly listKind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly isCustom: boolean;
  readonly hasGeneration: boolean;
  hasStatus(version: string): boolean;
  scale(version: string): ScalePaths | undefined;
  schema(version: string): StructuralSchema;
  columns(version: string): readonly Column[];
  cells(version: string, object: StoredObject, now: number): Cell[];
  applyDefaults(object: StoredObject): void;
  validate(object: StoredObject, old: StoredObject | undefined): FieldProblem[];
  warnings(version: string): string[];
  readonly selectableFields: readonly string[];
}

/** `group/plural`: the key of a resource in the store. */
export const resourceKey = (type: Pick<ResourceType, 'group' | 'plural'>): string => `${type.group}/${type.plural}`;
export const apiVersionOf = (group: string, version: string): string => (group === '' ? version : `${group}/${version}`);

function builtIn(kind: Kind): ResourceType {
  // TypeBox schemas are plain JSON Schema objects
  const schema = kind.schema as unknown as StructuralSchema;
  return {
    group: kind.group,
    version: kind.version,
    versions: kind.versions,
    kind: kind.kind,
    listKind: `${kind.kind}List`,
    plural: kind.plural,
    singular: kind.singular,
    shortNames: kind.shortNames,
    categories: kind.categories,
    namespaced: kind.namespaced,
    isCustom: kind.isCustom,
    hasGeneration: kind.hasGeneration,
    hasStatus: () => kind.hasStatus,
    scale: () => kind.scale,
    schema: () => schema,
    columns: () => kind.columns,
    cells: (_version, object, now) => kind.cells(object, now),
    applyDefaults: (object) => kind.applyDefaults(object),
    validate: (object, old) => kind.validate(object, old),
    warnings: () => [],
    selectableFields: [],
  };
}

/** The root of a custom resource always has type and metadata, whatever its schema says about them. */
function withMetadata(schema: StructuralSchema): StructuralSchema {
  return {
    ...schema,
    type: 'object',
    properties: {
      ...schema.properties,
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: objectMetaSchema as unknown as StructuralSchema, // plain JSON Schema
    },
  };
}

export function customType(definition: CustomResourceDefinition): ResourceType {
  const { spec } = definition;
  const served = spec.versions.filter((version) => version.served);
  const storage = spec.versions.find((version) => version.storage)!;
  const ordered = served.toSorted((a, b) => compareVersions(a.name, b.name));
  const schemas = new Map(
    spec.versions.map((version) => [
      version.name,
      withMetadata((version.schema?.openAPIV3Schema ?? { type: 'object' }) as StructuralSchema),
    ]),
  );
  const named = (version: string): CustomResourceDefinitionVersion =>
    spec.versions.find((candidate) => candidate.name === version) ?? storage;
  const names = spec.names;
  return {
    group: spec.group,
    version: storage.name,
    versions: ordered.map((version) => version.name),
    kind: names.kind,
    listKind: names.listKind ?? `${names.kind}List`,
    plural: names.plural,
    singular: names.singular ?? names.kind.toLowerCase(),
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    namespaced: spec.scope === 'Namespaced',
    isCustom: true,
    hasGeneration: true,
    hasStatus: (version) => isObject(named(version).subresources?.status),
    scale: (version) => {
      const scale = named(version).subresources?.scale;
      return scale?.specReplicasPath === undefined || scale.statusReplicasPath === undefined ? undefined : (scale as ScalePaths);
    },
    schema: (version) => schemas.get(version) ?? schemas.get(storage.name)!,
    columns: (version) => customColumns(named(version)),
    cells: (version, object, now) => customCells(named(version), object, now),
    applyDefaults: (object) => applySchemaDefaults(object, schemas.get(storage.name)),
    validate: () => [],
    warnings: (version) => {
      const found = named(version);
      if (found.deprecated !== true) return [];
      return [found.deprecationWarning ?? `${spec.group}/${version} ${names.kind} is deprecated`];
    },
    selectableFields: [
      ...new Set(spec.versions.flatMap((version) => (version.selectableFields ?? []).map((field) => field.jsonPath.replace(/^\./, '')))),
    ],
  };
}

function customColumns(version: CustomResourceDefinitionVersion): Column[] {
  const name: Column = {
    name: 'Name',
    type: 'string',
    format: 'name',
    description: 'Name must be unique within a namespace.',
    priority: 0,
  };
  const printed = version.additionalPrinterColumns ?? [];
  if (printed.length === 0) return [name, { name: 'Age', type: 'date', description: 'CreationTimestamp', priority: 0 }];
  return [
    name,
    ...printed.map((column) => ({
      name: column.name,
      type: column.type as Column['type'], // one of the API's column types; others print as text
      ...(column.format === undefined ? {} : { format: column.format }),
      description: column.description ?? '',
      priority: column.priority ?? 0,
    })),
  ];
}

function customCells(version: CustomResourceDefinitionVersion, object: StoredObject, now: number): Cell[] {
  const printed = version.additionalPrinterColumns ?? [];
  if (printed.length === 0) return [object.metadata.name ?? '', since(object.metadata.creationTimestamp, now)];
  const cells: Cell[] = [object.metadata.name ?? ''];
  for (const column of printed) {
    const found = jsonPath(object, column.jsonPath);
    if (found === undefined || found === null) cells.push(null);
    else if (column.type === 'date') cells.push(since(String(found), now));
    else cells.push(typeof found === 'object' ? JSON.stringify(found) : (found as Cell));
  }
  return cells;
}

/** Kubernetes' order: v2 before v1 before v1beta1 before v1alpha1. */
function compareVersions(a: string, b: string): number {
  const rank = (version: string): [number, number, number] => {
    const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
    if (match === null) return [-1, 0, 0];
    return [match[2] === undefined ? 2 : match[2] === 'beta' ? 1 : 0, Number(match[1]), Number(match[3] ?? 0)];
  };
  const left = rank(a);
  const right = rank(b);
  for (let index = 0; index < 3; index++) if (left[index] !== right[index]) return right[index]! - left[index]!;
  return a < b ? -1 : 1;
}

/** What is served now. Changes when CustomResourceDefinitions do. */
export class ResourceTypes {
  readonly #builtIn = new Map<string, ResourceType>();
  readonly #custom = new Map<string, ResourceType>();
  /** Grows with every change, so that documents made from the set can be cached. */
  generation = 0;

  constructor() {
    for (const kind of BUILT_IN_KINDS) this.#builtIn.set(resourceKey(kind), builtIn(kind));
  }

  /** The resource with this name, in a served version. */
  find(group: string, version: string, plural: string): ResourceType | undefined {
    const type = this.byKey(`${group}/${plural}`);
    return type?.versions.includes(version) === true ? type : undefined;
  }

  byKey(key: string): ResourceType | undefined {
    return this.#builtIn.get(key) ?? this.#custom.get(key);
  }

  byKind(group: string, kind: string): ResourceType | undefined {
    return this.all().find((type) => type.group === group && type.kind === kind);
  }

  all(): ResourceType[] {
    return [...this.#builtIn.values(), ...this.#custom.values()];
  }

  /** A definition for a kind that is built in changes nothing: that kind is served already. */
  isBuiltIn(key: string): boolean {
    return this.#builtIn.has(key);
  }

  define(definition: CustomResourceDefinition): void {
    const type = customType(definition);
    if (this.isBuiltIn(resourceKey(type))) return;
    this.#custom.set(resourceKey(type), type);
    this.generation++;
  }

  undefine(key: string): void {
    if (this.#custom.delete(key)) this.generation++;
  }
}
