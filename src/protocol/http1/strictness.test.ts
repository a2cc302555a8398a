import { describe, expect, test } from 'bun:test';
import { eventsOf, headOf, octets, record, refusal } from './testing/record.ts';

/** A request that is fine but for `lines` (each with its CR LF), followed by a body. */
const withLines = (lines: string, rest = ''): string => `POST /a HTTP/1.1\r\nhost: a\r\n${lines}\r\n${rest}`;
const response = (lines: string, rest = ''): string => `HTTP/1.1 200 OK\r\n${lines}\r\n${rest}`;
const chunks = (body: string): string => withLines('transfer-encoding: chunked\r\n', body);

type Case = readonly [title: string, input: string, refusal: string];
const refuses = (kind: 'request' | 'response', cases: readonly Case[], asked: readonly string[] = ['GET']): void => {
  for (const [title, input, expected] of cases) test(`refuses ${title}`, () => expect(refusal(kind, input, {}, asked)).toBe(expected));
};

describe('request line', () => {
  refuses('request', [
    ['an empty method', ' / HTTP/1.1\r\n', '400 bad-start-line'],
    ['a method that is not a token', 'GE(T / HTTP/1.1\r\n', '400 bad-start-line'],
    ['a tab behind the method', 'GET\t/ HTTP/1.1\r\n', '400 bad-start-line'],
    ['two spaces behind the method', 'GET  / HTTP/1.1\r\n', '400 bad-target'],
    ['two spaces behind the target', 'GET /  HTTP/1.1\r\n', '400 bad-start-line'],
    ['white space in the target', 'GET /a b HTTP/1.1\r\n', '400 bad-start-line'],
    ['a tab in the target', 'GET /a\tb HTTP/1.1\r\n', '400 bad-target'],
    ['NUL in the target', 'GET /a\0b HTTP/1.1\r\n', '400 bad-target'],
    ['DEL in the target', 'GET /a\x7f HTTP/1.1\r\n', '400 bad-target'],
    ['an octet above ASCII in the target', 'GET /\xe9 HTTP/1.1\r\n', '400 bad-target'],
    ['a fragment in the target', 'GET /a#b HTTP/1.1\r\n', '400 bad-target'],
    ['a request without version, as in HTTP/0.9', 'GET /\r\n', '400 bad-start-line'],
    ['HTTP/0.9', 'GET / HTTP/0.9\r\n', '505 bad-version'],
    ['HTTP/1.2', 'GET / HTTP/1.2\r\n', '505 bad-version'],
    ['HTTP/2.0', 'GET / HTTP/2.0\r\n', '505 bad-version'],
    ['HTTP/3.0', 'GET / HTTP/3.0\r\n', '505 bad-version'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '400 not-http1'],
    ['HTTP/11.1', 'GET / HTTP/11.1\r\n', '400 bad-start-line'],
    ['HTTP/1.10', 'GET / HTTP/1.10\r\n', '400 bad-start-line'],
    ['HTTP/1.', 'GET / HTTP/1.\r\n', '400 bad-start-line'],
    ['http/1.1 in lower case', 'GET / http/1.1\r\n', '400 bad-start-line'],
    ['a space behind the version', 'GET / HTTP/1.1 \r\n', '400 bad-start-line'],
    ['another protocol of the same shape', 'OPTIONS * RTSP/1.0\r\n', '400 bad-start-line'],
    ['LF alone behind the version', 'GET / HTTP/1.1\nhost: a\r\n\r\n', '400 bare-line-feed'],
    ['CR alone behind the version', 'GET / HTTP/1.1\rhost: a\r\n\r\n', '400 bad-start-line'],
    ['LF in front of the request', '\nGET / HTTP/1.1\r\nhost: a\r\n\r\n', '400 bare-line-feed'],
    ['CR alone in front of the request', '\rGET / HTTP/1.1\r\nhost: a\r\n\r\n', '400 bad-start-line'],
    ['two empty lines in front of the request', '\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n', '400 bad-start-line'],
    ['a TLS handshake', '\x16\x03\x01\x02\0\x01', '400 not-http1'],
    ['a target that is neither path nor URI', 'GET a HTTP/1.1\r\nhost: a\r\n\r\n', '400 bad-target'],
    ['a URI of another scheme', 'GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n', '400 bad-target'],
    ['a URI without authority', 'GET http:///a HTTP/1.1\r\nhost: a\r\n\r\n', '400 bad-target'],
    ['user information in a URI', 'GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n', '400 bad-target'],
    ['* with a method other than OPTIONS', 'GET * HTTP/1.1\r\nhost: a\r\n\r\n', '400 bad-target'],
    ['CONNECT with a path', 'CONNECT / HTTP/1.1\r\nhost: a\r\n\r\n', '400 bad-target'],
    ['CONNECT without a port', 'CONNECT a HTTP/1.1\r\nhost: a\r\n\r\n', '400 bad-target'],
    ['CONNECT with an IP literal without a port', 'CONNECT [::1] HTTP/1.1\r\nhost: [::1]\r\n\r\n', '400 bad-target'],
  ]);

  test('skips one empty line in front of a request, which some clients send behind a body', () => {
    const text = '\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n';
    expect(headOf('request', text).method).toBe('GET');
    expect(eventsOf('request', text + text)).toHaveLength(4);
    const { parser, events, feed } = record('request');
    expect(feed(octets('\r\n'))).toHaveLength(0);
    expect(parser.isIdle).toBe(true);
    parser.end();
    expect(events).toEqual([]);
  });

  test('takes every form of target', () => {
    const target = (line: string, host = 'a:80'): string => headOf('request', `${line} HTTP/1.1\r\nhost: ${host}\r\n\r\n`).target;
    expect(target('GET /a/../b%20"<>|{}^`\\?q=[1]')).toBe('/a/../b%20"<>|{}^`\\?q=[1]');
    expect(target('GET HTTP://A:80/x')).toBe('HTTP://A:80/x');
    expect(target('GET https://a:80?x')).toBe('https://a:80?x');
    expect(target('GET http://a:80')).toBe('http://a:80');
    expect(target('OPTIONS *')).toBe('*');
    expect(target('CONNECT a:80')).toBe('a:80');
    expect(target('CONNECT A:80', 'a')).toBe('A:80');
    expect(target('CONNECT [::1]:80', '[::1]')).toBe('[::1]:80');
    expect(target('M-SEARCH /')).toBe('/');
  });
});

