import type { FieldProblem } from '../../platform/kubernetes/kinds/index.ts';
import { equal, isObject, type JsonObject } from './json.ts';

/** A structural schema: JSON Schema as Kubernetes restricts it, with its `x-kubernetes-*` marks. */
export interface StructuralSchema {
  readonly type?: string;
  readonly format?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, StructuralSchema>>;
  readonly additionalProperties?: StructuralSchema | boolean;
  readonly items?: StructuralSchema;
  readonly required?: readonly string[];
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly nullable?: boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly exclusiveMaximum?: boolean;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly allOf?: readonly StructuralSchema[];
  readonly anyOf?: readonly StructuralSchema[];
  readonly oneOf?: readonly StructuralSchema[];
  readonly not?: StructuralSchema;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-embedded-resource'?: boolean;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-map-type'?: 'atomic' | 'granular';
  readonly 'x-kubernetes-patch-merge-key'?: string;
  readonly 'x-kubernetes-patch-strategy'?: string;
}

const child = (path: string, key: string) => (path === '' ? key : /^[A-Za-z_][\w-]*$/.test(key) ? `${path}.${key}` : `${path}[${key}]`);

/** The schema of one field of an object; undefined when the field is unknown, `true` when anything goes. */
export function fieldSchema(schema: StructuralSchema | undefined, key: string): StructuralSchema | true | undefined {
  if (schema === undefined) return true;
  // a field may be called `constructor` or `valueOf`: only own properties count
  if (schema.properties !== undefined && Object.hasOwn(schema.properties, key)) return schema.properties[key];
  if (schema.additionalProperties !== undefined && schema.additionalProperties !== false) return schema.additionalProperties;
  return schema['x-kubernetes-preserve-unknown-fields'] === true ? true : undefined;
}

/** Removes unknown fields and nulls in place; says which fields were unknown. */
export function prune(value: unknown, schema: StructuralSchema | undefined, path = '', unknownFields: string[] = []): string[] {
  if (schema === undefined) return unknownFields;
  if (Array.isArray(value)) {
    if (schema.items !== undefined)
      for (const [index, item] of value.entries()) prune(item, schema.items, `${path}[${index}]`, unknownFields);
    return unknownFields;
  }
  if (!isObject(value)) return unknownFields;
  for (const key of Object.keys(value)) {
    const inner = fieldSchema(schema, key);
    if (inner === undefined) {
      unknownFields.push(child(path, key));
      delete value[key];
    } else if (inner !== true) {
      if (value[key] === null && inner.nullable !== true) delete value[key];
      else prune(value[key], inner, child(path, key), unknownFields);
    }
  }
  return unknownFields;
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function hasType(value: unknown, type: string): boolean {
  switch (type) {
    case 'object':
      return isObject(value);
    case 'array':
      return Array.isArray(value);
    case 'integer':
      return typeof value === 'number' && Number.isInteger(value);
    case 'number':
      return typeof value === 'number';
    default:
      return typeof value === type;
  }
}

const bad = (field: string, value: unknown, detail: string): FieldProblem => ({
  field,
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${typeof value === 'object' && value !== null ? JSON.stringify(typeName(value)) : JSON.stringify(value)}: ${field} in body ${detail}`,
});

/** Everything that is wrong with the value, each with its field path. */
export function check(value: unknown, schema: StructuralSchema, path = '', problems: FieldProblem[] = []): FieldProblem[] {
  if (value === undefined) return problems;
  if (value === null) {
    if (schema.nullable !== true && schema.type !== undefined) problems.push(typeProblem(path, value, schema.type));
    return problems;
  }
  if (schema['x-kubernetes-int-or-string'] === true) {
    if (typeof value !== 'string' && !hasType(value, 'integer') && typeof value !== 'number')
      problems.push(typeProblem(path, value, 'integer,string'));
    return problems;
  }
  if (schema.type !== undefined && !hasType(value, schema.type)) {
    problems.push(typeProblem(path, value, schema.type));
    return problems;
  }
  if (schema.enum !== undefined && !schema.enum.some((allowed) => equal(allowed, value))) {
    problems.push({
      field: path,
      reason: 'FieldValueNotSupported',
      message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${schema.enum.map((allowed) => JSON.stringify(allowed)).join(', ')}`,
    });
  }
  if (typeof value === 'string') checkString(value, schema, path, problems);
  else if (typeof value === 'number') checkNumber(value, schema, path, problems);
  else if (Array.isArray(value)) checkArray(value, schema, path, problems);
  else if (isObject(value)) checkObject(value, schema, path, problems);
  checkCombined(value, schema, path, problems);
  return problems;
}

function typeProblem(path: string, value: unknown, expected: string): FieldProblem {
  return {
    field: path,
    reason: 'FieldValueTypeInvalid',
    message: `Invalid value: ${JSON.stringify(typeName(value))}: ${path} in body must be of type ${expected}: ${JSON.stringify(typeName(value))}`,
  };
}

