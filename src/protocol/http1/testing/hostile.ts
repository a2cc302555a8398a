import fc from 'fast-check';

/** Mostly one of the first, one time in `oneIn` one of the second. */
const mostly = (usual: readonly string[], odd: readonly string[], oneIn = 30): fc.Arbitrary<string> =>
  fc.oneof({ weight: oneIn - 1, arbitrary: fc.constantFrom(...usual) }, { weight: 1, arbitrary: fc.constantFrom(...odd) });

const space = mostly([' '], ['  ', '\t', '', ' \t'], 150);
const lineEnd = mostly(['\r\n'], ['\n', '\r', '\r\r\n', '\n\r', ' \r\n', '\r\n ', '\0\r\n'], 150);
const method = mostly(
  ['GET', 'POST', 'PUT', 'HEAD', 'OPTIONS', 'DELETE', 'PATCH', 'M-SEARCH'],
  ['CONNECT', '', 'get', 'FOO', 'PRI', 'G(T', 'GET\0', 'POSTT'],
);
const target = mostly(
  ['/', '/', '/a?b=c', '/a%20b', 'http://a/', 'https://a/x?y', '/"<>|{}^`\\'],
  [
    '',
    '/a b',
    '/a\tb',
    '/#f',
    '/\x7f',
    '/\xe9',
    'a',
    'ftp://a/',
    'http://b/',
    'http://a',
    'a:80',
    '*',
    '//a',
    '?',
    'http://u@a/',
    '/\0',
    'b:80',
    ':80',
  ],
  15,
);
const version = mostly(
  ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'],
  ['HTTP/0.9', 'HTTP/2.0', 'HTTP/1.2', 'HTTP/3.0', 'HTTP/11.1', 'HTTP/1.10', 'HTTP/1', 'http/1.1', 'HTTPS/1.1', 'ICE/1.0', 'RTSP/1.0', ''],
);
const host = mostly(
  ['Host: a\r\n', 'host: a\r\n', 'HOST:a\r\n'],
  [
    '',
    'host: a\r\nhost: a\r\n',
    'host: b\r\n',
    'host:\r\n',
    'host: a:80\r\n',
    'host: a/b\r\n',
    'host: a, a\r\n',
    'host : a\r\n',
    ' host: a\r\n',
  ],
);
const framing = mostly(
  ['', '', 'Content-Length: 5\r\n', 'content-length: 0\r\n', 'Transfer-Encoding: chunked\r\n', 'transfer-encoding:\tCHUNKED \r\n'],
  [
    'content-length: 5\r\ncontent-length: 5\r\n',
    'content-length: 5\r\ncontent-length: 6\r\n',
    'content-length: 5, 5\r\n',
    'content-length: +5\r\n',
    'content-length: -5\r\n',
    'content-length: 0x5\r\n',
    'content-length: 5 \t\r\n',
    'content-length: 5  \r\n',
    'content-length: 5 5\r\n',
    'transfer-encoding: chunked\t\r\n',
    'transfer-encoding: chunked \r\n',
    'content-length: 005\r\n',
    'content-length:\r\n',
    'content-length: 9007199254740993\r\n',
    'content-length: 18446744073709551616\r\n',
    'content-length: 18446744073709551621\r\n',
    'content_length: 5\r\n',
    'content-length : 5\r\n',
    'content-length: 5\r\ntransfer-encoding: chunked\r\n',
    'transfer-encoding: chunked\r\ncontent-length: 5\r\n',
    'transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n',
    'transfer-encoding: chunked, chunked\r\n',
    'transfer-encoding: chunked, identity\r\n',
    'transfer-encoding: identity\r\n',
    'transfer-encoding: gzip, chunked\r\n',
    'transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n',
    'transfer-encoding: chunked\r\ntransfer-encoding: gzip\r\n',
    'transfer-encoding: chunked;q=1\r\n',
    'transfer-encoding: xchunked\r\n',
    'transfer-encoding: chunkedx\r\n',
    'transfer-encoding: "chunked"\r\n',
    'transfer-encoding: , chunked\r\n',
    'transfer-encoding: chunked,\r\n',
    'transfer-encoding:\r\n',
    'transfer-encoding: \x0bchunked\r\n',
    'transfer-encoding:\r\n chunked\r\n',
    'transfer-encoding : chunked\r\n',
    'transfer_encoding: chunked\r\n',
  ],
  8,
);
const field = mostly(
  [
    'x-a: 1\r\n',
    'X-Empty:\r\n',
    'X-Space: \t a \t b \t \r\n',
    'x-high: \xff\x80\r\n',
    'Accept: */*\r\n',
    'te: trailers\r\n',
    'Connection: keep-alive\r\n',
    'Keep-Alive: 5\r\n',
    'Expect: 100-continue\r\n',
    'cookie: a=b\r\n',
    'Cookie: c=d\r\n',
  ],
  [
    'Connection: close\r\n',
    'Connection: x-a, Close\r\n',
    'Connection: Upgrade\r\nUpgrade: websocket\r\n',
    'Upgrade: h2c\r\n',
    'Connection: host\r\n',
    'Connection: a b\r\n',
    'Proxy-Connection: keep-alive\r\n',
    ': empty\r\n',
    'x y: 1\r\n',
    'x\xe9: 1\r\n',
    'x-fold: 1\r\n 2\r\n',
    'x-fold: 1\r\n\t2\r\n',
    'x-nul: a\0b\r\n',
    'x-ctl: a\x01b\r\n',
    'x-del: a\x7fb\r\n',
    'x-cr: a\rb\r\n',
    'x-lf: a\nb: c\r\n',
    'x\r\n',
    'x: 1\r\r\n',
    '\tx: 1\r\n',
  ],
  20,
);
const chunkSize = mostly(
  ['5', '05', '5;a', '5;a=b', '5;a="b c"', '5;a;b="\\""', '0005;a=b;c'],
  [
    '5 ',
    ' 5',
    '0x5',
    '+5',
    '-5',
    'g',
    '',
    '5;',
    '5 ;a',
    '5;a=',
    '5;a=\nb',
    '5;a="\n"',
    '5;a="b',
    '5;\x01',
    '10000000000000005',
    '20000000000000',
    '6',
    '4',
    '5,5',
  ],
);
const chunk = fc.tuple(chunkSize, lineEnd, mostly(['hello'], ['hell', 'hello!', '']), lineEnd).map((parts) => parts.join(''));
const trailers = mostly(
  ['', 'x-t: 1\r\n'],
  ['content-length: 5\r\n', 'transfer-encoding: chunked\r\n', 'Host: b\r\n', ' x: 1\r\n', 'x: 1\n', 'te: x\r\n', 'x\r\n'],
);
const chunked = fc
  .tuple(fc.array(chunk, { maxLength: 3 }), mostly(['0', '000', '0;a=b'], ['', '00x', '0 ', '-0'], 20), lineEnd, trailers, lineEnd)
  .map(([chunks, last, end, lines, empty]) => chunks.join('') + last + end + lines + empty);