describe('status line', () => {
  refuses('response', [
    ['something that is not HTTP', 'SSH-2.0-x\r\n', '400 not-http1'],
    ['an empty line in front', '\r\nHTTP/1.1 200 OK\r\n', '400 not-http1'],
    ['HTTP/2.0', 'HTTP/2.0 200 OK\r\n', '505 bad-version'],
    ['HTTP/0.9', 'HTTP/0.9 200 OK\r\n', '505 bad-version'],
    ['a two-digit status', 'HTTP/1.1 20 OK\r\n', '400 bad-start-line'],
    ['a four-digit status', 'HTTP/1.1 2000 OK\r\n', '400 bad-start-line'],
    ['a status below 100', 'HTTP/1.1 099 OK\r\n', '400 bad-start-line'],
    ['a sign in the status', 'HTTP/1.1 +20 OK\r\n', '400 bad-start-line'],
    ['two spaces in front of the status', 'HTTP/1.1  200 OK\r\n', '400 bad-start-line'],
    ['a line without status', 'HTTP/1.1\r\n', '400 bad-start-line'],
    ['LF alone', 'HTTP/1.1 200 OK\n', '400 bare-line-feed'],
    ['CR alone', 'HTTP/1.1 200 OK\rx', '400 bad-start-line'],
    ['a control character in the reason phrase', 'HTTP/1.1 200 O\x01K\r\n', '400 bad-start-line'],
  ]);
  refuses('response', [['a response nobody asked for', 'HTTP/1.1 200 OK\r\n\r\n', '400 bad-start-line']], []);
  test('refuses a second response to one request', () => {
    const text = response('content-length: 0\r\n');
    expect(refusal('response', text + text)).toBe('400 bad-start-line');
    expect(refusal('response', text + text, {}, ['GET', 'GET'])).toBe('');
  });
});

