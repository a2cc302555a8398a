import { expect, test } from 'bun:test';
import { isSendable, sendableTrailers } from './header-fields.ts';

test.each(['', 'plain', 'with\ttab', '\u00e9', '~'])('%p can be sent', (value) => {
  expect(isSendable(value)).toBe(true);
});

test.each(['\0', 'a\x01', 'a\nb', 'a\rb', '\x1f', '\x7f'])('%p cannot be sent', (value) => {
  expect(isSendable(value)).toBe(false);
});

test('trailers lose what would change the message in front of them, and nothing else', () => {
  const good = [
    ['grpc-status', '0'],
    ['x-sum', '7'],
  ] as const;
  expect(sendableTrailers(good)).toBe(good);
  expect(sendableTrailers([...good, ['content-length', '3'], ['host', 'x'], ['x-bad', 'a\x01'], ['authorization', 'y']])).toEqual([
    ...good,
  ]);
});
