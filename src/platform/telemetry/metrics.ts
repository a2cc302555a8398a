/**
 * Counters, gauges and histograms. A family is registered once under a name with its label names; `labels({…})` gives the handle of one
 * series, to be resolved once and kept: `inc`, `set` and `observe` on a handle only write numbers and allocate nothing.
 * A label whose value is `undefined` is left out of the series.
 */

/** Series one family may hold; past it new label sets share one series whose label values are all {@link OVERFLOW_LABEL}. */
export const MAX_SERIES_PER_FAMILY = 10_000;
export const OVERFLOW_LABEL = '_overflow';
const OVERFLOW_METRIC = 'lateen_metric_series_overflow';

export type Labels = Readonly<Record<string, string | undefined>>;
export type MetricType = 'counter' | 'gauge' | 'histogram';

/** Label values in the order of a family's label names, with the text that tells them from others. */
export interface LabelSet {
  readonly names: readonly string[];
  readonly values: readonly (string | undefined)[];
  readonly key: string;
}

/** Labels that are not among the names are a bug and throw. */
export function labelSet(names: readonly string[], labels: Labels, owner = 'the label set'): LabelSet {
  let key = '';
  let known = 0;
  const values: (string | undefined)[] = [];
  for (const name of names) {
    const value = labels[name];
    values.push(value);
    // \u0001 keeps "absent" apart from "empty", \u0000 keeps neighbours apart.
    key += value === undefined ? '\u0001\u0000' : `${value}\u0000`;
    if (name in labels) known++;
  }
  if (known !== Object.keys(labels).length) {
    const unknown = Object.keys(labels).filter((name) => !names.includes(name));
    throw new Error(`${owner} has no label ${unknown.join(', ')}; it has ${names.join(', ') || 'none'}`);
  }
  return { names, values, key };
}

/** One series: its label values in the family's order, and the numbers. */
export interface Series {
  readonly values: readonly (string | undefined)[];
}

const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

export class CounterHandle implements Series {
  readonly values: readonly (string | undefined)[];
  value = 0;
  constructor(values: readonly (string | undefined)[]) {
    this.values = values;
  }
  inc(n = 1): void {
    this.value += n;
  }
}

export class GaugeHandle implements Series {
  readonly values: readonly (string | undefined)[];
  value = 0;
  constructor(values: readonly (string | undefined)[]) {
    this.values = values;
  }
  set(n: number): void {
    this.value = n;
  }
  inc(n = 1): void {
    this.value += n;
  }
  dec(n = 1): void {
    this.value -= n;
  }
}

export class HistogramHandle implements Series {
  readonly values: readonly (string | undefined)[];
  /** Observations per bucket, not cumulative; the last one is `+Inf`. */
  readonly counts: Float64Array;
  readonly bounds: Float64Array;
  sum = 0;
  count = 0;
  constructor(values: readonly (string | undefined)[], bounds: Float64Array) {
    this.values = values;
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }
  observe(n: number): void {
    const bounds = this.bounds;
    let i = 0;
    while (i < bounds.length && n > bounds[i]!) i++;
    this.counts[i]!++;
    this.sum += n;
    this.count++;
  }
  /** Takes in what was observed elsewhere with the same bounds. */
  add(counts: Float64Array, sum: number): void {
    for (let i = 0; i < counts.length; i++) {
      this.counts[i]! += counts[i]!;
      this.count += counts[i]!;
    }
    this.sum += sum;
  }
}

/** What every family does: find or make the series of a label set, within the limit. */
export abstract class Family<H extends Series> {
  abstract readonly type: MetricType;
  /** Without the `_total` suffix for counters. */
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  readonly #series = new Map<string, H>();
  readonly #limit: number;
  readonly #onOverflow: (family: string) => void;
  #overflow: H | undefined;

  constructor(name: string, help: string, labelNames: readonly string[], limit: number, onOverflow: (family: string) => void) {
    if (!METRIC_NAME.test(name)) throw new Error(`metric name "${name}" is not valid: use letters, digits, "_" and ":"`);
    for (const label of labelNames)
      if (!LABEL_NAME.test(label) || label.startsWith('__')) throw new Error(`metric ${name}: label name "${label}" is not valid`);
    this.name = name;
    this.help = help;
    this.labelNames = labelNames;
    this.#limit = limit;
    this.#onOverflow = onOverflow;
  }

  protected abstract create(values: readonly (string | undefined)[]): H;

  /** The series of these labels. Names that the family does not have are a bug and throw. */
  labels(labels: Labels = {}): H {
    return this.of(labelSet(this.labelNames, labels, `metric ${this.name}`));
  }