describe('field lines', () => {
  refuses('request', [
    ['a line folded with a space', withLines('x: 1\r\n 2\r\n'), '400 obsolete-folding'],
    ['a line folded with a tab', withLines('x: 1\r\n\t2\r\n'), '400 obsolete-folding'],
    ['white space in front of the first field', 'GET / HTTP/1.1\r\n host: a\r\n\r\n', '400 bad-header-name'],
    ['a space in front of the colon', withLines('x : 1\r\n'), '400 bad-header-name'],
    ['a tab in front of the colon', withLines('x\t: 1\r\n'), '400 bad-header-name'],
    ['an empty name', withLines(': 1\r\n'), '400 bad-header-name'],
    ['a name that is not a token', withLines('x(y: 1\r\n'), '400 bad-header-name'],
    ['a name above ASCII', withLines('\xfc: 1\r\n'), '400 bad-header-name'],
    ['a line without colon', withLines('x\r\n'), '400 bad-header-name'],
    ['LF alone behind a value', withLines('x: 1\ny: 2\r\n'), '400 bare-line-feed'],
    ['LF alone behind a name', withLines('x\n'), '400 bare-line-feed'],
    ['LF alone as the empty line', 'GET / HTTP/1.1\r\nhost: a\r\n\n', '400 bare-line-feed'],
    ['CR alone in a value', withLines('x: 1\r2\r\n'), '400 bad-header-value'],
    ['CR CR LF', withLines('x: 1\r\r\n'), '400 bad-header-value'],
    ['CR alone at the start of a line', withLines('\rx: 1\r\n'), '400 bad-header-name'],
    ['NUL in a value', withLines('x: 1\x002\r\n'), '400 bad-header-value'],
    ['BEL in a value', withLines('x: 1\x07\r\n'), '400 bad-header-value'],
    ['DEL in a value', withLines('x: 1\x7f\r\n'), '400 bad-header-value'],
  ]);

  test('keeps tabs and octets above ASCII inside a value, and drops white space around it', () => {
    expect(headOf('request', withLines('X-A:\t  a\t \xfc \x80b  \t\r\nX-B:\r\nX-C: \t \r\n')).headers.slice(1)).toEqual([
      ['x-a', 'a\t \xfc \x80b'],
      ['x-b', ''],
      ['x-c', ''],
    ]);
  });
});

describe('host', () => {
  const host = (lines: string, target = '/'): string => `GET ${target} HTTP/1.1\r\n${lines}\r\n`;
  refuses('request', [
    ['none in HTTP/1.1', host(''), '400 bad-host'],
    ['two', host('host: a\r\nhost: a\r\n'), '400 bad-host'],
    ['two in HTTP/1.0', 'GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n', '400 bad-host'],
    ['a path in it', host('host: a/b\r\n'), '400 bad-host'],
    ['user information in it', host('host: u@a\r\n'), '400 bad-host'],
    ['white space in it', host('host: a b\r\n'), '400 bad-host'],
    ['an octet above ASCII in it', host('host: \xfc\r\n'), '400 bad-host'],
    ['a backslash in it', host('host: a\\b\r\n'), '400 bad-host'],
    ['an empty port', host('host: a:\r\n'), '400 bad-host'],
    ['a port that is no number', host('host: a:8x\r\n'), '400 bad-host'],
    ['a port above 65535', host('host: a:65536\r\n'), '400 bad-host'],
    ['a port without host', host('host: :80\r\n'), '400 bad-host'],
    ['an IP literal left open', host('host: [::1\r\n'), '400 bad-host'],
    ['an empty IP literal', host('host: []\r\n'), '400 bad-host'],
    ['something behind an IP literal', host('host: [::1]a\r\n'), '400 bad-host'],
    ['an authority in the target that differs', host('host: a\r\n', 'http://b/'), '400 bad-host'],
    ['an authority in the target with another port', host('host: a\r\n', 'http://a:80/'), '400 bad-host'],
    ['an empty one beside an authority in the target', host('host:\r\n', 'http://b/'), '400 bad-host'],
    ['one that differs from the target of CONNECT', 'CONNECT a:80 HTTP/1.1\r\nhost: b\r\n\r\n', '400 bad-host'],
  ]);
  test('takes names, addresses and an empty host, and none in HTTP/1.0', () => {
    for (const value of ['a', 'a.b:80', 'a_b', '10.0.0.1:65535', '[::1]', '[fe80::1]:1', '%41', '']) {
      expect(headOf('request', host(`Host: ${value}\r\n`)).headers).toEqual([['host', value]]);
    }
    expect(headOf('request', 'GET / HTTP/1.0\r\n\r\n').headers).toEqual([]);
    expect(headOf('request', 'GET http://a/ HTTP/1.0\r\n\r\n').target).toBe('http://a/');
  });
});

