/** The decoders of `src/protocol`. */

import { record } from '../src/protocol/http1/testing/record.ts';
import {
  AddressTable,
  AuthorizationTable,
  CLIENT_SETTINGS,
  createHttp2Connection,
  DeltaDiscoveryRequestTable,
  DeltaDiscoveryResponseTable,
  decodeMessage,
  encodeGrpcMessage,
  encodeMessage,
  GrpcMessageReader,
  HpackDecoder,
  HpackEncoder,
  type Http2Role,
  IstioCertificateRequestTable,
  IstioCertificateResponseTable,
  parseAuthority,
  parseBaggage,
  parseConnectRequest,
  parseForwardedHost,
  parseTraceparent,
  readCertificateDer,
  readServerName,
  SERVER_SETTINGS,
  ServicePlanTable,
  type Table,
  WorkloadRequestTable,
  WorkloadResponseTable,
  ZdsHelloTable,
  ZdsMachine,
} from '../src/protocol/index.ts';
import { pieces, type Target } from './target.ts';

const text = (value: string): Uint8Array => Buffer.from(value, 'latin1');
const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const hex = (value: string): Uint8Array => Buffer.from(value.replaceAll(/\s/g, ''), 'hex');

function http1(kind: 'request' | 'response', seeds: readonly string[]): Target {
  return {
    name: `http1-${kind}`,
    about: `HTTP/1 ${kind}s: head, chunked and counted bodies, trailers`,
    isStream: true,
    words: [
      '\r\n',
      '\r\n\r\n',
      'Transfer-Encoding: chunked\r\n',
      'Content-Length: ',
      'HTTP/1.1',
      'Connection: close\r\n',
      '0\r\n\r\n',
      'Upgrade: ',
      'Host: a\r\n',
    ],
    seeds: () => seeds.map(text),
    run(bytes, cuts) {
      const { parser, events, feed } = record(kind, {}, kind === 'request' ? [] : ['GET', 'HEAD', 'CONNECT', 'GET']);
      for (const chunk of pieces(bytes, cuts)) if (feed(chunk).length > 0) break;
      parser.end();
      return events.map((event) => JSON.stringify(event));
    },
  };
}

