import { expect, test } from 'bun:test';
import { createHttp1Parser, HTTP1_LIMITS, type Http1Head } from '../../protocol/index.ts';
import { requestOf } from './http1-request.ts';
import type { RequestHead } from './messages.ts';

function read(text: string): RequestHead {
  let head: Http1Head | undefined;
  const parser = createHttp1Parser('request', HTTP1_LIMITS, {
    onHead: (found) => {
      head = found;
    },
    onBody() {},
    onEnd() {},
    onViolation: ({ detail }) => {
      throw new Error(detail);
    },
  });
  parser.push(Buffer.from(text.replaceAll('\n', '\r\n')));
  return requestOf(head!);
}

test.each([
  ['GET /a?b HTTP/1.1\nHost: h:1\n\n', { path: '/a?b', authority: 'h:1', scheme: 'http' }],
  ['GET http://h/a?b HTTP/1.1\nHost: h\n\n', { path: '/a?b', authority: 'h', scheme: 'http' }],
  ['GET HTTPS://h HTTP/1.1\nHost: h\n\n', { path: '/', authority: 'h', scheme: 'https' }],
  ['GET http://h?q HTTP/1.1\nHost: h\n\n', { path: '/?q', authority: 'h' }],
  ['OPTIONS * HTTP/1.1\nHost: h\n\n', { path: '*', authority: 'h' }],
  ['GET / HTTP/1.0\n\n', { path: '/', authority: '', version: 'HTTP/1.0' }],
])('reads where %p goes', (text, expected) => {
  expect(read(text)).toMatchObject(expected);
});

test('takes the host out of the fields and leaves the rest as it was', () => {
  expect(read('GET / HTTP/1.1\nA: 1\nHost: h\nB: 2\na: 3\n\n').headers).toEqual([
    ['a', '1'],
    ['b', '2'],
    ['a', '3'],
  ]);
});

test('says how long the body is', () => {
  expect(read('GET / HTTP/1.1\nHost: h\n\n').contentLength).toBe(0);
  expect(read('PUT / HTTP/1.1\nHost: h\nContent-Length: 7\n\n').contentLength).toBe(7);
  expect(read('PUT / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n').contentLength).toBe(-1);
});

test.each(['h2c', 'HTTP/2.0', 'websocket, h2c', 'TLS/1.0', 'http/1.1'])(
  'does not let requests hide behind an upgrade to %p',
  (protocol) => {
    expect(read(`GET / HTTP/1.1\nHost: h\nConnection: upgrade\nUpgrade: ${protocol}\n\n`).upgrade).toBe('');
  },
);

test.each(['websocket', 'SPDY/3.1', 'ssh2chat'])('lets an upgrade to %p be asked for', (protocol) => {
  expect(read(`GET / HTTP/1.1\nHost: h\nConnection: upgrade\nUpgrade: ${protocol}\n\n`).upgrade).toBe(protocol);
});
