import { expect, test } from 'bun:test';
import { editHeaders } from './header-edit.ts';

const edit = (remove: string[], set: [string, string][], add: [string, string][]) => ({ remove, set, add });
const headers = [
  ['a', '1'],
  ['b', '2'],
  ['a', '3'],
] as const;

test.each([
  ['nothing', edit([], [], []), 'a=1 b=2 a=3'],
  ['remove takes every field of the name', edit(['a', 'x'], [], []), 'b=2'],
  ['set leaves one, in its place', edit([], [['a', '9']], []), 'a=9 b=2'],
  ['set makes what was not there', edit([], [['c', '9']], []), 'a=1 b=2 a=3 c=9'],
  ['add leaves what was there', edit([], [], [['b', '9']]), 'a=1 b=2 a=3 b=9'],
  ['remove, set and add of one name', edit(['a'], [['a', '8']], [['a', '9']]), 'b=2 a=8 a=9'],
] as const)('%s', (_title, change, result) => {
  expect(
    editHeaders(headers, change)
      .map((field) => field.join('='))
      .join(' '),
  ).toBe(result);
});