  /** The series of a label set, which other families with the same label names may share: then its text is kept once for all of them. */
  of(set: LabelSet): H {
    const found = this.#series.get(set.key);
    if (found) return found;
    if (set.names !== this.labelNames && set.names.join() !== this.labelNames.join())
      throw new Error(`metric ${this.name} has the labels ${this.labelNames.join(', ')}, not ${set.names.join(', ')}`);
    if (this.#series.size >= this.#limit) {
      this.#onOverflow(this.name);
      this.#overflow ??= this.create(this.labelNames.map(() => OVERFLOW_LABEL));
      return this.#overflow;
    }
    const made = this.create(set.values);
    this.#series.set(set.key, made);
    return made;
  }

  /** Forgets a series, so that it is no longer exposed. Handles of it that are still held count into nothing. */
  remove(labels: Labels): void {
    this.#series.delete(labelSet(this.labelNames, labels).key);
  }

  get size(): number {
    return this.#series.size;
  }

  *series(): Generator<H> {
    yield* this.#series.values();
    if (this.#overflow) yield this.#overflow;
  }
}

export class Counter extends Family<CounterHandle> {
  readonly type = 'counter';
  protected override create(values: readonly (string | undefined)[]): CounterHandle {
    return new CounterHandle(values);
  }
  /** The series without labels. */
  inc(n = 1): void {
    this.labels().inc(n);
  }
}

export class Gauge extends Family<GaugeHandle> {
  readonly type = 'gauge';
  protected override create(values: readonly (string | undefined)[]): GaugeHandle {
    return new GaugeHandle(values);
  }
  /** The series without labels. */
  set(n: number): void {
    this.labels().set(n);
  }
}

export class Histogram extends Family<HistogramHandle> {
  readonly type = 'histogram';
  readonly bounds: Float64Array;
  constructor(
    name: string,
    help: string,
    bounds: readonly number[],
    labelNames: readonly string[],
    limit: number,
    onOverflow: (family: string) => void,
  ) {
    super(name, help, labelNames, limit, onOverflow);
    if (labelNames.includes('le')) throw new Error(`metric ${name}: a histogram cannot have the label "le"`);
    this.bounds = Float64Array.from(bounds).sort();
  }
  protected override create(values: readonly (string | undefined)[]): HistogramHandle {
    return new HistogramHandle(values, this.bounds);
  }
  /** The series without labels. */
  observe(n: number): void {
    this.labels().observe(n);
  }
}

export interface RegistryOptions {
  /** Default {@link MAX_SERIES_PER_FAMILY}. */
  readonly maxSeriesPerFamily?: number;
}

/** The families of one process. Asking for a name again gives the same family if its shape is the same. */
export class Registry {
  readonly #families = new Map<string, Counter | Gauge | Histogram>();
  readonly #collectors: (() => void)[] = [];
  readonly #limit: number;
  readonly #overflow: Counter;
  readonly #onOverflow = (family: string): void => this.#overflow.labels({ metric: family }).inc();

  constructor(options: RegistryOptions = {}) {
    this.#limit = options.maxSeriesPerFamily ?? MAX_SERIES_PER_FAMILY;
    this.#overflow = new Counter(
      OVERFLOW_METRIC,
      `Label sets refused because the metric already has ${this.#limit} series (unstable).`,
      ['metric'],
      MAX_SERIES_PER_FAMILY,
      () => {},
    );
    this.#families.set(OVERFLOW_METRIC, this.#overflow);
  }

  /** `name` with or without the `_total` suffix. */
  counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    const base = name.endsWith('_total') ? name.slice(0, -6) : name;
    return this.#register(base, 'counter', labelNames, () => new Counter(base, help, labelNames, this.#limit, this.#onOverflow)) as Counter;
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    return this.#register(name, 'gauge', labelNames, () => new Gauge(name, help, labelNames, this.#limit, this.#onOverflow)) as Gauge;
  }

  /** `bounds` are the upper ends of the buckets, without `+Inf`. */
  histogram(name: string, help: string, bounds: readonly number[], labelNames: readonly string[] = []): Histogram {
    const make = () => new Histogram(name, help, bounds, labelNames, this.#limit, this.#onOverflow);
    return this.#register(name, 'histogram', labelNames, make) as Histogram;
  }

  /** `collect` runs before each exposition: the place to set gauges that mirror a state (open descriptors, table sizes). */
  onCollect(collect: () => void): void {
    this.#collectors.push(collect);
  }

  /** Runs the collectors and gives the families in order of registration. */
  gather(): (Counter | Gauge | Histogram)[] {
    for (const collect of this.#collectors) collect();
    return [...this.#families.values()];
  }

  #register(name: string, type: MetricType, labelNames: readonly string[], make: () => Counter | Gauge | Histogram) {
    const existing = this.#families.get(name);
    if (existing) {
      if (existing.type !== type || existing.labelNames.join() !== labelNames.join())
        throw new Error(`metric ${name} is registered twice with different types or labels`);
      return existing;
    }
    const family = make();
    this.#families.set(name, family);
    return family;
  }
}
