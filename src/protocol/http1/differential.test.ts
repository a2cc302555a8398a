import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import fc from 'fast-check';
import { difference } from './testing/compare.ts';
import { askedMethods, hostileRequests, hostileResponses } from './testing/hostile.ts';
import { hasFuzzRuns, runs } from './testing/runs.ts';

setDefaultTimeout(hasFuzzRuns ? 3_600_000 : 60_000);

type Kind = 'request' | 'response';
type Allowed = readonly [difference: string, kind: Kind, example: string, why: string];

const post = (lines: string, body = ''): string => `POST / HTTP/1.1\r\nhost: a\r\n${lines}\r\n${body}`;
const chunks = (body: string): string => post('transfer-encoding: chunked\r\n', body);

/**
 * All that may differ from llhttp 9 in its strict mode. `stricter`: we refuse what it reads. `looser`: we read what it refuses. `differ`: both read it.
 * Each row comes with an input that shows it, and with why it is so.
 */
const ALLOWED: readonly Allowed[] = [
  // What llhttp leaves to who uses it.
  ['stricter bad-host: a request without host', 'request', 'GET / HTTP/1.1\r\n\r\n', 'RFC 9112 3.2; llhttp does not look at host'],
  ['stricter bad-host: host comes twice', 'request', post('host: a\r\n'), 'RFC 9112 3.2; llhttp does not look at host'],
  ['stricter bad-host: host is not a host with or without port', 'request', 'GET / HTTP/1.1\r\nhost: a/b\r\n\r\n', 'RFC 9112 3.2'],
  [
    'stricter bad-host: host differs from the authority of the target',
    'request',
    'GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n',
    'RFC 9112 3.2.2',
  ],
  ['stricter bad-host: host differs from the target of CONNECT', 'request', 'CONNECT b:80 HTTP/1.1\r\nhost: a\r\n\r\n', 'RFC 9110 7.2'],
  [
    'stricter bad-target: an octet that may not stand in a request target',
    'request',
    'GET /#f HTTP/1.1\r\nhost: a\r\n\r\n',
    'RFC 9112 3.2: no fragment',
  ],
  [
    'stricter bad-target: the authority of the target is malformed',
    'request',
    'GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n',
    'RFC 9110 4.2.4',
  ],
  ['stricter bad-target: the target * with a method other than OPTIONS', 'request', 'GET * HTTP/1.1\r\nhost: a\r\n\r\n', 'RFC 9112 3.2.4'],
  [
    'stricter bad-target: the target is neither a path nor an http URI',
    'request',
    'GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n',
    'no other scheme is routed',
  ],
  ['stricter bad-target: the target of CONNECT is not an authority', 'request', 'CONNECT / HTTP/1.1\r\nhost: a\r\n\r\n', 'RFC 9112 3.2.3'],
  ['stricter bad-target: the target of CONNECT has no port', 'request', 'CONNECT * HTTP/1.1\r\nhost: *\r\n\r\n', 'RFC 9112 3.2.3'],
  ['stricter bad-header-value: connection names host', 'request', post('connection: host\r\n'), 'RFC 9110 7.6.1: hop-by-hop abuse'],
  ['stricter bad-header-value: an option of connection is not a token', 'request', post('connection: a b\r\n'), 'RFC 9110 7.6.1'],
  ['stricter bad-trailer: host in trailers', 'request', chunks('0\r\nhost: a\r\n\r\n'), 'RFC 9110 6.5.1'],
  [
    'stricter bad-trailer: transfer-encoding in trailers',
    'response',
    'HTTP/1.1 201 \r\ntransfer-encoding: chunked\r\n\r\n0\r\ntransfer-encoding: chunked\r\n\r\n',
    'RFC 9110 6.5.1',
  ],
  [
    'stricter bad-start-line: a response nobody asked for',
    'response',
    'HTTP/1.1 204 \r\n\r\n'.repeat(9),
    'llhttp does not know of requests',
  ],

  // What llhttp is lenient with.
  ['stricter bad-start-line: no version behind the request target', 'request', 'GET /\r\n\r\n', 'llhttp reads HTTP/0.9'],
  [
    'stricter bad-version: a major version other than 1',
    'request',
    'GET / HTTP/2.0\r\nhost: a\r\n\r\n',
    'llhttp reads HTTP/0.9 and HTTP/2.0 in the form of HTTP/1',
  ],
  [
    'stricter not-http1: the answer does not begin with a version',
    'response',
    'ICE/1.0 200 OK\r\n\r\n',
    'llhttp reads RTSP and ICE, and skips empty lines',
  ],
  ['stricter bad-target: more than one space', 'request', 'GET  / HTTP/1.1\r\nhost: a\r\n\r\n', 'RFC 9112 3: one space'],
  [
    'stricter bad-start-line: the method is not a token',
    'request',
    `${post('')}\r\n\r\n${post('')}`,
    'RFC 9112 2.2: one empty line, not any number',
  ],
  ['stricter bare-line-feed: LF without CR', 'request', `\n${post('')}`, 'llhttp skips any CR and LF in front of a request'],
  ['stricter bad-start-line: CR without LF', 'request', `\r${post('')}`, 'llhttp skips any CR and LF in front of a request'],
  ['stricter bad-start-line: a control character in the reason phrase', 'response', 'HTTP/1.1 200 \0\r\n\r\n', 'RFC 9112 4'],
  ['stricter bad-start-line: the status is not three digits from 100 on', 'response', 'HTTP/1.1 099 OK\r\n\r\n', 'RFC 9110 15'],
  [
    'stricter bad-transfer-encoding: transfer-encoding in HTTP/1.0',
    'request',
    'POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    'RFC 9112 6.1: faulty framing',
  ],
  [
    'stricter bad-transfer-encoding: a transfer coding other than chunked',
    'request',
    post('transfer-encoding: gzip, chunked\r\n', '0\r\n\r\n'),
    'RFC 9112 6.1: 501',
  ],
  [
    'stricter bad-transfer-encoding: chunked is not the last coding, once and without parameters',
    'request',
    post('transfer-encoding: , chunked\r\n', '0\r\n\r\n'),
    'nothing but chunked',
  ],
  [
    'stricter bad-transfer-encoding: transfer-encoding where there can be no body',
    'response',
    'HTTP/1.1 103 \r\ntransfer-encoding: chunked\r\n\r\n',
    'RFC 9112 6.1',
  ],
  [
    'stricter bad-content-length: content-length where there can be no body',
    'response',
    'HTTP/1.1 204 \r\ncontent-length: 5\r\n\r\n',
    'RFC 9110 8.6',
  ],
  [
    'stricter bad-content-length: content-length is not a length',
    'response',
    'HTTP/1.1 204 \r\ncontent-length: 9007199254740993\r\n\r\n',
    'over 2^53 - 1',
  ],
  [
    'stricter bad-chunk: a chunk line ends too early',
    'request',
    chunks('5;a=\r\nhello\r\n0\r\n\r\n'),
    'RFC 9112 7.1.1: a value is not empty',
  ],
  [
    'stricter bad-chunk: a malformed chunk extension',
    'request',
    chunks('5;=b\r\nhello\r\n0\r\n\r\n'),
    'RFC 9112 7.1.1: a name is not empty',
  ],
  ['stricter bad-start-line: an interim response in HTTP/1.0', 'response', 'HTTP/1.0 100 Continue\r\n\r\n', 'RFC 9110 15.2'],
  [
    'stricter truncated: the connection ended inside a message',
    'response',
    'HTTP/1.1 100 Continue\r\n\r\n',
    'an interim response is not the answer; for llhttp it is a message',
  ],

  [
    'stricter bad-transfer-encoding: a tab behind the coding',
    'response',
    'HTTP/1.1 201 \r\ntransfer-encoding: chunked\t\r\n\r\n0\r\n\r\n',
    'llhttp takes it for another coding and the body for one that lasts until the end',
  ],

  // What llhttp is stricter with, or reads otherwise.
  [
    'looser 6 Invalid method encountered',
    'request',
    'FOO / HTTP/1.1\r\nhost: a\r\n\r\n',
    'any token is a method (RFC 9110 9.1); llhttp has a list',
  ],
  [
    'looser 6 Expected space after method',
    'request',
    'POSTT / HTTP/1.1\r\nhost: a\r\n\r\n',
    'any token is a method (RFC 9110 9.1); llhttp has a list',
  ],
  [
    'looser 9 Expected HTTP/2 Connection Preface',
    'request',
    'PRI / HTTP/1.1\r\nhost: a\r\n\r\n',
    'PRI is an ordinary token but for the preface itself',
  ],
  [
    "looser 11 Content-Length can't be present with Transfer-Encoding",
    'response',
    'HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n',
    'to CONNECT: both are ignored (RFC 9110 9.3.6)',
  ],
  [
    "looser 15 Transfer-Encoding can't be present with Content-Length",
    'response',
    'HTTP/1.1 200 \r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n',
    'to CONNECT: both are ignored (RFC 9110 9.3.6)',
  ],
  [
    'differ isKeptAlive (doubtful connection)',
    'request',
    'GET / HTTP/1.0\r\nconnection: close, keep-alive\r\n\r\n',
    'close wins, proxy-connection says nothing (RFC 9112 9.3), and llhttp does not know an option with a tab behind it',
  ],
];

const allowed: ReadonlySet<string> = new Set(['', ...ALLOWED.map(([name]) => name)]);

describe('differs from llhttp only as listed', () => {
  for (const [kind, inputs] of [
    ['request', hostileRequests],
    ['response', hostileResponses],
  ] as const) {
    test(`in reading ${kind}s`, () => {
      fc.assert(
        fc.property(inputs, askedMethods, (text, asked) => {
          const found = difference(kind, text, asked);
          if (!allowed.has(found)) throw new Error(found);
        }),
        runs(6000),
      );
    });
  }
});

describe('each listed difference exists:', () => {
  for (const [name, kind, example] of ALLOWED) {
    const asked = example.startsWith('HTTP/1.1 200') ? ['CONNECT'] : ['GET', 'GET'];
    test(`${name} (${kind})`, () => expect(difference(kind, example, name.includes('reason phrase') ? ['GET'] : asked)).toBe(name));
  }
});
