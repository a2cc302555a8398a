/** HTTP/2, which a proxy turns into HTTP/1.1: what is one field there must not become two lines here. */
import { block, data, type Fields, FrameType, frame, headers } from '../http2-frames.ts';

export interface Http2Case {
  readonly name: string;
  /** Frames behind the preface. */
  readonly send: string;
}

const START: Readonly<Record<string, string>> = { ':method': 'GET', ':scheme': 'http', ':authority': 'app.test', ':path': '/seg' };

/** The usual pseudo-headers, some of them changed or (undefined) left out, and more fields behind them. */
const fields = (changed: Readonly<Record<string, string | undefined>> = {}, more: Fields = []): Fields => {
  const all = { ...START, ...changed };
  return [...Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined), ...more];
};

const get = (name: string, list: Fields): Http2Case => ({ name: `h2: ${name}`, send: headers(1, list, true) });
const post = (name: string, more: Fields, body: string, trailers?: Fields): Http2Case => ({
  name: `h2: ${name}`,
  send:
    headers(1, fields({ ':method': 'POST' }, more), false) +
    (trailers === undefined ? data(1, body, true) : data(1, body, false) + headers(1, trailers, true)),
});
const frames = (name: string, send: string): Http2Case => ({ name: `h2: ${name}`, send });

const valid: readonly Http2Case[] = [
  get('GET', fields()),
  get('GET with a query', fields({ ':path': '/query?a=1' })),
  get('HEAD', fields({ ':method': 'HEAD' })),
  get('DELETE', fields({ ':method': 'DELETE' })),
  get('another method', fields({ ':method': 'M-SEARCH' })),
  get('OPTIONS *', fields({ ':method': 'OPTIONS', ':path': '*' })),
  post('POST', [], 'hello'),
  post('POST with a length', [['content-length', '5']], 'hello'),
  post('POST without data', [], ''),
  get('POST that ends with its head', fields({ ':method': 'POST' })),
  get('POST that ends with its head, length 0', fields({ ':method': 'POST' }, [['content-length', '0']])),
  post('POST with trailers', [], 'hello', [['x-sum', '1']]),
  post('POST with te and trailers', [['te', 'trailers']], 'hello', [['x-sum', '1']]),
  post('POST that expects leave', [['expect', '100-continue']], 'hello'),
  get('te: trailers', fields({}, [['te', 'trailers']])),
  get(
    'cookies in pieces',
    fields({}, [
      ['cookie', 'a=1'],
      ['cookie', 'b=2'],
      ['cookie', 'c=3; d=4'],
    ]),
  ),
  get(
    'a cookie in pieces that a route wants',
    fields({ ':path': '/header' }, [
      ['cookie', 'a=1'],
      ['cookie', 'user=jason'],
    ]),
  ),
  get(
    'fields twice',
    fields({}, [
      ['x-a', '1'],
      ['x-a', '2'],
    ]),
  ),
  get('an empty value', fields({}, [['x-a', '']])),
  get('a value with white space within', fields({}, [['x-a', 'a \t b']])),
  get('obs-text in a value', fields({}, [['x-a', 'caf\xe9']])),
  get('a long value', fields({}, [['x-a', 'a'.repeat(20_000)]])),
  get(
    '90 fields',
    fields(
      {},
      Array.from({ length: 90 }, (_, at) => [`x-f${at}`, 'v'] as const),
    ),
  ),
  get('host in place of :authority', fields({ ':authority': undefined }, [['host', 'app.test']])),
  get('host equal to :authority', fields({}, [['host', 'app.test']])),
  get('authority with port', fields({ ':authority': 'app.test:8080' })),
  get('authority in upper case', fields({ ':authority': 'APP.test' })),
  get('scheme https', fields({ ':scheme': 'https', ':path': '/scheme' })),
  get('scheme http with x-forwarded-proto https', fields({ ':path': '/scheme' }, [['x-forwarded-proto', 'https']])),
  get('a redirect', fields({ ':path': '/redirect/host/a' })),
  get('a direct response', fields({ ':path': '/respond/text' })),
  get('a rewrite', fields({ ':path': '/rewrite/prefix/a?b' })),
  get(
    'edited fields',
    fields({ ':path': '/edit' }, [
      ['x-remove', '1'],
      ['x-add', 'client'],
    ]),
  ),
  get('no route', fields({ ':path': '/nowhere' }, [['x-nowhere', '1']])),
  get('a fault', fields({ ':path': '/fault/http' })),
  get('retries', fields({ ':path': '/retry/5xx' }, [['x-do', 'status-503-once']])),
  get('a response in chunks with trailers', fields({}, [['x-do', 'trailers']])),
  get('a response without content', fields({}, [['x-do', 'no-content']])),
  get('a response with fields of its hop', fields({}, [['x-do', 'hop-by-hop']])),
  get('a response until the end', fields({}, [['x-do', 'until-close']])),
  get('a response that breaks off', fields({}, [['x-do', 'bad: cut in the body']])),
  get('a response with two lengths', fields({}, [['x-do', 'bad: two lengths']])),
  get(
    'a gRPC call that finds no endpoint',
    fields({ ':method': 'POST', ':path': '/gone' }, [
      ['content-type', 'application/grpc'],
      ['te', 'trailers'],
    ]),
  ),
  get(
    'a gRPC call with a fault',
    fields({ ':method': 'POST', ':path': '/fault/grpc' }, [
      ['content-type', 'application/grpc'],
      ['te', 'trailers'],
    ]),
  ),
  get(
    'a gRPC call without a route',
    fields({ ':method': 'POST', ':path': '/nowhere' }, [
      ['content-type', 'application/grpc'],
      ['x-nowhere', '1'],
    ]),
  ),
  get('dot segments', fields({ ':path': '/a/../seg/%2e%2e/exact' })),
  get('an encoded NUL', fields({ ':path': '/seg/%00' })),
  get('a backslash', fields({ ':path': '/a\\..\\seg' })),
  get('x-forwarded-client-cert', fields({}, [['x-forwarded-client-cert', 'URI=spiffe://evil']])),
];

