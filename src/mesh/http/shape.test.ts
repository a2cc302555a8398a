import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { boolean, integer, list, number, object, oneOf, optional, pair, type Shape, string, variants } from './shape.ts';

const point = object({ x: integer(0, 9), label: optional(string(1, 3)) });
const figure = variants(object({ kind: oneOf('dot'), at: point }), object({ kind: oneOf('line', 'ray'), ends: pair(point, point) }));
const drawing = object({ figures: list(figure, 2), scale: number(0, 1.5), isFilled: boolean, layer: oneOf(1, 2) });
const good = {
  figures: [
    { kind: 'dot', at: { x: 1, label: 'a' } },
    { kind: 'ray', ends: [{ x: 0 }, { x: 9 }] },
  ],
  scale: 0.5,
  isFilled: false,
  layer: 2,
};

test('what is described passes', () => {
  expect(drawing.check(good)).toBeUndefined();
});

test.each<[string, Shape<unknown>, unknown, string]>([
  ['no object', drawing, [], ': must be an object'],
  ['null', drawing, null, ': must be an object'],
  ['a field missing', drawing, { ...good, layer: undefined, scale: 1 }, '/layer: must be one of 1, 2'],
  ['a field that is not there', point, { label: 'a' }, ': must be an object with a field "x"'],
  ['a field unknown', point, { x: 1, 'y/z~': 1 }, '/y~1z~0: no such field'],
  ['a field named like a member of every object', point, JSON.parse('{"x": 1, "__proto__": {}}'), '/__proto__: no such field'],
  [
    'a field of the prototype',
    object({ constructor: optional(point), toString: point }),
    {},
    ': must be an object with a field "toString"',
  ],
  ['no array', list(point, 1), { length: 0 }, ': must be an array'],
  ['a long array', list(point, 1), [{ x: 1 }, { x: 2 }], ': must be an array of at most 1'],
  ['an item', list(point, 9), [{ x: 1 }, { x: 1.5 }], '/1/x: must be a whole number from 0 to 9'],
  ['a pair of three', pair(point, point), [{ x: 1 }, { x: 1 }, 3], ': must be an array of two'],
  ['the second of a pair', pair(point, point), [{ x: 1 }, 3], '/1: must be an object'],
  ['a long text', point, { x: 1, label: 'abcd' }, '/label: must be a string of 1 to 3 characters'],
  ['an empty text', point, { x: 1, label: '' }, '/label: must be a string of 1 to 3 characters'],
  ['a number as text', point, { x: '1' }, '/x: must be a whole number from 0 to 9'],
  ['not a number', number(0, 1), Number.NaN, ': must be a number from 0 to 1'],
  ['too large', number(0, 1), 1.01, ': must be a number from 0 to 1'],
  ['text instead of a flag', boolean, 'true', ': must be true or false'],
  ['an unknown kind', figure, { kind: 'blot' }, '/kind: must be one of dot, line, ray'],
  ['no kind', figure, {}, '/kind: must be one of dot, line, ray'],
  ['fields of another kind', figure, { kind: 'dot', ends: [] }, '/ends: no such field'],
  [
    'deep inside',
    drawing,
    { ...good, figures: [{ kind: 'line', ends: [{ x: 1 }, { x: -1 }] }] },
    '/figures/0/ends/1/x: must be a whole number from 0 to 9',
  ],
])('refuses %s with its place', (_title, shape, value, problem) => {
  expect(shape.check(value)).toBe(problem);
});

test('any JSON value is answered, and only what is described passes', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(drawing.check(value)).toBeDefined();
    }),
  );
});