const frame = (type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array(0)): Uint8Array => {
  const bytes = Buffer.alloc(9 + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, 9);
  return bytes;
};
const block = (...fields: (readonly [string, string])[]): Uint8Array => Uint8Array.from(new HpackEncoder().encode(fields));
const PREFACE = text('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const SETTINGS = frame(4, 0, 0, hex('000300000064 000400010000'));
const REQUEST = block([':method', 'CONNECT'], [':authority', '10.0.0.1:80'], ['baggage', 'k8s.pod.name=x']);
const RESPONSE = block([':status', '200'], ['baggage', 'service.name=y']);

/** The machine, with an application that opens or answers streams and takes what comes. */
function http2(role: Http2Role): Target {
  const head = role === 'server' ? [PREFACE, SETTINGS] : [SETTINGS];
  const first = frame(1, 4, 1, role === 'server' ? REQUEST : RESPONSE);
  const seed = (...frames: readonly Uint8Array[]): Uint8Array => Buffer.concat([...head, frame(4, 1, 0), ...frames]);
  return {
    name: `http2-${role}`,
    about: `HTTP/2 frames, header blocks and the connection machine of a ${role}`,
    isStream: true,
    words: [
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((type) => latin1(frame(type, 4, 1, new Uint8Array(type === 6 ? 8 : 4)))),
    ],
    seeds: () => [
      seed(first, frame(0, 0, 1, text('hello')), frame(0, 1, 1, text('end'))),
      seed(frame(1, 0, 1, REQUEST.subarray(0, 5)), frame(9, 4, 1, REQUEST.subarray(5)), frame(3, 0, 1, hex('00000008'))),
      seed(first, frame(8, 0, 0, hex('00010000')), frame(6, 0, 0, hex('0102030405060708')), frame(7, 0, 0, hex('0000000100000000'))),
      seed(
        frame(1, 0x2d, 1, Buffer.concat([hex('0280000000ff'), REQUEST, hex('0000')])),
        frame(0, 8, 1, hex('03616263000000')),
        frame(2, 0, 3, hex('0000000010')),
      ),
    ],
    run(bytes, cuts) {
      const events: string[] = [];
      const output: Uint8Array[] = [];
      let streams = 0;
      const settings = {
        ...(role === 'server' ? SERVER_SETTINGS : CLIENT_SETTINGS),
        streamWindow: 65_535,
        connectionWindow: 131_072,
        maxFrameSize: 16_384,
      };
      const machine = createHttp2Connection(
        role,
        settings,
        {
          onHeaders(stream, headers, end) {
            events.push(`headers ${stream} ${JSON.stringify(headers)} ${end}`);
            if (role === 'server' && streams++ < 100) {
              machine.sendHeaders(stream, [[':status', '200']], false);
              machine.sendData(stream, text('answer'), end);
            }
          },
          onData(stream, chunk, end) {
            const last = events.at(-1);
            const start = `data ${stream} `;
            if (last?.startsWith(start) && !last.endsWith(' true')) events.pop();
            const before = last?.startsWith(start) && !last.endsWith(' true') ? last.slice(start.length, last.lastIndexOf(' ')) : '';
            events.push(`${start}${before}${Buffer.from(chunk).toString('hex')} ${end}`);
            machine.consumed(stream, chunk.length);
          },
          onReset: (stream, code, local) => void events.push(`reset ${stream} ${code} ${local}`),
          onWritable: (stream) => void events.push(`writable ${stream}`),
          onGoaway: (last, code) => void events.push(`goaway ${last} ${code}`),
          onClose: (reason, detail) => void events.push(`close ${reason} ${detail}`),
        },
        {
          write: (part) => void output.push(Uint8Array.from(part)),
          writeData: (start, payload) => void output.push(Uint8Array.from(start), Uint8Array.from(payload)),
        },
      );
      if (role === 'client')
        for (let i = 0; i < 3; i++)
          machine.request(
            [
              [':method', 'CONNECT'],
              [':authority', 'a:1'],
            ],
            i === 2,
          );
      for (const chunk of pieces(bytes, cuts)) machine.receive(chunk, 1_000);
      events.push(`open ${machine.openStreams}`);
      return events;
    },
  };
}

const hpack: Target = {
  name: 'hpack',
  about: 'HPACK header blocks, three in a row with one table',
  isStream: false,
  words: ['\x3f\xe1\x1f', '\x20', '\x82', '\x40\x01a\x01b', '\x0f\x00', '\x10\x83abc\x00', '\xff\xff\xff\xff\x7f'],
  seeds: () => [
    block([':method', 'GET'], [':path', '/'], ['x-a', 'b'.repeat(40)]),
    REQUEST,
    RESPONSE,
    hex('3fe11f 828684 410f7777772e6578616d706c652e636f6d'),
  ],
  run(bytes) {
    const decoder = new HpackDecoder({ tableSize: 4096, listSize: 16_384 });
    const third = Math.ceil(bytes.length / 3) || 1;
    const events: string[] = [];
    for (let at = 0; at < bytes.length; at += third) {
      const decoded = decoder.decode(bytes.subarray(at, at + third));
      events.push(JSON.stringify(decoded));
      if (decoder.tableSize > decoder.tableCapacity || decoder.tableCapacity > 4096) throw new Error('the dynamic table exceeds its limit');
    }
    return events;
  },
};

/** Lines `name: value`, as the headers of a CONNECT and each alone. */
const hbone: Target = {
  name: 'hbone',
  about: 'headers of HBONE: CONNECT, authority, baggage, forwarded, traceparent',
  isStream: false,
  words: [
    ':method: CONNECT\n',
    ':authority: ',
    'baggage: ',
    'forwarded: ',
    'traceparent: 00-',
    '[::1]:80',
    'k8s.pod.name=',
    'for="[::1]:5"',
    ';host=',
  ],
  seeds: () =>
    [
      ':method: CONNECT\n:authority: 10.0.0.1:8080\nbaggage: k8s.cluster.name=c,k8s.namespace.name=n,k8s.deployment.name=d,service.name=s,service.version=v\nforwarded: for=10.0.0.9:1234;host=web.default.svc.cluster.local\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      ':method: CONNECT\n:authority: [fd00::1]:80\nforwarded: for="[fd00::9]:1"',
      ':method: GET\n:authority: web.default.svc.cluster.local:80',
    ].map(text),
  run(bytes) {
    const headers = latin1(bytes)
      .split('\n')
      .map((line): readonly [string, string] => {
        const colon = line.indexOf(':', 1);
        return colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1).trim()];
      });
    const events = [`connect ${JSON.stringify(parseConnectRequest(headers))}`];
    for (const [, value] of headers) {
      events.push(`authority ${JSON.stringify(parseAuthority(value))}`, `baggage ${Object.keys(parseBaggage(value)).join()}`);
      events.push(`forwarded ${parseForwardedHost(value)}`, `traceparent ${parseTraceparent(value) !== undefined}`);
    }
    return events;
  },
};

