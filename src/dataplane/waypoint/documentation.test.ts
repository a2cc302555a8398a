/** What operators read about limits, flags and metrics is what the program has. */
import { expect, test } from 'bun:test';
import fs from 'node:fs';
import path from 'node:path';
import { LIMITS } from './limits.ts';
import { RESPONSE_FLAGS } from './response-flags.ts';

const page = fs.readFileSync(path.resolve(import.meta.dir, '../../../docs/waypoints.md'), 'utf8');
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) => line.split('|').map((cell) => cell.trim()));

test.each(Object.entries(LIMITS))('the page has the limit %s with its value %d', (name, value) => {
  const documented = rows.flatMap(([, names = '', values = '']) => {
    const at = names.split(', ').indexOf(`\`${name}\``);
    return at < 0 ? [] : [values.split(', ')[at]];
  });
  expect(documented).toEqual([String(value)]);
});

test.each(Object.keys(RESPONSE_FLAGS))('the page has the flag %s', (flag) => {
  expect(rows.some(([, flags = '']) => flags.split(', ').includes(`\`${flag}\``))).toBe(true);
});

test('the page knows no limit and no flag that the program does not have', () => {
  const named = rows.flatMap(([, names = '']) => [...names.matchAll(/`([A-Z][A-Z0-9_]+)`/g)].map(([, name]) => name!));
  expect(named.filter((name) => !(name in LIMITS) && !(name in RESPONSE_FLAGS))).toEqual([]);
});
