/** What filling in defaults reads of a schema. */
export interface DefaultingSchema {
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, DefaultingSchema>>;
  readonly items?: DefaultingSchema;
  readonly additionalProperties?: DefaultingSchema | boolean;
}

type JsonRecord = Record<string, unknown>;
const isRecord = (value: unknown): value is JsonRecord => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Fills in a schema's defaults in place, parents first, as the API server does for custom resources. */
export function applySchemaDefaults(value: unknown, schema: DefaultingSchema | undefined): void {
  if (schema === undefined) return;
  if (Array.isArray(value)) {
    if (schema.items !== undefined) for (const item of value) applySchemaDefaults(item, schema.items);
    return;
  }
  if (!isRecord(value)) return;
  for (const [key, inner] of Object.entries(schema.properties ?? {})) {
    if (value[key] === undefined && inner.default !== undefined) value[key] = structuredClone(inner.default);
    applySchemaDefaults(value[key], inner);
  }
  const rest = schema.additionalProperties;
  if (typeof rest === 'object')
    for (const key of Object.keys(value)) if (schema.properties?.[key] === undefined) applySchemaDefaults(value[key], rest);
}

/** Whether anything in the schema has a default, so that schemas without any need not be walked. */
export function hasDefaults(schema: DefaultingSchema): boolean {
  if (schema.default !== undefined) return true;
  if (schema.items !== undefined && hasDefaults(schema.items)) return true;
  if (typeof schema.additionalProperties === 'object' && hasDefaults(schema.additionalProperties)) return true;
  return Object.values(schema.properties ?? {}).some(hasDefaults);
}
