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

test('hands out interim responses without an end and goes on to the final one', () => {
  const text = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx';
  const { parser, events, feed } = record('response', {}, ['POST']);
  feed(octets(text.slice(0, 30)));
  expect(parser.isIdle).toBe(false);
  feed(octets(text.slice(30)));
  expect(events).toEqual([
    { head: expect.objectContaining({ status: 100, framing: 'none' }) },
    { head: expect.objectContaining({ status: 103, headers: [['link', '</a>']] }) },
    { head: expect.objectContaining({ status: 200 }) },
    { body: 'x' },
    END,
  ]);
  expect(parser.isIdle).toBe(true);
});

test('ends responses that have no body at their head, and keeps the length a GET would have had', () => {
  const next = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';
  for (const [asked, text, headers] of [
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', [['content-length', '5']]],
    ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', []],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', [['content-length', '5']]],
    ['GET', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n', []],
  ] as const) {
    const events = eventsOf('response', text + next, {}, [asked, 'GET']);
    expect(events).toEqual([
      { head: expect.objectContaining({ framing: 'none', contentLength: -1, isKeptAlive: true, headers }) },
      END,
      { head: expect.objectContaining({ framing: 'length' }) },
      END,
    ]);
  }
});

test('stops for good behind a head that begins a tunnel', () => {
  for (const [asked, text] of [
    ['GET', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'],
    ['CONNECT', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\n'],
  ] as const) {
    const { parser, events, feed } = record('response', {}, [asked]);
    expect(feed(octets(`${text}\x81\x05`))).toEqual(octets('\x81\x05'));
    expect(parser.isTunnel).toBe(true);
    parser.end();
    expect(events).toEqual([
      { head: expect.objectContaining({ framing: 'none', headers: [], isKeptAlive: false, upgrade: asked === 'GET' ? 'websocket' : '' }) },
    ]);
  }
  expect(eventsOf('response', 'HTTP/1.1 407 \r\ncontent-length: 1\r\n\r\nx', {}, ['CONNECT'])).toHaveLength(3);
});

test('calls whatever ends inside a message truncated, and nothing else', () => {
  const ended = (kind: 'request' | 'response', text: string): unknown => {
    const { parser, events, feed } = record(kind, {}, kind === 'request' ? [] : ['GET']);
    feed(octets(text));
    const before = events.length;
    parser.end();
    parser.end();
    expect(parser.push(octets('x'))).toBe(0);
    return events.slice(before);
  };
  const truncated = [{ violation: 'truncated', status: 400 }];
  expect(ended('request', '')).toEqual([]);
  expect(ended('request', 'GET / HTTP/1.1\r\nhost: a\r\n\r\n')).toEqual([]);
  expect(ended('request', 'G')).toEqual(truncated);
  expect(ended('request', 'PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n')).toEqual(truncated);
  for (const chunked of ['', '1', '1\r\n', '1\r\na', '1\r\na\r\n', '0\r\n', '0\r\n\r'])
    expect(ended('request', `PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${chunked}`)).toEqual(truncated);
  expect(ended('response', '')).toEqual([]);
  expect(ended('response', 'HTTP/1.1 100 Continue\r\n\r\n')).toEqual(truncated);
  expect(ended('response', 'HTTP/1.1 200 OK\r\n\r\n')).toEqual([END]);
  expect(ended('response', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n')).toEqual(truncated);
});

test('shares one string for each known name, whatever its case, and lower-cases the others', () => {
  const { headers } = headOf('request', 'GET / HTTP/1.1\r\nhOsT: a\r\nUSER-AGENT: x\r\nX-Something-Of-My-Own: y\r\n\r\n');
  expect(headers.map(([name]) => name)).toEqual(['host', 'user-agent', 'x-something-of-my-own']);
});

test('says nothing more once it was stopped, whichever callback does it', () => {
  const text = 'HTTP/1.1 103 \r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
  const bodiless = 'HTTP/1.1 204 \r\n\r\n';
  for (const [input, stopAt, expected] of [
    [text, 1, ['head']],
    [text, 2, ['head', 'head']],
    [text, 3, ['head', 'head', 'body']],
    [bodiless, 1, ['head']],
  ] as const) {
    const said: string[] = [];
    const say = (what: string): void => {
      if (said.push(what) === stopAt) parser.stop();
    };
    const parser = createHttp1Parser('response', HTTP1_LIMITS, {
      onHead: () => say('head'),
      onBody: () => say('body'),
      onEnd: () => say('end'),
      onViolation: () => say('violation'),
    });
    parser.expectResponse('GET');
    parser.push(octets(input));
    parser.end();
    expect(parser.push(octets(text))).toBe(0);
    expect(said).toEqual([...expected]);
  }
});

test('stops behind a message even when its end makes the handler push the beginning of another', () => {
  const said: string[] = [];
  const parser = createHttp1Parser('request', HTTP1_LIMITS, {
    onHead: (head) => void said.push(head.target),
    onBody: () => {},
    onEnd: () => {
      if (said.length === 1) parser.push(octets('GET /2 HTTP/1.1\r\nho'));
    },
    onViolation: ({ detail }) => void said.push(detail),
  });
  const first = octets('GET /1 HTTP/1.1\r\nhost: a\r\n\r\n');
  expect(parser.push(Buffer.concat([first, octets('not for now')]))).toBe(first.length);
  parser.push(octets('st: a\r\n\r\n'));
  expect(said).toEqual(['/1', '/2']);
});
