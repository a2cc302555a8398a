/**
 * What a message's fields are, for `decode.ts` and `encode.ts`. The tables themselves are generated (`gen/tables.ts`). A library that interprets descriptors
 * would cost each proxy 4 MiB for the dozen messages it speaks.
 */
export type ScalarType = 'string' | 'bytes' | 'bool' | 'uint32' | 'int32' | 'int64' | 'enum';

/** `struct`: a `google.protobuf.Struct`, in memory a JSON object; only encoded. */
export type FieldType = ScalarType | 'struct' | Table<unknown>;

/**
 * How often a field stands: at most once with a default; at most once, else undefined; any number of times; as a map with text for keys; or as a
 * `google.protobuf` wrapper, in memory its value or undefined.
 */
export type Label = 'plain' | 'optional' | 'list' | 'map' | 'wrapper';

export interface Field {
  readonly number: number;
  /** Its name in memory. */
  readonly name: string;
  readonly type: FieldType;
  readonly label: Label;
  /** Name of the group of which only one is set: in memory `{ case: name, value }`, or `{ case: undefined }`. */
  readonly oneof: string | undefined;
}

/** `T` is the message in memory. */
export interface Table<T> {
  /** Of the message, with its package. */
  readonly name: string;
  readonly byNumber: ReadonlyMap<number, Field>;
  /** Never set: it only carries the type. */
  readonly message?: T;
}

/** The message of a table, in memory. */
export type MessageOf<S> = S extends Table<infer T> ? T : never;

export type FieldRow = readonly [number: number, name: string, type: FieldType, label?: Label, oneof?: string];

/** A table from its rows. */
export const table = <T>(name: string, ...rows: readonly FieldRow[]): Table<T> => ({
  name,
  byNumber: new Map(rows.map(([number, field, type, label = 'plain', oneof]) => [number, { number, name: field, type, label, oneof }])),
});

type Bare = string | number | boolean | bigint | undefined | Uint8Array;

/** A generated message type without what its library adds. */
export type Plain<T> = T extends Bare
  ? T
  : T extends readonly (infer U)[]
    ? Plain<U>[]
    : T extends object
      ? { [K in keyof T as K extends '$typeName' | '$unknown' ? never : K]: Plain<T[K]> }
      : T;

/** What is enough to encode a message: absent fields have their defaults. */
export type Init<T> = T extends Bare
  ? T
  : T extends readonly (infer U)[]
    ? readonly Init<U>[]
    : T extends { case: infer C; value: infer V }
      ? { readonly case: C; readonly value: Init<V> }
      : T extends { case: undefined }
        ? { readonly case: undefined }
        : T extends object
          ? { readonly [K in keyof T]?: Init<T[K]> }
          : T;

/** An enumeration as the generated types describe it: numbers by name and names by number. */
export function enumeration<E>(members: Readonly<Record<string, number>>): E {
  const both: Record<string, string | number> = { ...members };
  for (const [name, number] of Object.entries(members)) both[number] ??= name;
  // The members come from the same descriptor as the type.
  return both as E;
}
