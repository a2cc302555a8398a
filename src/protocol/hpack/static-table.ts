/** The static table, RFC 7541 appendix A. Index 1 is the first entry. */
// biome-ignore format: four entries a line read better
const ENTRIES: readonly (readonly [name: string, value: string])[] = [
  [':authority', ''], [':method', 'GET'], [':method', 'POST'], [':path', '/'],
  [':path', '/index.html'], [':scheme', 'http'], [':scheme', 'https'], [':status', '200'],
  [':status', '204'], [':status', '206'], [':status', '304'], [':status', '400'],
  [':status', '404'], [':status', '500'], ['accept-charset', ''], ['accept-encoding', 'gzip, deflate'],
  ['accept-language', ''], ['accept-ranges', ''], ['accept', ''], ['access-control-allow-origin', ''],
  ['age', ''], ['allow', ''], ['authorization', ''], ['cache-control', ''],
  ['content-disposition', ''], ['content-encoding', ''], ['content-language', ''], ['content-length', ''],
  ['content-location', ''], ['content-range', ''], ['content-type', ''], ['cookie', ''],
  ['date', ''], ['etag', ''], ['expect', ''], ['expires', ''],
  ['from', ''], ['host', ''], ['if-match', ''], ['if-modified-since', ''],
  ['if-none-match', ''], ['if-range', ''], ['if-unmodified-since', ''], ['last-modified', ''],
  ['link', ''], ['location', ''], ['max-forwards', ''], ['proxy-authenticate', ''],
  ['proxy-authorization', ''], ['range', ''], ['referer', ''], ['refresh', ''],
  ['retry-after', ''], ['server', ''], ['set-cookie', ''], ['strict-transport-security', ''],
  ['transfer-encoding', ''], ['user-agent', ''], ['vary', ''], ['via', ''],
  ['www-authenticate', ''],
];

export const STATIC_TABLE_SIZE = ENTRIES.length;

/** The entry at `index` (1 to 61). */
export const staticEntry = (index: number): readonly [name: string, value: string] => ENTRIES[index - 1]!;

const nameIndexes = new Map<string, number>();
const fieldIndexes = new Map<string, Map<string, number>>();
ENTRIES.forEach(([name, value], position) => {
  if (!nameIndexes.has(name)) nameIndexes.set(name, position + 1);
  const values = fieldIndexes.get(name) ?? new Map<string, number>();
  fieldIndexes.set(name, values);
  values.set(value, position + 1);
});

/** The lowest index with this name, 0 when there is none. */
export const staticNameIndex = (name: string): number => nameIndexes.get(name) ?? 0;

/** The index of exactly this field, 0 when there is none. */
export const staticFieldIndex = (name: string, value: string): number => fieldIndexes.get(name)?.get(value) ?? 0;