describe('the end of a body', () => {
  refuses('request', [
    ['transfer-encoding with content-length', withLines('transfer-encoding: chunked\r\ncontent-length: 3\r\n'), '400 conflicting-length'],
    ['content-length with transfer-encoding', withLines('content-length: 3\r\ntransfer-encoding: chunked\r\n'), '400 conflicting-length'],
    ['differing lengths', withLines('content-length: 3\r\ncontent-length: 4\r\n'), '400 conflicting-length'],
    ['the same length twice', withLines('content-length: 3\r\ncontent-length: 3\r\n'), '400 conflicting-length'],
    ['a list of lengths', withLines('content-length: 3, 3\r\n'), '400 bad-content-length'],
    ['a signed length', withLines('content-length: +1\r\n'), '400 bad-content-length'],
    ['a negative length', withLines('content-length: -1\r\n'), '400 bad-content-length'],
    ['an empty length', withLines('content-length:\r\n'), '400 bad-content-length'],
    ['a hexadecimal length', withLines('content-length: 0x3\r\n'), '400 bad-content-length'],
    ['a fraction as length', withLines('content-length: 3.0\r\n'), '400 bad-content-length'],
    ['white space in a length', withLines('content-length: 1 1\r\n'), '400 bad-content-length'],
    ['a length of 2^53', withLines('content-length: 9007199254740992\r\n'), '400 bad-content-length'],
    ['chunked twice', withLines('transfer-encoding: chunked, chunked\r\n'), '400 bad-transfer-encoding'],
    ['chunked twice in two lines', withLines('transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n'), '400 bad-transfer-encoding'],
    ['chunked that is not last', withLines('transfer-encoding: chunked, gzip\r\n'), '400 bad-transfer-encoding'],
    ['chunked with a parameter', withLines('transfer-encoding: chunked;q=1\r\n'), '400 bad-transfer-encoding'],
    ['chunked with a vertical tab', withLines('transfer-encoding: \x0bchunked\r\n'), '400 bad-header-value'],
    ['an empty coding', withLines('transfer-encoding:\r\n'), '400 bad-transfer-encoding'],
    ['an empty element of the list of codings', withLines('transfer-encoding: , chunked\r\n'), '400 bad-transfer-encoding'],
    ['a tab behind a coding', withLines('transfer-encoding: chunked \t\r\n'), '400 bad-transfer-encoding'],
    ['a tab behind a length', withLines('content-length: 5\t \r\n'), '400 bad-content-length'],
    ['gzip and chunked', withLines('transfer-encoding: gzip, chunked\r\n'), '501 bad-transfer-encoding'],
    ['identity', withLines('transfer-encoding: identity\r\n'), '501 bad-transfer-encoding'],
    ['quoted chunked', withLines('transfer-encoding: "chunked"\r\n'), '501 bad-transfer-encoding'],
    ['transfer-encoding in HTTP/1.0', 'POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n', '400 bad-transfer-encoding'],
    ['CONNECT with a body', 'CONNECT a:80 HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n', '400 bad-content-length'],
    ['CONNECT with chunks', 'CONNECT a:80 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n', '400 bad-transfer-encoding'],
  ]);
  refuses('response', [
    [
      'transfer-encoding with content-length in a response',
      response('transfer-encoding: chunked\r\ncontent-length: 3\r\n'),
      '400 conflicting-length',
    ],
    ['transfer-encoding in a 204', 'HTTP/1.1 204 \r\ntransfer-encoding: chunked\r\n\r\n', '400 bad-transfer-encoding'],
    ['a length in a 204', 'HTTP/1.1 204 \r\ncontent-length: 1\r\n\r\n', '400 bad-content-length'],
    ['a length in an interim response', 'HTTP/1.1 103 \r\ncontent-length: 1\r\n\r\n', '400 bad-content-length'],
    ['transfer-encoding in a 101', 'HTTP/1.1 101 \r\ntransfer-encoding: chunked\r\n\r\n', '400 bad-transfer-encoding'],
    ['transfer-encoding in an HTTP/1.0 response', 'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n', '400 bad-transfer-encoding'],
  ]);

  test('writes a length without leading zeros, and knows one of 0', () => {
    const head = headOf('request', withLines('Content-Length: 0005\r\n'));
    expect(head).toMatchObject({ framing: 'length', contentLength: 5 });
    expect(head.headers.at(-1)).toEqual(['content-length', '5']);
    expect(eventsOf('request', withLines('content-length: 0\r\n'))).toEqual([
      { head: expect.objectContaining({ framing: 'length', contentLength: 0 }) },
      { end: [] },
    ]);
    expect(headOf('request', withLines('content-length: 9007199254740991\r\n')).contentLength).toBe(Number.MAX_SAFE_INTEGER);
  });
});

