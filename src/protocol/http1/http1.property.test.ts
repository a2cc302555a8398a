import { expect, setDefaultTimeout, test } from 'bun:test';
import fc from 'fast-check';
import { latin1 } from '../bytes.ts';
import type { HeaderList } from '../http2/types.ts';
import { DETECTION_BYTES, detectProtocol } from './detect.ts';
import { CHUNK_END, encodeChunkHead, encodeLastChunk, encodeRequestHead, encodeResponseHead } from './encoder.ts';
import { askedMethods, hostileRequests, hostileResponses } from './testing/hostile.ts';
import { readWithLlhttp } from './testing/llhttp.ts';
import { type Event, octets, record } from './testing/record.ts';
import { hasFuzzRuns, runs } from './testing/runs.ts';
import type { Http1Limits } from './types.ts';

setDefaultTimeout(hasFuzzRuns ? 3_600_000 : 60_000);

interface Seen {
  readonly events: readonly Event[];
  readonly isIdle: boolean;
  readonly isTunnel: boolean;
}

/** Everything an input says, its end included, when it comes in pieces of these sizes (the last one again and again). */
function seen(
  kind: 'request' | 'response',
  bytes: Uint8Array,
  sizes: readonly number[],
  limits: Partial<Http1Limits>,
  asked: readonly string[],
): Seen {
  const { parser, events, feed } = record(kind, limits, kind === 'request' ? [] : asked);
  let at = 0;
  for (let piece = 0; at < bytes.length; piece++) {
    const end = at + (sizes[Math.min(piece, sizes.length - 1)] ?? bytes.length);
    if (feed(bytes.slice(at, end)).length > 0) break;
    at = end;
  }
  const { isIdle, isTunnel } = parser;
  parser.end();
  return { events, isIdle, isTunnel };
}

const SMALL: Partial<Http1Limits> = { headBytes: 120, headerCount: 4, targetBytes: 8, chunkLineBytes: 6, trailerBytes: 20 };
const sizes = fc.oneof(fc.constant([1]), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 }));
const limits = fc.constantFrom({}, {}, SMALL);

for (const [kind, inputs] of [
  ['request', hostileRequests],
  ['response', hostileResponses],
] as const) {
  test(`says the same of any split of ${kind}s`, () => {
    fc.assert(
      fc.property(inputs, sizes, limits, askedMethods, (text, pieces, limited, asked) => {
        const bytes = octets(text);
        expect(seen(kind, bytes, pieces, limited, asked)).toEqual(seen(kind, bytes, [], limited, asked));
      }),
      runs(1500),
    );
  });

  test(`never throws on garbage in place of ${kind}s`, () => {
    const garbage = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.tuple(inputs, fc.uint8Array({ maxLength: 40 })).map(([text, more]) => Buffer.concat([octets(text), more])),
    );
    fc.assert(
      fc.property(garbage, sizes, limits, askedMethods, (bytes, pieces, limited, asked) => {
        const { events } = seen(kind, bytes, pieces, limited, asked);
        const refused = events.findIndex((event) => 'violation' in event);
        expect(refused === -1 || refused === events.length - 1).toBe(true);
      }),
      runs(1500),
    );
  });
}

const TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
const RESERVED = new Set(
  'connection keep-alive proxy-connection transfer-encoding upgrade te content-length host expect trailer age authorization cookie date from range vary'.split(
    ' ',
  ),
);
const name = fc.oneof(
  fc.constantFrom('user-agent', 'accept', 'traceparent', 'x-request-id', 'x-envoy-peer-metadata', 'content-type'),
  fc.string({ unit: fc.constantFrom(...TOKEN), minLength: 1, maxLength: 20 }).filter((text) => !RESERVED.has(text)),
);
const value = fc.uint8Array({ maxLength: 60 }).map((bytes) =>
  latin1(bytes, 0, bytes.length)
    .replaceAll(/[\0-\x08\x0a-\x1f\x7f]/g, '')
    .replaceAll(/^[\t ]+|[\t ]+$/g, ''),
);
const fieldList = fc.array(fc.tuple(name, value), { maxLength: 12 });
const method = fc.oneof(
  fc.constantFrom('GET', 'POST', 'HEAD', 'OPTIONS', 'PATCH'),
  fc.string({ unit: fc.constantFrom(...TOKEN), minLength: 1, maxLength: 12 }),
);
const target = fc
  .string({
    unit: fc
      .integer({ min: 0x21, max: 0x7e })
      .filter((code) => code !== 0x23)
      .map((code) => String.fromCharCode(code)),
    maxLength: 60,
  })
  .map((text) => `/${text}`);
