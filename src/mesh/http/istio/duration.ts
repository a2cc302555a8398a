import type { Problems } from './problem.ts';

const MILLISECONDS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ns: 1e-6,
};
const PART = /([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ms|us|µs|μs|ns|h|m|s)/y;

/** Milliseconds of a duration as protobuf's JSON (`1.5s`) or Go (`1h30m`) write it; undefined when it is neither or negative. `0` needs no unit. */
export const parseDuration = (text: string): number | undefined => {
  if (text === '0') return 0;
  if (text === '') return undefined;
  let total = 0;
  PART.lastIndex = 0;
  while (PART.lastIndex < text.length) {
    const part = PART.exec(text);
    if (part === null) return undefined;
    total += Number(part[1]) * (MILLISECONDS[part[2]!] ?? Number.NaN);
  }
  // Sums of decimal parts carry binary noise; a microsecond is finer than any timer.
  return Number.isFinite(total) ? Math.round(total * 1000) / 1000 : undefined;
};

/** Reads an optional duration field; `minimum` in milliseconds (Istio wants at least 1 ms nearly everywhere). */
export const durationAt = (problems: Problems, path: string, text: string | undefined, minimum = 1): number | undefined => {
  if (text === undefined) return undefined;
  const value = parseDuration(text);
  if (value === undefined) return problems.invalid(path, `${JSON.stringify(text)} is not a duration`, 'write it like 1h, 1m, 1s or 1ms');
  if (value < minimum) return problems.invalid(path, `${text} is less than ${minimum} ms`);
  return value;
};