describe('chunks', () => {
  refuses('request', [
    ['an empty size', chunks('\r\n'), '400 bad-chunk'],
    ['a size that is not hexadecimal', chunks('g\r\n'), '400 bad-chunk'],
    ['0x', chunks('0x1\r\na\r\n'), '400 bad-chunk'],
    ['a signed size', chunks('+1\r\na\r\n'), '400 bad-chunk'],
    ['a negative size', chunks('-1\r\na\r\n'), '400 bad-chunk'],
    ['white space in front of a size', chunks(' 1\r\na\r\n'), '400 bad-chunk'],
    ['white space behind a size', chunks('1 \r\na\r\n'), '400 bad-chunk'],
    ['white space in front of an extension', chunks('1 ;a\r\na\r\n'), '400 bad-chunk'],
    ['a size of 2^53', chunks('20000000000000\r\n'), '400 bad-chunk'],
    ['a size that overflows 64 bits', chunks('10000000000000001\r\n'), '400 bad-chunk'],
    ['LF alone behind a size', chunks('1\na\r\n'), '400 bare-line-feed'],
    ['CR alone behind a size', chunks('1\ra\r\n'), '400 bad-chunk'],
    ['LF alone behind the data', chunks('1\r\na\n'), '400 bad-chunk'],
    ['CR alone behind the data', chunks('1\r\na\r1'), '400 bad-chunk'],
    ['more data than the size says', chunks('1\r\nab\r\n'), '400 bad-chunk'],
    ['LF in an extension', chunks('1;a=\n\r\na\r\n'), '400 bare-line-feed'],
    ['LF in a quoted extension', chunks('1;a="\n"\r\na\r\n'), '400 bare-line-feed'],
    ['CR in a quoted extension', chunks('1;a="\r\n"\r\na\r\n'), '400 bad-chunk'],
    ['an escaped CR in an extension', chunks('1;a="\\\r\n'), '400 bad-chunk'],
    ['NUL in an extension', chunks('1;a="\0"\r\na\r\n'), '400 bad-chunk'],
    ['an extension without name', chunks('1;\r\na\r\n'), '400 bad-chunk'],
    ['an extension without value', chunks('1;a=\r\na\r\n'), '400 bad-chunk'],
    ['something behind a quoted extension', chunks('1;a="b"c\r\na\r\n'), '400 bad-chunk'],
    ['a long extension', chunks(`1;${'a'.repeat(255)}\r\na\r\n`), '400 bad-chunk'],
    ['LF alone behind the last chunk', chunks('0\r\n\n'), '400 bare-line-feed'],
    ['a folded trailer', chunks('0\r\nx: 1\r\n 2\r\n\r\n'), '400 obsolete-folding'],
    ['content-length in trailers', chunks('0\r\nContent-Length: 1\r\n\r\n'), '400 bad-trailer'],
    ['transfer-encoding in trailers', chunks('0\r\nTransfer-Encoding: chunked\r\n\r\n'), '400 bad-trailer'],
    ['host in trailers', chunks('0\r\nHost: b\r\n\r\n'), '400 bad-trailer'],
  ]);
  test('takes the largest size, upper and lower case, and a chunk line of exactly the limit', () => {
    expect(refusal('request', chunks('1FfffFffffffff\r\n'))).toBe('');
    expect(refusal('request', chunks(`1;${'a'.repeat(254)}\r\na\r\n`))).toBe('');
    expect(eventsOf('request', chunks('0000000000000000000001\r\na\r\n000;x\r\n\r\n')).slice(1)).toEqual([{ body: 'a' }, { end: [] }]);
  });
  test('drops trailers that concern the connection, the content or who sends them', () => {
    expect(eventsOf('request', chunks('0\r\nConnection: x\r\nCookie: a\r\ncontent-type: b\r\nGrpc-Status: 0\r\n\r\n')).at(-1)).toEqual({
      end: [['grpc-status', '0']],
    });
  });
});