const TABLES: readonly Table<unknown>[] = [
  AddressTable,
  AuthorizationTable,
  DeltaDiscoveryRequestTable,
  DeltaDiscoveryResponseTable,
  IstioCertificateRequestTable,
  IstioCertificateResponseTable,
  ServicePlanTable,
  WorkloadRequestTable,
  WorkloadResponseTable,
  ZdsHelloTable,
] as readonly Table<unknown>[]; // each has a type of its own; here only "some message" matters

/** As text, fields in the order of their names: the order in which they came is no part of a message. */
const described = (value: unknown): string =>
  JSON.stringify(value, (_, each: unknown) => {
    if (typeof each === 'bigint') return `${each}n`;
    if (each instanceof Uint8Array) return Buffer.from(each).toString('hex');
    if (typeof each !== 'object' || each === null || Array.isArray(each)) return each;
    return Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)));
  });

/** The first octet chooses the table. What was decoded must be the same after it was encoded. */
const protobuf: Target = {
  name: 'protobuf',
  about: 'protobuf messages, by every table',
  isStream: false,
  words: ['\x0a\x00', '\x12\x01a', '\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01', '\x08\xff\x01', '\x1a\x04\x0a\x02\x0a\x00'],
  seeds: () => [
    Buffer.concat([
      hex('03'),
      encodeMessage(DeltaDiscoveryResponseTable, {
        typeUrl: 'type.googleapis.com/x',
        nonce: 'n',
        resources: [{ name: 'a', version: '1' }],
        removedResources: ['b'],
      }),
    ]),
    Buffer.concat([
      hex('07'),
      encodeMessage(WorkloadRequestTable, {
        payload: { case: 'add', value: { uid: 'u', workloadInfo: { name: 'n', namespace: 's', serviceAccount: 'a' } } },
      }),
    ]),
    Buffer.concat([hex('04'), encodeMessage(IstioCertificateRequestTable, { csr: 'c', validityDuration: 5n, metadata: { a: 'b' } })]),
    Buffer.concat([
      hex('02'),
      encodeMessage(DeltaDiscoveryRequestTable, { typeUrl: 't', initialResourceVersions: { a: '1' }, responseNonce: 'n' }),
    ]),
  ],
  run(bytes) {
    const table = TABLES[(bytes[0] ?? 0) % TABLES.length]!;
    const decoded = decodeMessage(table, bytes.subarray(1));
    if (!decoded.ok) return [`${(bytes[0] ?? 0) % TABLES.length} ${decoded.error}`];
    const again = decodeMessage(table, encodeMessage(table, decoded.value as never)); // what a table decodes is what it encodes
    if (!again.ok) throw new Error(`what was decoded cannot be decoded again: ${again.error}`);
    if (described(again.value) !== described(decoded.value))
      throw new Error(`decoded ${described(decoded.value)}, and again ${described(again.value)}`);
    return [`${(bytes[0] ?? 0) % TABLES.length} ${described(decoded.value).replaceAll(/[^{}[\]:",a-zA-Z]/g, '')}`];
  },
};

const grpc: Target = {
  name: 'grpc',
  about: 'length-prefixed gRPC messages',
  isStream: true,
  words: ['\0\0\0\0\0', '\x01', '\0\0\0\x01\0'],
  seeds: () => [Buffer.concat([encodeGrpcMessage(text('hello')), encodeGrpcMessage(text('')), encodeGrpcMessage(text('x'.repeat(50)))])],
  run(bytes, cuts) {
    const events: string[] = [];
    const reader = new GrpcMessageReader(1_000, (message) => void events.push(`message ${Buffer.from(message).toString('hex')}`));
    for (const chunk of pieces(bytes, cuts)) {
      const problem = reader.push(chunk);
      if (problem !== undefined) return [...events, `problem ${problem}`];
    }
    return [...events, `inside ${reader.isInside}`];
  },
};

