import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { normalizePath } from './normalize-path.ts';

const examples: readonly (readonly [from: string, to: string | undefined])[] = [
  ['/', '/'],
  ['/a/b?c=/../d', '/a/b?c=/../d'],
  ['/a/../b', '/b'],
  ['/a/./b/', '/a/b/'],
  ['/a/b/..', '/a/'],
  ['/a/.', '/a/'],
  ['/../..', '/'],
  ['/a//../b', '/a/b'],
  ['//..//b', '//b'],
  ['///..', '//'],
  ['//a//', '//a//'],
  ['/a/.../..b/.c', '/a/.../..b/.c'],
  ['/a/..;x=y/b', '/b'],
  ['/a/%2e%2e;/b', '/b'],
  ['/a/..%3b/b', '/a/..%3b/b'],
  ['/a;/../b', '/b'],
  ['/a/%2e%2E/b', '/b'],
  ['/a/.%2e', '/'],
  ['/a\\..\\b', '/b'],
  ['/a%2fb%5C..', '/a%2fb%5C..'],
  ['/%61%5A%7e%2d', '/aZ~-'],
  ['/%252e%252e/a', '/%252e%252e/a'],
  ['/%25%32%65', '/%252e'],
  ['/%%2e', '/%.'],
  ['/%/%2/%zz', '/%/%2/%zz'],
  ['/%C0%AE/a', '/%C0%AE/a'],
  ['/a"<>^`{|}b', '/a%22%3C%3E%5E%60%7B%7C%7Db'],
  ['/a?"<>^`{|}\\', '/a?"<>^`{|}\\'],
  ['/a%00', undefined],
  ['/a/..?%00', '/?%00'],
  ['*', '*'],
];

for (const [from, to] of examples)
  test(`${from} ${to === undefined ? 'is refused' : to === from ? 'stays' : `becomes ${to}`}`, () => expect(normalizePath(from)).toBe(to));

const path = fc
  .array(fc.constantFrom('/', '/', '.', '..', 'a', '%2e', '%2E', '%61', '%2f', '%25', '%', ';', '\\', '"', '?', '%5c'), { maxLength: 20 })
  .map((parts) => `/${parts.join('')}`);

test('no dot segment is left, spelled in whatever way', () =>
  fc.assert(
    fc.property(path, (text) => {
      const [clean = ''] = normalizePath(text)!.split('?');
      expect(clean.startsWith('/')).toBe(true);
      for (const segment of clean.replaceAll('\\', '/').split('/'))
        expect(segment.split(';')[0]!.replaceAll(/%2e/gi, '.')).not.toMatch(/^\.\.?$/);
    }),
  ));
