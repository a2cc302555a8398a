import { type Static, type TSchema, Type } from 'typebox';

/**
 * Builders for the schemas of kinds. They are JSON Schema as Kubernetes uses it ("structural" schemas with `x-kubernetes-*` marks), so one
 * definition serves types, validation, pruning, merging, server-side apply and OpenAPI.
 */

type Fields = Record<string, TSchema>;
type Shape<F extends Fields, R extends keyof F> = { [K in R]: Static<F[K]> } & { [K in Exclude<keyof F, R>]?: Static<F[K]> };
type Flat<T> = { [K in keyof T]: T[K] };

/** An object with the given fields; those in `required` must be present when it is stored. */
export function object<F extends Fields, R extends keyof F & string = never>(
  properties: F,
  required: readonly R[] = [],
  extra: object = {},
) {
  return Type.Unsafe<Flat<Shape<F, R>>>({
    type: 'object',
    properties,
    ...(required.length > 0 ? { required: [...required] } : {}),
    ...extra,
  });
}

export const string = Type.Unsafe<string>({ type: 'string' });
export const boolean = Type.Unsafe<boolean>({ type: 'boolean' });
export const int32 = Type.Unsafe<number>({ type: 'integer', format: 'int32' });
export const int64 = Type.Unsafe<number>({ type: 'integer', format: 'int64' });
/** RFC 3339. */
export const time = Type.Unsafe<string>({ type: 'string', format: 'date-time' });
/** Base64. */
export const bytes = Type.Unsafe<string>({ type: 'string', format: 'byte' });
export type IntOrString = number | string;
export const intOrString = Type.Unsafe<IntOrString>({ 'x-kubernetes-int-or-string': true });
/** A resource quantity, `100m` or `2`. */
export const quantity = Type.Unsafe<string | number>({ 'x-kubernetes-int-or-string': true });
/** An object whose fields Lateen stores and does not interpret. */
export const opaque = Type.Unsafe<Record<string, unknown>>({ type: 'object', 'x-kubernetes-preserve-unknown-fields': true });

export const choice = <const V extends readonly string[]>(...values: V) => Type.Unsafe<string>({ type: 'string', enum: [...values] });
export const between = (minimum: number, maximum: number) => Type.Unsafe<number>({ type: 'integer', format: 'int32', minimum, maximum });
export const map = <S extends TSchema>(values: S) =>
  Type.Unsafe<Record<string, Static<S>>>({ type: 'object', additionalProperties: values });
export const strings = map(string);

/** A list owned as a whole by whoever applied it. */
export const list = <S extends TSchema>(items: S) => Type.Unsafe<Static<S>[]>({ type: 'array', items, 'x-kubernetes-list-type': 'atomic' });
export const set = <S extends TSchema>(items: S) =>
  Type.Unsafe<Static<S>[]>({ type: 'array', items, 'x-kubernetes-list-type': 'set', 'x-kubernetes-patch-strategy': 'merge' });
/** A list whose entries are known by their `keys`; strategic merge patches use the first one. */
export const listMap = <S extends TSchema>(items: S, ...keys: readonly string[]) =>
  Type.Unsafe<Static<S>[]>({
    type: 'array',
    items,
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': [...keys],
    'x-kubernetes-patch-merge-key': keys[0],
    'x-kubernetes-patch-strategy': 'merge',
  });

/** `schema` with further marks: lengths, counts, a pattern, a default. Its type stays. */
export const limited = <S extends TSchema>(schema: S, marks: object): S => ({ ...schema, ...marks });
/** `schema`, filled in with `value` where it is absent. */
export const withDefault = <S extends TSchema>(schema: S, value: unknown): S => limited(schema, { default: value });
/** Text of a length and form. */
export const text = (marks: { minLength?: number; maxLength?: number; pattern?: string }) => limited(string, marks);
/** Any number, for percentages and factors. */
export const number = Type.Unsafe<number>({ type: 'number', format: 'double' });
/** An unsigned 32-bit integer, as protobuf's `uint32` has it. */
export const uint32 = Type.Unsafe<number>({ type: 'integer', minimum: 0, maximum: 4294967295 });
/** A value that may be given as null, which means "absent"; protobuf's wrapper types are written so. */
export const nullable = <S extends TSchema>(schema: S) => Type.Unsafe<Static<S> | null>(limited(schema, { nullable: true }));
/** At most one of the named fields may be present, as in a protobuf `oneof`. */
export const atMostOne = (...fields: readonly string[]) => ({
  oneOf: [{ not: { anyOf: fields.map((field) => ({ required: [field] })) } }, ...fields.map((field) => ({ required: [field] }))],
});
/** One of some numbers. */
export const numbers = (...values: readonly number[]) => Type.Unsafe<number>({ type: 'integer', enum: [...values] });