describe('connection', () => {
  const options = (value: string, lines = ''): string => withLines(`connection: ${value}\r\n${lines}`);
  refuses('request', [
    ['one that names host', options('close, Host'), '400 bad-header-value'],
    ['one that names content-length', options('content-length', 'content-length: 0\r\n'), '400 bad-header-value'],
    ['one that names authorization', options('Authorization'), '400 bad-header-value'],
    ['one that names x-forwarded-for', options('x-forwarded-for'), '400 bad-header-value'],
    ['an option that is not a token', options('a b'), '400 bad-header-value'],
  ]);
  test('takes out what it names, in any case and from several lines', () => {
    const head = headOf(
      'request',
      options('X-A , ,tE', 'x-a: 1\r\nX-b: 2\r\nConnection: x-B\r\nTE: trailers\r\nx-c: 3\r\nx-A: 4\r\nProxy-Connection: close\r\n'),
    );
    expect(head.headers).toEqual([
      ['host', 'a'],
      ['x-c', '3'],
    ]);
    expect(head).toMatchObject({ isKeptAlive: true, acceptsTrailers: true });
  });
  test('keeps a connection as each version says', () => {
    const kept = (version: string, value: string): boolean =>
      headOf('request', `GET / HTTP/${version}\r\nhost: a\r\n${value === '' ? '' : `connection: ${value}\r\n`}\r\n`).isKeptAlive;
    expect([kept('1.1', ''), kept('1.1', 'keep-alive'), kept('1.1', 'Close'), kept('1.1', 'keep-alive, close')]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect([kept('1.0', ''), kept('1.0', 'Keep-Alive'), kept('1.0', 'KEEP-ALIVE'), kept('1.0', 'close, keep-alive')]).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });
  test('reports an upgrade only when connection names it, and not in HTTP/1.0', () => {
    expect(headOf('request', options('Upgrade', 'Upgrade: websocket\r\n')).upgrade).toBe('websocket');
    expect(headOf('request', options('keep-alive, upgrade', 'Upgrade: h2c\r\nupgrade: websocket\r\n')).upgrade).toBe('h2c, websocket');
    expect(headOf('request', options('close', 'Upgrade: websocket\r\n')).upgrade).toBe('');
    expect(headOf('request', 'GET / HTTP/1.0\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n').upgrade).toBe('');
    expect(headOf('response', 'HTTP/1.1 426 \r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 0\r\n\r\n').upgrade).toBe('');
  });
  test('recognises expect and te', () => {
    expect(headOf('request', withLines('Expect: 100-Continue\r\ncontent-length: 1\r\n'))).toMatchObject({ expectsContinue: true });
    expect(headOf('request', 'POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n').expectsContinue).toBe(false);
    expect(headOf('request', withLines('expect: something\r\n'))).toMatchObject({ expectsContinue: false });
    expect(headOf('request', withLines('te: gzip;q=0.5, Trailers\r\n')).acceptsTrailers).toBe(true);
    expect(headOf('request', withLines('te: gzip\r\n')).acceptsTrailers).toBe(false);
  });
});
