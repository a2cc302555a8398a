import { expect, test } from 'bun:test';
import { HTTP1_LIMITS } from './limits.ts';
import { createHttp1Parser } from './parser.ts';
import { eventsOf, headOf, octets, record } from './testing/record.ts';

const END = { end: [] };

test('reads a request with its body and takes out what concerns the connection', () => {
  const text =
    'POST /v1/chat?x=1 HTTP/1.1\r\nHost: llm.default:8080\r\nX-User:  ann \t\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nContent-Length: 5\r\n\r\nhello';
  expect(eventsOf('request', text)).toEqual([
    {
      head: {
        minorVersion: 1,
        method: 'POST',
        target: '/v1/chat?x=1',
        status: 0,
        reason: '',
        headers: [
          ['host', 'llm.default:8080'],
          ['x-user', 'ann'],
          ['content-length', '5'],
        ],
        framing: 'length',
        contentLength: 5,
        isKeptAlive: true,
        upgrade: '',
        acceptsTrailers: false,
        expectsContinue: false,
      },
    },
    { body: 'hello' },
    END,
  ]);
});

test('reads chunks, forgets their extensions and hands on trailers', () => {
  const text =
    'PUT / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5;a;b=c;d="e\\"f"\r\nhello\r\n00A\r\n, world...\r\n0\r\nX-Sum: 1\r\nAuthorization: x\r\n\r\n';
  expect(eventsOf('request', text).slice(1)).toEqual([{ body: 'hello, world...' }, { end: [['x-sum', '1']] }]);
  expect(headOf('request', text)).toMatchObject({ framing: 'chunked', contentLength: -1, headers: [['host', 'a']] });
});

test('stops behind each message, so that the caller decides when the next one is read', () => {
  const { parser, events } = record('request');
  const bytes = octets('GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n');
  expect(parser.isIdle).toBe(true);
  expect(parser.push(bytes)).toBe(bytes.length / 2);
  expect(parser.isIdle).toBe(true);
  expect(events).toHaveLength(2);
  expect(parser.push(bytes.subarray(bytes.length / 2, bytes.length - 1))).toBe(bytes.length / 2 - 1);
  expect(parser.isIdle).toBe(false);
  expect(parser.push(bytes.subarray(-1))).toBe(1);
  expect(events).toHaveLength(4);
});

test('hands out slices of what was pushed, without a copy', () => {
  const buffers: ArrayBufferLike[] = [];
  const parser = createHttp1Parser('request', HTTP1_LIMITS, {
    onHead: () => {},
    onBody: (chunk) => void buffers.push(chunk.buffer),
    onEnd: () => {},
    onViolation: () => {},
  });
  const bytes = octets('PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello');
  parser.push(bytes);
  const rest = octets('world');
  parser.push(rest);
  expect(buffers).toEqual([bytes.buffer, rest.buffer]);
});

test('reads responses of each framing', () => {
  expect(eventsOf('response', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok').slice(1)).toEqual([{ body: 'ok' }, END]);
  expect(headOf('response', 'HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n')).toMatchObject({ status: 200, reason: '', framing: 'length' });
  const { parser, events, feed } = record('response', {}, ['GET']);
  feed(octets('HTTP/1.0 200 All is  well\r\nx: 1\r\n\r\nuntil the '));
  feed(octets('end'));
  expect(events).toEqual([
    { head: expect.objectContaining({ reason: 'All is  well', framing: 'until-close', isKeptAlive: false }) },
    { body: 'until the end' },
  ]);
  parser.end();
  expect(events.at(-1)).toEqual(END);
});