const pseudo: readonly Http2Case[] = [
  ...([':method', ':scheme', ':path', ':authority'] as const).flatMap((name) => [
    get(`no ${name}`, fields({ [name]: undefined })),
    get(`${name} empty`, fields({ [name]: '' })),
    get(`${name} twice`, [...fields(), [name, START[name]!]]),
    get(`${name} behind a field`, [...fields({ [name]: undefined }), ['x-a', '1'], [name, START[name]!]]),
    get(`${name} with CR LF`, fields({ [name]: `${START[name]}\r\nevil: 1` })),
    get(`${name} with LF`, fields({ [name]: `${START[name]}\nevil: 1` })),
    get(`${name} with NUL`, fields({ [name]: `${START[name]}\0` })),
    get(`${name} with a space`, fields({ [name]: `${START[name]} HTTP/1.1` })),
    get(`${name} with a space in front`, fields({ [name]: ` ${START[name]}` })),
    get(`${name} with a tab`, fields({ [name]: `${START[name]}\t` })),
    get(`${name} with obs-text`, fields({ [name]: `${START[name]}\xe9` })),
    get(`${name} with DEL`, fields({ [name]: `${START[name]}\x7f` })),
  ]),
  get('a whole request in :method', fields({ ':method': 'GET /evil HTTP/1.1\r\nHost: evil\r\n\r\nGET' })),
  get('a whole request in :path', fields({ ':path': '/seg HTTP/1.1\r\nHost: evil\r\n\r\nGET /evil' })),
  get('method in lower case', fields({ ':method': 'get' })),
  get('method with a parenthesis', fields({ ':method': 'GE(T' })),
  get('path without a slash', fields({ ':path': 'seg' })),
  get('path *, GET', fields({ ':path': '*' })),
  get('path with a fragment', fields({ ':path': '/seg#x' })),
  get('path that is a URI', fields({ ':path': 'http://evil.test/seg' })),
  get('path with a quote', fields({ ':path': '/seg/"a"' })),
  get('scheme ftp', fields({ ':scheme': 'ftp' })),
  get('scheme HTTP', fields({ ':scheme': 'HTTP', ':path': '/scheme' })),
  get('scheme with a slash', fields({ ':scheme': 'http://evil' })),
  get('authority with user information', fields({ ':authority': 'user@app.test' })),
  get('authority with a path', fields({ ':authority': 'app.test/evil' })),
  get('authority with a query', fields({ ':authority': 'app.test?evil' })),
  get('authority with a bad port', fields({ ':authority': 'app.test:evil' })),
  get('authority with a comma', fields({ ':authority': 'app.test,evil.test' })),
  get('authority with a bracket', fields({ ':authority': '[::1' })),
  get('authority with angle brackets', fields({ ':authority': '<evil>' })),
  get('host that differs from :authority', fields({}, [['host', 'evil.test']])),
  get(
    'host twice',
    fields({ ':authority': undefined }, [
      ['host', 'app.test'],
      ['host', 'evil.test'],
    ]),
  ),
  get('host with a path', fields({ ':authority': undefined }, [['host', 'app.test/evil']])),
  get('host with user information', fields({ ':authority': undefined }, [['host', 'user@app.test']])),
  get('neither host nor :authority', fields({ ':authority': undefined })),
  get('an unknown pseudo-header', [...fields(), [':evil', '1']]),
  get(':status in a request', [...fields(), [':status', '200']]),
  get(':protocol without CONNECT', [...fields(), [':protocol', 'websocket']]),
  get('CONNECT', [
    [':method', 'CONNECT'],
    [':authority', 'evil.test:443'],
  ]),
  get('CONNECT with a path', fields({ ':method': 'CONNECT' })),
  get('CONNECT without an authority', [[':method', 'CONNECT']]),
  get('CONNECT for websocket', [...fields({ ':method': 'CONNECT' }), [':protocol', 'websocket']]),
  get('no fields at all', []),
];