const authority = fc.constantFrom('a', 'llm.default.svc.cluster.local:8080', '10.0.0.1', '[::1]:80');
const body = fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 4 });
const connection = fc.constantFrom('keep-alive', 'close', 'upgrade');
const minorVersion = fc.constantFrom(0 as const, 1 as const);

function bodyBytes(framing: string, chunks: readonly Uint8Array[], trailers: HeaderList): Buffer {
  if (framing === 'none') return Buffer.alloc(0);
  if (framing !== 'chunked') return Buffer.concat(chunks);
  const parts = chunks.flatMap((chunk) => [encodeChunkHead(chunk.length).slice(), chunk, CHUNK_END]);
  return Buffer.concat([...parts, encodeLastChunk(trailers)]);
}

/** What the parser must say of a message written from these. */
function expectMessage(events: readonly Event[], head: object, framing: string, chunks: readonly Uint8Array[], trailers: HeaderList): void {
  const text = Buffer.concat(chunks).toString('latin1');
  expect(events).toEqual([
    { head: expect.objectContaining(head) },
    ...(framing === 'none' || text === '' ? [] : [{ body: text }]),
    { end: framing === 'chunked' ? trailers : [] },
  ]);
}

const DROPPED_TRAILERS = new Set(['content-type']);
const trailerList = fieldList.map((list) => list.filter(([field]) => !DROPPED_TRAILERS.has(field)));

test('reads what it wrote, for requests; so does llhttp', () => {
  const upgrade = fc.constantFrom('websocket', 'h2c, websocket');
  fc.assert(
    fc.property(
      fc.record({ method, target, host: authority, list: fieldList, connection, upgrade, minorVersion, acceptsTrailers: fc.boolean() }),
      fc.constantFrom('none' as const, 'length' as const, 'chunked' as const),
      body,
      trailerList,
      (parts, wanted, chunks, trailers) => {
        const { method, target, minorVersion, acceptsTrailers } = parts;
        const framing = minorVersion === 0 && wanted === 'chunked' ? 'length' : wanted;
        const connection = minorVersion === 0 && parts.connection === 'upgrade' ? 'close' : parts.connection;
        const contentLength = framing === 'length' ? chunks.reduce((total, chunk) => total + chunk.length, 0) : -1;
        const headers: [string, string][] = [['host', parts.host], ...parts.list];
        const head = encodeRequestHead({
          method,
          target,
          headers,
          framing,
          contentLength,
          connection,
          upgrade: parts.upgrade,
          minorVersion,
          acceptsTrailers,
        });
        // The trailers are written where the head was.
        const bytes = Buffer.concat([head.slice(), bodyBytes(framing, chunks, trailers)]);
        const { parser, events, feed } = record('request');
        expect(feed(bytes)).toHaveLength(0);
        expect(parser.isIdle).toBe(true);
        expectMessage(
          events,
          {
            method,
            target,
            minorVersion,
            framing,
            contentLength,
            acceptsTrailers,
            headers: framing === 'length' ? [...headers, ['content-length', String(contentLength)]] : headers,
            isKeptAlive: connection !== 'close',
            upgrade: connection === 'upgrade' ? parts.upgrade : '',
          },
          framing,
          chunks,
          trailers,
        );
        if (!/^(GET|POST|HEAD|OPTIONS|PATCH)$/.test(method)) return;
        const theirs = readWithLlhttp('request', bytes, []);
        expect(theirs.problem).toBe('');
        expect(theirs.messages).toHaveLength(1);
        expect(theirs.messages[0]).toMatchObject({ method, target, isComplete: true, isKeptAlive: connection !== 'close' });
      },
    ),
    runs(1000),
  );
});

