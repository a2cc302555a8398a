const SYNTAX = /^(?:[0-9]{1,5}(?:h|m|s|ms)){1,4}$/;
const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };

/** Milliseconds of a GEP-2257 duration such as `1h30m` or `500ms`; undefined when it is none. */
export const parseDuration = (text: string): number | undefined => {
  if (!SYNTAX.test(text)) return undefined;
  let total = 0;
  for (const [, count, unit] of text.matchAll(/([0-9]+)(ms|h|m|s)/g)) total += Number(count) * (UNITS[unit ?? ''] ?? 0);
  return total;
};