/** A made-up ClientHello with a server name. */
const clientHello = (name: string): Uint8Array => {
  const host = text(name);
  const u16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 0xff);
  const list = Buffer.concat([u16(host.length + 3), hex('00'), u16(host.length), host]);
  const extensions = Buffer.concat([hex('0010 0005 0003 026832'), hex('0000'), u16(list.length), list]);
  const body = Buffer.concat([
    hex('0303'),
    Buffer.alloc(32, 7),
    hex('00'),
    hex('0002 1301'),
    hex('0100'),
    u16(extensions.length),
    extensions,
  ]);
  const message = Buffer.concat([hex('0100'), u16(body.length), body]);
  return Buffer.concat([hex('160301'), u16(message.length), message]);
};

const hello: Target = {
  name: 'client-hello',
  about: 'the server name in a TLS ClientHello',
  isStream: false,
  words: ['\x16\x03\x01', '\0\0', '\x01\0\0'],
  seeds: () => [clientHello('web.example.com'), clientHello('a'), clientHello('')],
  run(bytes) {
    const whole = readServerName(bytes);
    // A prefix may ask for more, or say what the whole says; never something else.
    for (const length of [bytes.length >> 2, bytes.length >> 1, bytes.length - 1]) {
      const part = readServerName(bytes.subarray(0, Math.max(0, length)));
      if (part.kind !== 'more' && JSON.stringify(part) !== JSON.stringify(whole))
        throw new Error(`${length} octets say ${JSON.stringify(part)}, all say ${JSON.stringify(whole)}`);
    }
    return [JSON.stringify(whole)];
  },
};

const certificate: Target = {
  name: 'certificate',
  about: 'X.509 certificates in DER',
  isStream: false,
  words: ['\x30\x82', '\x30\x80', '\x86\x0aspiffe://a', '\x06\x03\x55\x1d\x11', '\x17\x0d700101000000Z', '\x18\x0f20500101000000Z'],
  // Kept in the corpus: a real leaf and a real root.
  seeds: () => [],
  run(bytes) {
    const read = readCertificateDer(bytes);
    return [read.ok ? `ok ${described(read.value)}` : read.error];
  },
};

/** The first octet of each message is its length. */
const zds: Target = {
  name: 'zds',
  about: 'what a node proxy says to the announcing side of ZDS',
  isStream: false,
  words: ['\x02\x08\x01', '\x02\x0a\x00', '\x04\x0a\x02\x0a\x00'],
  seeds: () => [
    Buffer.concat([
      hex('02'),
      encodeMessage(ZdsHelloTable, { version: 1 }),
      hex('02'),
      encodeMessage(WorkloadResponseTable, { payload: { case: 'ack', value: {} } }),
    ]),
  ],
  run(bytes) {
    const machine = new ZdsMachine(0);
    const events: string[] = [];
    const keep = (outputs: readonly { readonly kind: string }[]): void => {
      for (const output of outputs) events.push(described({ ...output, bytes: undefined }));
    };
    keep(machine.handle({ kind: 'request', id: 1, request: { kind: 'snapshotSent' } }, 0));
    keep(machine.handle({ kind: 'request', id: 2, request: { kind: 'del', uid: 'x' } }, 0));
    for (let at = 0; at < bytes.length; at += 1 + bytes[at]!)
      keep(machine.handle({ kind: 'received', bytes: bytes.subarray(at + 1, at + 1 + bytes[at]!), descriptors: 0 }, 1));
    keep(machine.tick(1_000_000));
    return events;
  },
};

export const protocolTargets: readonly Target[] = [
  http1('request', [
    'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: t\r\n\r\n5;e=f\r\nhello\r\n0\r\nt: 1\r\n\r\nGET / HTTP/1.0\r\n\r\n',
    'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabcCONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n',
    'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
  ]),
  http1('response', [
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 No Content\r\n\r\n',
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
    'HTTP/1.0 200 OK\r\n\r\nuntil the end',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw',
  ]),
  http2('server'),
  http2('client'),
  hpack,
  hbone,
  protobuf,
  grpc,
  hello,
  certificate,
  zds,
];
