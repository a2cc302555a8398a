import { expect, test } from 'bun:test';
import { latin1 } from '../bytes.ts';
import {
  CHUNK_END,
  encodeChunkHead,
  encodeLastChunk,
  encodeRequestHead,
  encodeResponseHead,
  type Http1RequestOptions,
  type Http1ResponseOptions,
} from './encoder.ts';

const text = (bytes: Uint8Array): string => latin1(bytes, 0, bytes.length);
const common = { headers: [], framing: 'none', contentLength: -1, connection: 'keep-alive', upgrade: '', minorVersion: 1 } as const;
const request = (changes: Partial<Http1RequestOptions>): string =>
  text(encodeRequestHead({ method: 'GET', target: '/', acceptsTrailers: false, ...common, headers: [['host', 'a']], ...changes }));
const response = (changes: Partial<Http1ResponseOptions>): string =>
  text(encodeResponseHead({ status: 200, reason: 'OK', ...common, ...changes }));

test('writes what a request says and nothing that goes without saying', () => {
  expect(request({})).toBe('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  expect(
    request({
      method: 'POST',
      target: '/x?y',
      headers: [
        ['host', 'a'],
        ['x-a', 'ü\t '],
        ['x-b', ''],
      ],
    }),
  ).toBe('POST /x?y HTTP/1.1\r\nhost: a\r\nx-a: ü\t \r\nx-b: \r\n\r\n');
  expect(request({ connection: 'close' })).toEndWith('\r\nconnection: close\r\n\r\n');
  expect(request({ connection: 'upgrade', upgrade: 'websocket' })).toEndWith('\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
  expect(request({ acceptsTrailers: true })).toEndWith('\r\nte: trailers\r\nconnection: te\r\n\r\n');
  expect(request({ acceptsTrailers: true, connection: 'close' })).toEndWith('\r\nte: trailers\r\nconnection: close, te\r\n\r\n');
});

test('writes how the body ends, once', () => {
  const headers = [
    ['host', 'a'],
    ['content-length', '7'],
    ['x', 'y'],
    ['content-length', '8'],
  ] as const;
  expect(request({ headers, framing: 'length', contentLength: 5 })).toBe('GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nx: y\r\n\r\n');
  expect(request({ framing: 'length', contentLength: 0 })).toBe('GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n');
  expect(request({ headers, framing: 'chunked' })).toBe('GET / HTTP/1.1\r\nhost: a\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n');
  expect(request({ headers })).toBe('GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\n');
  expect(response({ headers: headers.slice(1) })).toBe('HTTP/1.1 200 OK\r\ncontent-length: 7\r\nx: y\r\n\r\n');
  expect(response({ headers: headers.slice(1), status: 204, reason: '' })).toBe('HTTP/1.1 204 \r\nx: y\r\n\r\n');
  expect(response({ headers: headers.slice(1), framing: 'until-close' })).toBe('HTTP/1.1 200 OK\r\nx: y\r\nconnection: close\r\n\r\n');
});

test('speaks to HTTP/1.0 peers as they expect', () => {
  expect(response({ minorVersion: 0 })).toBe('HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\n');
  expect(response({ minorVersion: 0, connection: 'close' })).toBe('HTTP/1.0 200 OK\r\n\r\n');
  expect(response({ minorVersion: 0, framing: 'until-close' })).toBe('HTTP/1.0 200 OK\r\n\r\n');
  expect(request({ minorVersion: 0, headers: [] })).toBe('GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n');
  expect(() => response({ minorVersion: 0, framing: 'chunked' })).toThrow(TypeError);
  expect(() => response({ minorVersion: 0, connection: 'upgrade', upgrade: 'x' })).toThrow(TypeError);
});

test('leaves out fields that concern one connection, wherever they came from', () => {
  const headers = ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'te'].map(
    (name) => [name, 'x'] as const,
  );
  expect(response({ headers })).toBe('HTTP/1.1 200 OK\r\n\r\n');
  expect(text(encodeLastChunk(headers))).toBe('0\r\n\r\n');
});

test('throws for whatever could begin another line or be read in two ways', () => {
  for (const value of ['a\r\nb: c', 'a\nb', 'a\rb', 'a\0b', 'a\x7fb', 'a\u0100b', 'a\u010db', '\u{1f600}']) {
    expect(() =>
      request({
        headers: [
          ['host', 'a'],
          ['x', value],
        ],
      }),
    ).toThrow(TypeError);
    expect(() => response({ reason: value })).toThrow(TypeError);
    expect(() => encodeLastChunk([['x', value]])).toThrow(TypeError);
    expect(() => request({ connection: 'upgrade', upgrade: value })).toThrow(TypeError);
  }
  for (const name of ['', 'a b', 'a:', ':path', 'a\r\nb', 'Transfer-Encoding', 'X', 'ü', 'a\u0141', 'a\n', '\0', 'a\0']) {
    expect(() => response({ headers: [[name, 'x']] })).toThrow(TypeError);
    expect(() => encodeLastChunk([[name, 'x']])).toThrow(TypeError);
  }
  for (const target of ['', '/ b', '/\r\n', '/#a', '/\u0141', '/\xff', '/\x7f']) expect(() => request({ target })).toThrow(TypeError);
  for (const method of ['', 'GE T', 'GET\r\n', 'G\u0141']) expect(() => request({ method })).toThrow(TypeError);
  for (const status of [99, 1000, 200.5, Number.NaN]) expect(() => response({ status })).toThrow(TypeError);
  for (const contentLength of [-1, 0.5, 2 ** 53]) expect(() => response({ framing: 'length', contentLength })).toThrow(TypeError);
  expect(() => request({ headers: [] })).toThrow(TypeError);
  expect(() =>
    request({
      headers: [
        ['host', 'a'],
        ['host', 'a'],
      ],
    }),
  ).toThrow(TypeError);
  expect(() => request({ framing: 'until-close' })).toThrow(TypeError);
  expect(() => request({ connection: 'upgrade' })).toThrow(TypeError);
  for (const name of ['content-length', 'host']) expect(() => encodeLastChunk([[name, '1']])).toThrow(TypeError);
});

test('is whole again after it threw', () => {
  expect(() =>
    request({
      headers: [
        ['host', 'a'],
        ['x', '\n'],
      ],
    }),
  ).toThrow(TypeError);
  expect(request({})).toBe('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
});

test('writes heads larger than its memory', () => {
  const value = 'x'.repeat(100_000);
  expect(
    request({
      headers: [
        ['host', 'a'],
        ['x', value],
      ],
    }),
  ).toBe(`GET / HTTP/1.1\r\nhost: a\r\nx: ${value}\r\n\r\n`);
});

test('writes chunks', () => {
  expect([1, 15, 16, 0xabcdef, Number.MAX_SAFE_INTEGER].map((length) => text(encodeChunkHead(length)))).toEqual([
    '1\r\n',
    'f\r\n',
    '10\r\n',
    'abcdef\r\n',
    '1fffffffffffff\r\n',
  ]);
  for (const length of [0, -1, 1.5, 2 ** 53]) expect(() => encodeChunkHead(length)).toThrow(RangeError);
  expect(text(CHUNK_END)).toBe('\r\n');
  expect(text(encodeLastChunk([]))).toBe('0\r\n\r\n');
  expect(
    text(
      encodeLastChunk([
        ['grpc-status', '0'],
        ['x', ''],
      ]),
    ),
  ).toBe('0\r\ngrpc-status: 0\r\nx: \r\n\r\n');
});
