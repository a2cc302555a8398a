/** Duration strings as ztunnel reads them: `1h30m`, `150ms`, `5s`, or `1.5s`; a bare number is not one. */
const UNITS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const PART = /(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m|h|d)/gy;

/** Milliseconds, or undefined when the text is no duration. */
export function parseDuration(text: string): number | undefined {
  const compact = text.trim();
  if (compact === '0') return 0;
  let total = 0;
  PART.lastIndex = 0;
  while (PART.lastIndex < compact.length) {
    const match = PART.exec(compact);
    if (match === null) return undefined;
    total += Number(match[1]) * UNITS[match[2]!]!;
  }
  return compact === '' ? undefined : total;
}
