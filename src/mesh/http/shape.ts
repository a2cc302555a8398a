/**
 * Shapes of JSON values, checked strictly: what is not described is refused. Small on purpose: a schema library would cost every waypoint more memory than
 * its plans. A check allocates nothing while all is well.
 */

/** What is wrong, as `JSON pointer: reason` (RFC 6901); undefined when nothing is. */
type Problem = string | undefined;

export interface Shape<T> {
  check(value: unknown): Problem;
  readonly isOptional?: true;
  /** The type a value has that passed. Never set: it only carries the type. */
  readonly passed?: T;
}

export interface OptionalShape<T> extends Shape<T> {
  readonly isOptional: true;
}

/** What a value that passes the shape is. */
export type Passed<S> = S extends Shape<infer T> ? T : never;

type Fields = Readonly<Record<string, Shape<unknown>>>;
type PassedFields<F extends Fields> = {
  [K in keyof F as F[K] extends OptionalShape<unknown> ? never : K]: Passed<F[K]>;
} & { [K in keyof F as F[K] extends OptionalShape<unknown> ? K : never]?: Passed<F[K]> };

const at = (key: string | number, problem: string): string => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}${problem}`;
const wrong = (reason: string): string => `: must be ${reason}`;

type JsonObject = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value);

export interface ObjectShape<T> extends Shape<T> {
  /** The values its field `kind` may have. */
  readonly kinds: readonly unknown[];
}

/** An object with these fields and no others. */
export const object = <F extends Fields>(fields: F): ObjectShape<PassedFields<F>> => {
  const shapes = new Map(Object.entries(fields));
  const kind: (Shape<unknown> & { readonly values?: readonly unknown[] }) | undefined = fields['kind'];
  const required = [...shapes].filter(([, shape]) => !shape.isOptional).map(([name]) => name);
  return {
    kinds: kind?.values ?? [],
    check(value) {
      if (!isObject(value)) return wrong('an object');
      for (const key in value) {
        const shape = shapes.get(key);
        if (shape === undefined) return at(key, ': no such field');
        const problem = shape.check(value[key]);
        if (problem !== undefined) return at(key, problem);
      }
      for (const name of required) if (!Object.hasOwn(value, name)) return wrong(`an object with a field "${name}"`);
      return undefined;
    },
  };
};

export const optional = <T>(shape: Shape<T>): OptionalShape<T> => ({ check: (value) => shape.check(value), isOptional: true });

export const list = <T>(item: Shape<T>, maxItems: number): Shape<T[]> => ({
  check(value) {
    if (!Array.isArray(value)) return wrong('an array');
    if (value.length > maxItems) return wrong(`an array of at most ${maxItems}`);
    for (let i = 0; i < value.length; i++) {
      const problem = item.check(value[i]);
      if (problem !== undefined) return at(i, problem);
    }
    return undefined;
  },
});

export const pair = <A, B>(first: Shape<A>, second: Shape<B>): Shape<[A, B]> => ({
  check(value) {
    if (!Array.isArray(value) || value.length !== 2) return wrong('an array of two');
    const problem = first.check(value[0]);
    if (problem !== undefined) return at(0, problem);
    const other = second.check(value[1]);
    return other && at(1, other);
  },
});

/** Characters are UTF-16 code units. */
export const string = (minLength: number, maxLength: number): Shape<string> => ({
  check(value) {
    if (typeof value !== 'string') return wrong('a string');
    if (value.length < minLength || value.length > maxLength) return wrong(`a string of ${minLength} to ${maxLength} characters`);
    return undefined;
  },
});

export const boolean: Shape<boolean> = { check: (value) => (typeof value === 'boolean' ? undefined : wrong('true or false')) };

const numeric = (isRight: (value: unknown) => boolean, kind: string, minimum: number, maximum: number): Shape<number> => ({
  check: (value) =>
    isRight(value) && (value as number) >= minimum && (value as number) <= maximum
      ? undefined
      : wrong(`${kind} from ${minimum} to ${maximum}`),
});

export const integer = (minimum: number, maximum: number): Shape<number> => numeric(Number.isInteger, 'a whole number', minimum, maximum);
export const number = (minimum: number, maximum: number): Shape<number> => numeric(Number.isFinite, 'a number', minimum, maximum);

export interface ChoiceShape<T> extends Shape<T> {
  readonly values: readonly T[];
}

/** One of these values. */
export const oneOf = <const V extends readonly (string | number)[]>(...values: V): ChoiceShape<V[number]> => ({
  values,
  check: (value) => (values.some((allowed) => allowed === value) ? undefined : wrong(`one of ${values.join(', ')}`)),
});

/** Objects that are told apart by their field `kind`. */
export const variants = <M extends readonly ObjectShape<unknown>[]>(...members: M): Shape<Passed<M[number]>> => {
  const byKind = new Map(members.flatMap((member) => member.kinds.map((kind) => [kind, member] as const)));
  return {
    check(value) {
      if (!isObject(value)) return wrong('an object');
      const member = byKind.get(value['kind']);
      return member === undefined ? at('kind', wrong(`one of ${[...byKind.keys()].join(', ')}`)) : member.check(value);
    },
  };
};