function checkString(value: string, schema: StructuralSchema, path: string, problems: FieldProblem[]): void {
  const length = schema.minLength === undefined && schema.maxLength === undefined ? 0 : [...value].length;
  if (schema.minLength !== undefined && length < schema.minLength)
    problems.push(bad(path, value, `should be at least ${schema.minLength} chars long`));
  if (schema.maxLength !== undefined && length > schema.maxLength) {
    problems.push({ field: path, reason: 'FieldValueTooLong', message: `Too long: may not be more than ${schema.maxLength} bytes` });
  }
  if (schema.pattern !== undefined && compiled(schema.pattern)?.test(value) === false)
    problems.push(bad(path, value, `should match '${schema.pattern}'`));
  if (schema.format === 'date-time' && Number.isNaN(Date.parse(value))) problems.push(bad(path, value, 'must be of type date-time'));
  if (schema.format === 'byte' && !/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(value)) problems.push(bad(path, value, 'must be of type byte'));
}

const patterns = new Map<string, RegExp | undefined>();
function compiled(pattern: string): RegExp | undefined {
  if (!patterns.has(pattern)) {
    let expression: RegExp | undefined;
    try {
      expression = new RegExp(pattern, 'u');
    } catch {
      // RE2 syntax that this engine does not have: such a pattern is not enforced rather than refusing every object
    }
    if (patterns.size > 1000) patterns.clear();
    patterns.set(pattern, expression);
  }
  return patterns.get(pattern);
}

function checkNumber(value: number, schema: StructuralSchema, path: string, problems: FieldProblem[]): void {
  const { minimum, maximum } = schema;
  if (minimum !== undefined && (schema.exclusiveMinimum === true ? value <= minimum : value < minimum)) {
    problems.push(bad(path, value, `should be greater than ${schema.exclusiveMinimum === true ? '' : 'or equal to '}${minimum}`));
  }
  if (maximum !== undefined && (schema.exclusiveMaximum === true ? value >= maximum : value > maximum)) {
    problems.push(bad(path, value, `should be less than ${schema.exclusiveMaximum === true ? '' : 'or equal to '}${maximum}`));
  }
  if (schema.multipleOf !== undefined && value % schema.multipleOf !== 0)
    problems.push(bad(path, value, `should be a multiple of ${schema.multipleOf}`));
  if (schema.format === 'int32' && (value < -2147483648 || value > 2147483647)) problems.push(bad(path, value, 'must be of type int32'));
}

function checkArray(value: unknown[], schema: StructuralSchema, path: string, problems: FieldProblem[]): void {
  if (schema.minItems !== undefined && value.length < schema.minItems)
    problems.push(bad(path, value, `should have at least ${schema.minItems} items`));
  if (schema.maxItems !== undefined && value.length > schema.maxItems) {
    problems.push({
      field: path,
      reason: 'FieldValueInvalid',
      message: `Too many: ${value.length}: must have at most ${schema.maxItems} items`,
    });
  }
  const keys = schema['x-kubernetes-list-map-keys'];
  const isSet = schema['x-kubernetes-list-type'] === 'set' || schema.uniqueItems === true;
  if (isSet || (schema['x-kubernetes-list-type'] === 'map' && keys !== undefined)) {
    const seen = new Set<string>();
    value.forEach((item, index) => {
      const id = isSet ? JSON.stringify(item) : JSON.stringify(keys!.map((key) => (isObject(item) ? item[key] : undefined)));
      if (seen.has(id)) {
        const shown = isSet ? item : Object.fromEntries(keys!.map((key) => [key, (item as JsonObject)[key]]));
        problems.push({ field: `${path}[${index}]`, reason: 'FieldValueDuplicate', message: `Duplicate value: ${JSON.stringify(shown)}` });
      }
      seen.add(id);
    });
  }
  if (schema.items !== undefined) for (const [index, item] of value.entries()) check(item, schema.items, `${path}[${index}]`, problems);
}

function checkObject(value: JsonObject, schema: StructuralSchema, path: string, problems: FieldProblem[]): void {
  for (const key of schema.required ?? []) {
    if (!Object.hasOwn(value, key) || value[key] === undefined)
      problems.push({ field: child(path, key), reason: 'FieldValueRequired', message: 'Required value' });
  }
  const count = Object.keys(value).length;
  if (schema.minProperties !== undefined && count < schema.minProperties)
    problems.push(bad(path, value, `should have at least ${schema.minProperties} properties`));
  if (schema.maxProperties !== undefined && count > schema.maxProperties) {
    problems.push({
      field: path,
      reason: 'FieldValueInvalid',
      message: `Too many: ${count}: must have at most ${schema.maxProperties} items`,
    });
  }
  for (const key of Object.keys(value)) {
    const inner = fieldSchema(schema, key);
    if (inner !== undefined && inner !== true) check(value[key], inner, child(path, key), problems);
  }
}

function checkCombined(value: unknown, schema: StructuralSchema, path: string, problems: FieldProblem[]): void {
  for (const part of schema.allOf ?? []) check(value, part, path, problems);
  if (schema.anyOf !== undefined && !schema.anyOf.some((part) => check(value, part, path).length === 0)) {
    problems.push(bad(path, value, 'must validate at least one schema (anyOf)'));
  }
  if (schema.oneOf !== undefined) {
    const matching = schema.oneOf.filter((part) => check(value, part, path).length === 0).length;
    if (matching !== 1)
      problems.push(
        bad(path, value, `must validate one and only one schema (oneOf). Found ${matching === 0 ? 'none' : String(matching)} valid`),
      );
  }
  if (schema.not !== undefined && check(value, schema.not, path).length === 0)
    problems.push(bad(path, value, 'must not validate the schema (not)'));
}