const names: readonly (readonly [name: string, field: readonly [string, string]])[] = [
  ['a name in upper case', ['X-Upper', '1']],
  ['Content-Length in upper case', ['Content-Length', '5']],
  ['Transfer-Encoding in upper case', ['Transfer-Encoding', 'chunked']],
  ['a name with a space', ['x a', '1']],
  ['a name with a space behind', ['x-a ', '1']],
  ['a name with a colon', ['x:a', '1']],
  ['a name with CR LF', ['x-a: 1\r\nevil', '1']],
  ['a name with LF', ['x-a\nevil', '1']],
  ['a name with NUL', ['x\0a', '1']],
  ['a name with obs-text', ['x-\xe9', '1']],
  ['a name with a parenthesis', ['x(a)', '1']],
  ['a name that is empty', ['', '1']],
  ['a name with an underscore', ['x_a', '1']],
  ['a value with CR LF', ['x-a', '1\r\nevil: 1']],
  ['a value with CR LF CR LF', ['x-a', '1\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\n']],
  ['a value with LF', ['x-a', '1\nevil: 1']],
  ['a value with CR', ['x-a', '1\revil: 1']],
  ['a value with NUL', ['x-a', '1\0']],
  ['a value with DEL', ['x-a', '1\x7f']],
  ['a value with ESC', ['x-a', '1\x1b']],
  ['a value with white space in front', ['x-a', ' 1']],
  ['a value with white space behind', ['x-a', '1 ']],
  ['a value with a tab in front', ['x-a', '\t1']],
  ['a value of white space', ['x-a', ' ']],
  ['connection', ['connection', 'close']],
  ['connection that names a field', ['connection', 'x-a']],
  ['keep-alive', ['keep-alive', 'timeout=5']],
  ['proxy-connection', ['proxy-connection', 'close']],
  ['transfer-encoding', ['transfer-encoding', 'chunked']],
  ['transfer-encoding with CR LF in front', ['transfer-encoding', '\r\nchunked']],
  ['upgrade', ['upgrade', 'h2c']],
  ['http2-settings', ['http2-settings', 'AAMAAABkAAQAAP__']],
  ['te: gzip', ['te', 'gzip']],
  ['te: trailers, gzip', ['te', 'trailers, gzip']],
  ['te: Trailers', ['te', 'Trailers']],
  ['a value of 70 000 octets', ['x-a', 'a'.repeat(70_000)]],
  ['a content-length without data', ['content-length', '5']],
  ['a content-length that is none', ['content-length', 'five']],
  ['a content-length with a sign', ['content-length', '+0']],
  ['a content-length that is empty', ['content-length', '']],
  ['a content-length list', ['content-length', '0, 0']],
];

