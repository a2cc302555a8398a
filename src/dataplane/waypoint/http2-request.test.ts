import { expect, test } from 'bun:test';
import type { HeaderList } from '../../protocol/index.ts';
import { requestOf } from './http2-request.ts';

const fields = (changes: Record<string, string> = {}): HeaderList =>
  Object.entries({ ':method': 'GET', ':scheme': 'http', ':authority': 'h:1', ':path': '/a?b', ...changes });

test('reads the pseudo-headers', () => {
  expect(requestOf([...fields(), ['x-a', '1']], true)).toEqual({
    method: 'GET',
    path: '/a?b',
    authority: 'h:1',
    scheme: 'http',
    headers: [['x-a', '1']],
    version: 'HTTP/2',
    contentLength: 0,
    upgrade: '',
    acceptsTrailers: false,
  });
});

test('puts cookies together, takes host for a missing authority, and te out', () => {
  const [, , , path] = fields();
  const list: HeaderList = [
    [':method', 'GET'],
    [':scheme', 'http'],
    path!,
    ['host', 'by.host'],
    ['cookie', 'a=1'],
    ['x', 'y'],
    ['cookie', 'b=2'],
    ['te', 'trailers'],
  ];
  expect(requestOf(list, true)).toMatchObject({
    authority: 'by.host',
    headers: [
      ['x', 'y'],
      ['cookie', 'a=1; b=2'],
    ],
    acceptsTrailers: true,
  });
});

test('knows the length of the body only where it is said', () => {
  expect(requestOf([...fields(), ['content-length', '5']], false)).toMatchObject({ contentLength: 5 });
  expect(requestOf(fields(), false)).toMatchObject({ contentLength: -1 });
  expect(requestOf(fields(), true)).toMatchObject({ contentLength: 0 });
});

test.each([
  [':path', '/a b'],
  [':path', '/a\tb'],
  [':path', '/a\r'],
  [':path', '/a#b'],
  [':path', '/\u00e9'],
  [':method', 'GET /'],
  [':method', ''],
  [':authority', 'a/b'],
  [':authority', 'a b'],
  [':authority', 'a:b'],
  [':authority', 'user@a'],
  [':authority', '[::1'],
  [':scheme', 'ht tp'],
  ['x-a', 'a\x01b'],
  ['x-a', 'a\x7f'],
])('refuses %p of %p', (name, value) => {
  expect(requestOf(fields({ [name]: value }), true)).toMatchObject({ status: 400 });
});

test.each([
  [':authority', '[::1]:80'],
  [':authority', 'a_b.c'],
  [':path', '/%20;x=y?z={}'],
  ['x-a', 'tab\tand \u00e9'],
])('lets %p of %p through', (name, value) => {
  expect(requestOf(fields({ [name]: value }), true)).not.toHaveProperty('problem');
});

test('refuses a path as long as HTTP/1 would not take it', () => {
  expect(requestOf(fields({ ':path': `/${'a'.repeat(20_000)}` }), true)).toMatchObject({ status: 414 });
});