const body = (lines: string): fc.Arbitrary<string> =>
  /chunked/i.test(lines)
    ? fc.oneof({ weight: 9, arbitrary: chunked }, { weight: 1, arbitrary: fc.constant('hello') })
    : /content.length: 0*5/i.test(lines)
      ? mostly(['hello'], ['hell', 'hello\r\n', ''], 10)
      : mostly([''], ['hello', '\r\n', '\r\n\r\n', '0\r\n\r\n', '\n'], 10);

const fieldLines = fc.array(field, { maxLength: 4 }).map((lines) => lines.join(''));

const request = fc
  .tuple(method, space, target, space, version, lineEnd, host, fieldLines, framing, fieldLines, lineEnd)
  .chain((parts) => body(parts[8]).map((text) => parts.join('') + text));

const status = mostly(
  ['200', '200', '100', '103', '204', '304', '404', '500', '101', '999'],
  ['99', '099', '20', '2000', '000', '', 'abc', '+20', '1e2'],
);
const reason = mostly([' OK', ' ', '', ' Not  Found', ' \xff'], ['OK', ' \x01', ' \0', ' a\rb', ' a\nb', '\tOK', '  OK']);
const response = fc
  .tuple(version, space, status, reason, lineEnd, fieldLines, framing, fieldLines, lineEnd)
  .chain((parts) => body(parts[6]).map((text) => parts.join('') + text));

/** One octet changed, taken out or put in, at a place that need not be in the input. */
const damage = fc.tuple(
  fc.nat(400),
  fc.constantFrom('change', 'insert', 'remove'),
  fc.constantFrom(...'\r\n \t\0:;,0x5"#/=\x7f\x80\xffaG'),
);
type Damage = readonly [place: number, kind: string, octet: string];
const damaged = (text: string, [place, kind, octet]: Damage): string =>
  place >= text.length ? text : text.slice(0, place) + (kind === 'remove' ? '' : octet) + text.slice(kind === 'insert' ? place : place + 1);

const several = (message: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.array(message, { minLength: 1, maxLength: 3 }),
      fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(damage, { minLength: 1, maxLength: 3 }) }),
      fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }) }),
    )
    .map(([messages, damages, kept]) => {
      const text = damages.reduce<string>(damaged, messages.join(''));
      return text.slice(0, Math.ceil(text.length * kept));
    });

/** One to three requests on one connection: most of them fine, many odd or hostile, some damaged or cut off. One character per octet. */
export const hostileRequests = several(request);
export const hostileResponses = several(response);
/** The methods of the requests that responses belong to. */
export const askedMethods = fc.array(fc.constantFrom('GET', 'GET', 'POST', 'HEAD', 'CONNECT'), { minLength: 8, maxLength: 8 });