const bodies: readonly Http2Case[] = [
  post('more data than its length', [['content-length', '3']], 'hello'),
  post('less data than its length', [['content-length', '9']], 'hello'),
  post('data with length 0', [['content-length', '0']], 'GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n'),
  post(
    'two lengths',
    [
      ['content-length', '5'],
      ['content-length', '6'],
    ],
    'hello',
  ),
  post(
    'two equal lengths',
    [
      ['content-length', '5'],
      ['content-length', '5'],
    ],
    'hello',
  ),
  post(
    'a length with transfer-encoding',
    [
      ['content-length', '5'],
      ['transfer-encoding', 'chunked'],
    ],
    'hello',
  ),
  post('a length with a space', [['content-length', '5 ']], 'hello'),
  post('a length over 64 bits', [['content-length', '18446744073709551621']], 'hello'),
  post('a chunked body as data', [], '5\r\nhello\r\n0\r\n\r\n'),
  post('trailers with a pseudo-header', [], 'hello', [[':path', '/evil']]),
  post('trailers with :status', [], 'hello', [[':status', '200']]),
  post('trailers with connection', [], 'hello', [['connection', 'close']]),
  post('trailers with transfer-encoding', [], 'hello', [['transfer-encoding', 'chunked']]),
  post('trailers with content-length', [], 'hello', [['content-length', '5']]),
  post('trailers with host', [], 'hello', [['host', 'evil.test']]),
  post('trailers with a name in upper case', [], 'hello', [['X-A', '1']]),
  post('trailers with CR LF', [], 'hello', [['x-a', '1\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\n']]),
  frames(
    'trailers that do not end the stream',
    headers(1, fields({ ':method': 'POST' }), false) + data(1, 'hello', false) + headers(1, [['x-a', '1']], false),
  ),
  frames('data behind the end', headers(1, fields(), true) + data(1, 'hello', true)),
  frames('fields behind the end', headers(1, fields(), true) + headers(1, [['x-a', '1']], true)),
];

const flow: readonly Http2Case[] = [
  frames('three streams', [1, 3, 5].map((id) => headers(id, fields({ ':path': `/seg/${id}` }), true)).join('')),
  frames('a stream of an even number', headers(2, fields(), true)),
  frames('fields on stream 0', headers(0, fields(), true)),
  frames('data on a stream that is not there', data(1, 'hello', true)),
  frames('a stream below one before', headers(3, fields(), true) + headers(1, fields(), true)),
  frames(
    'fields in pieces',
    frame(FrameType.HEADERS, 0x1, 1, block(fields()).slice(0, 20)) + frame(FrameType.CONTINUATION, 0x4, 1, block(fields()).slice(20)),
  ),
  frames('fields that are never done', frame(FrameType.HEADERS, 0x1, 1, block(fields())) + headers(3, fields(), true)),
  frames('padding', frame(FrameType.HEADERS, 0x8 | 0x5, 1, `\x03${block(fields())}\0\0\0`)),
  frames('padding beyond the frame', frame(FrameType.HEADERS, 0x8 | 0x5, 1, `\xff${block(fields())}`)),
  frames('a priority on itself', frame(FrameType.HEADERS, 0x20 | 0x5, 1, `\0\0\0\x01\x10${block(fields())}`)),
  frames('an index that is not there', frame(FrameType.HEADERS, 0x5, 1, '\xff\x80\x01')),
  frames('a string that is cut', frame(FrameType.HEADERS, 0x5, 1, '\x10\x05ab')),
  frames('an unknown frame', frame(0xbb, 0, 0, 'whatever') + headers(1, fields(), true)),
];

export const HTTP2: readonly Http2Case[] = [
  ...valid,
  ...pseudo,
  ...names.map(([name, field]) => get(name, fields({}, [field]))),
  ...names
    .filter(([, [name]]) => /^(transfer-encoding|connection)$/i.test(name))
    .map(([name, field]) => post(`POST with ${name}`, [field], '5\r\nhello\r\n0\r\n\r\n')),
  ...bodies,
  ...flow,
];
