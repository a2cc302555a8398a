import { expect, test } from 'bun:test';
import { eventsOf, octets, record, refusal } from './testing/record.ts';

const get = (path: string, lines = ''): string => `GET ${path} HTTP/1.1\r\nhost: a\r\n${lines}\r\n`;

test('takes a head of exactly the limit and refuses one octet more, whole or octet by octet', () => {
  const text = get('/', 'x: 12345\r\n');
  for (const slack of [0, -1]) {
    const limits = { headBytes: text.length + slack };
    const expected = slack === 0 ? '' : '431 head-too-large';
    expect(refusal('request', text, limits)).toBe(expected);
    const { events, parser } = record('request', limits);
    for (const octet of octets(text)) parser.push(Uint8Array.of(octet));
    expect(events.some((event) => 'violation' in event)).toBe(slack !== 0);
  }
});

test('counts each head by itself, not what follows it in the same chunk', () => {
  const text = get('/', 'content-length: 500\r\n') + 'x'.repeat(500) + get('/');
  expect(eventsOf('request', text, { headBytes: 60 })).toHaveLength(5);
});

test('refuses a head that never ends', () => {
  expect(refusal('request', `GET / HTTP/1.1\r\n${'x: y\r\n'.repeat(90)}x: ${'y'.repeat(70_000)}`)).toBe('431 head-too-large');
  expect(refusal('request', 'A'.repeat(70_000))).toBe('431 head-too-large');
});

test('limits the target', () => {
  expect(refusal('request', get(`/${'a'.repeat(9)}`), { targetBytes: 10 })).toBe('');
  expect(refusal('request', get(`/${'a'.repeat(10)}`), { targetBytes: 10 })).toBe('414 target-too-long');
  // Too long before it is malformed, however it is split.
  expect(refusal('request', get(`/${'a'.repeat(10)}\t`), { targetBytes: 10 })).toBe('414 target-too-long');
});

test('limits the number of fields, of heads and of trailers', () => {
  expect(refusal('request', get('/', 'x: 1\r\n'.repeat(99)))).toBe('');
  expect(refusal('request', get('/', 'x: 1\r\n'.repeat(100)))).toBe('431 too-many-headers');
  const chunked = (trailers: string): string => get('/', 'transfer-encoding: chunked\r\n').concat('0\r\n', trailers, '\r\n');
  expect(refusal('request', chunked('x: 1\r\n'.repeat(100)))).toBe('');
  expect(refusal('request', chunked('x: 1\r\n'.repeat(101)))).toBe('431 too-many-headers');
});

test('limits the octets of trailers', () => {
  const chunked = (size: number): string => get('/', 'transfer-encoding: chunked\r\n').concat('0\r\nx: ', 'y'.repeat(size), '\r\n\r\n');
  expect(refusal('request', chunked(13), { trailerBytes: 20 })).toBe('');
  expect(refusal('request', chunked(14), { trailerBytes: 20 })).toBe('431 trailers-too-large');
});

test('limits interim responses', () => {
  const interim = 'HTTP/1.1 103 Early Hints\r\n\r\n';
  const final = 'HTTP/1.1 204 No Content\r\n\r\n';
  expect(refusal('response', interim.repeat(32) + final)).toBe('');
  expect(refusal('response', interim.repeat(33) + final)).toBe('400 bad-start-line');
});

test('reads a head that comes octet by octet in time that grows with its length', () => {
  // 60 KiB in 60 thousand pieces: with a quadratic parser this does not end within the time of a test.
  const { parser, events } = record('request');
  const head = octets(get('/', `x: ${'y'.repeat(60_000)}\r\n`));
  for (let at = 0; at < head.length; at++) parser.push(head.subarray(at, at + 1));
  expect(events).toHaveLength(2);
});

test('takes nothing after a violation', () => {
  const { parser, events } = record('request');
  parser.push(octets('\0'));
  expect(parser.push(octets(get('/')))).toBe(0);
  parser.end();
  expect(events).toEqual([{ violation: 'not-http1', status: 400 }]);
});