test('reads what it wrote, for responses; so does llhttp', () => {
  fc.assert(
    fc.property(
      fc.record({
        status: fc.integer({ min: 200, max: 999 }),
        reason: value,
        headers: fieldList,
        connection: fc.constantFrom('keep-alive', 'close'),
        minorVersion,
      }),
      fc.constantFrom('none' as const, 'length' as const, 'chunked' as const, 'until-close' as const),
      body,
      trailerList,
      (parts, wanted, chunks, trailers) => {
        const { status, reason, headers, connection, minorVersion } = parts;
        const isBodiless = status === 204 || status === 304;
        const framing = isBodiless ? 'none' : minorVersion === 0 && wanted === 'chunked' ? 'until-close' : wanted;
        const contentLength = framing === 'length' ? chunks.reduce((total, chunk) => total + chunk.length, 0) : -1;
        const asked = framing === 'none' && !isBodiless ? 'HEAD' : 'GET';
        const head = encodeResponseHead({ status, reason, headers, framing, contentLength, connection, upgrade: '', minorVersion });
        // The trailers are written where the head was.
        const bytes = Buffer.concat([head.slice(), bodyBytes(framing, chunks, trailers)]);
        const { parser, events, feed } = record('response', {}, [asked]);
        expect(feed(bytes)).toHaveLength(0);
        if (framing === 'until-close') parser.end();
        const isKeptAlive = connection === 'keep-alive' && framing !== 'until-close';
        expectMessage(
          events,
          {
            status,
            reason,
            minorVersion,
            framing,
            contentLength,
            isKeptAlive,
            headers: framing === 'length' ? [...headers, ['content-length', String(contentLength)]] : headers,
          },
          framing,
          chunks,
          trailers,
        );
        const theirs = readWithLlhttp('response', bytes, [asked]);
        expect(theirs.problem).toBe('');
        expect(theirs.messages).toHaveLength(1);
        expect(theirs.messages[0]).toMatchObject({ status, isComplete: true, isKeptAlive });
      },
    ),
    runs(1000),
  );
});

test('writes exactly the lines it was given, or throws', () => {
  const wild = fc.string({
    unit: fc.oneof(fc.constantFrom('\r', '\n', '\0', ':', ' ', '\u010d', '\u010a', '\u0141'), fc.constantFrom(...'abz-')),
    maxLength: 6,
  });
  fc.assert(
    fc.property(wild, wild, (field, text) => {
      let head: Uint8Array;
      try {
        head = encodeResponseHead({
          status: 200,
          reason: '',
          headers: [[field, text]],
          framing: 'length',
          contentLength: 0,
          connection: 'close',
          upgrade: '',
          minorVersion: 1,
        });
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(TypeError);
        return;
      }
      expect(latin1(head, 0, head.length)).toBe(`HTTP/1.1 200 \r\n${field}: ${text}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
      expect(`${field}${text}`).not.toMatch(/[\r\n\0]/);
    }),
    runs(1500),
  );
});

test('detects within its limit and never changes its mind', () => {
  const start = fc.constantFrom('', 'GET ', 'POST /', 'PRI * ', 'PRI ', '\x16\x03', 'CONNECT ', 'OPTIONS *', 'GET http', 'A'.repeat(24));
  fc.assert(
    fc.property(start, fc.uint8Array({ minLength: 0, maxLength: DETECTION_BYTES }), (text, more) => {
      const bytes = Buffer.concat([octets(text), more]);
      let answer = 'more';
      for (let length = 0; length <= bytes.length; length++) {
        const now = detectProtocol(bytes.subarray(0, length));
        if (answer !== 'more') expect(now).toBe(answer as typeof now);
        answer = now;
      }
      if (bytes.length >= DETECTION_BYTES) expect(answer).not.toBe('more');
    }),
    runs(1000),
  );
});
