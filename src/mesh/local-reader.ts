/** Reads a parsed YAML or JSON value field by field, collecting every problem with its path instead of stopping at the first. */

/** A YAML scalar or sequence with a tag: `!Exact x` is `new TaggedValue('Exact', 'x')`. */
export class TaggedValue {
  readonly tag: string;
  readonly value: unknown;

  constructor(tag: string, value: unknown) {
    this.tag = tag;
    this.value = value;
  }
}

const kindOf = (value: unknown): string => {
  if (value === null || value === undefined) return 'nothing';
  if (value instanceof TaggedValue) return `a value tagged !${value.tag}`;
  return Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'a mapping' : `${typeof value} ${JSON.stringify(value)}`;
};

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof TaggedValue);

/** A value with its path. Each reader returns a usable default after it has recorded a problem. */
export class LocalValue {
  readonly value: unknown;
  readonly path: string;
  readonly problems: string[];

  constructor(value: unknown, path: string, problems: string[]) {
    this.value = value;
    this.path = path;
    this.problems = problems;
  }

  get isAbsent(): boolean {
    return this.value === undefined || this.value === null;
  }

  reject(problem: string): void {
    this.problems.push(`${this.path || 'document'}: ${problem}`);
  }

  at(key: string | number, value: unknown): LocalValue {
    const step = typeof key === 'number' ? `[${key}]` : this.path === '' ? key : `.${key}`;
    return new LocalValue(value, this.path + step, this.problems);
  }

  /** The fields of a mapping; keys outside `known` are problems. */
  fields<K extends string>(known: readonly K[]): Record<K, LocalValue> {
    const source = isMapping(this.value) ? this.value : {};
    if (!isMapping(this.value)) this.reject(`must be a mapping, not ${kindOf(this.value)}`);
    for (const key of Object.keys(source)) {
      if (!known.includes(key as K)) this.at(key, undefined).reject(`unknown key; known are ${known.join(', ')}`);
    }
    const entries = known.map((key) => [key, this.at(key, source[key])] as const);
    return Object.fromEntries(entries) as Record<K, LocalValue>; // the entries are exactly the known keys
  }

  /** Any keys; an absent value has none. */
  entries(): [string, LocalValue][] {
    if (this.isAbsent) return [];
    if (!isMapping(this.value)) {
      this.reject(`must be a mapping, not ${kindOf(this.value)}`);
      return [];
    }
    return Object.entries(this.value).map(([key, value]) => [key, new LocalValue(value, `${this.path}["${key}"]`, this.problems)]);
  }

  items(): LocalValue[] {
    if (this.isAbsent) return [];
    if (!Array.isArray(this.value)) {
      this.reject(`must be a list, not ${kindOf(this.value)}`);
      return [];
    }
    return this.value.map((item, i) => this.at(i, item));
  }

  text(fallback = ''): string {
    if (this.isAbsent) return fallback;
    if (typeof this.value === 'string') return this.value;
    this.reject(`must be text, not ${kindOf(this.value)}`);
    return fallback;
  }

  required(): string {
    const text = this.text();
    if (text === '' && (this.isAbsent || this.value === '')) this.reject('is required');
    return text;
  }

  boolean(fallback: boolean): boolean {
    if (typeof this.value === 'boolean') return this.value;
    if (!this.isAbsent) this.reject(`must be true or false, not ${kindOf(this.value)}`);
    return fallback;
  }

  integer(fallback: number, maximum: number): number {
    if (this.isAbsent) return fallback;
    if (typeof this.value === 'number' && Number.isInteger(this.value) && this.value >= 0 && this.value <= maximum) return this.value;
    this.reject(`must be a whole number from 0 to ${maximum}, not ${kindOf(this.value)}`);
    return fallback;
  }

  /** One of the spellings in `names`, translated. */
  oneOf<T>(names: Readonly<Record<string, T>>, fallback: T): T {
    if (this.isAbsent) return fallback;
    const found = typeof this.value === 'string' && Object.hasOwn(names, this.value) ? names[this.value] : undefined;
    if (found === undefined) this.reject(`must be one of ${Object.keys(names).join(', ')}, not ${kindOf(this.value)}`);
    return found ?? fallback;
  }
}
