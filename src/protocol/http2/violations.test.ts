import { expect, test } from 'bun:test';
import { Flag, FrameType, SettingId } from './frames.ts';
import { LIMITS } from './limits.ts';
import {
  block,
  CONNECT,
  concat,
  data,
  frame,
  GET,
  headers,
  headOnly,
  octets,
  POST,
  ping,
  resetStream,
  settings,
  windowUpdate,
  word,
} from './testing/raw.ts';
import { errorsSent, ready } from './testing/recorder.ts';
import { ErrorCode, type HeaderList, type Http2CloseReason } from './types.ts';

const END = Flag.END_STREAM | Flag.END_HEADERS;
const E = ErrorCode;
const connectionError = (code: number): string[] => [`GOAWAY ${code}`];
const streamError = (streamId: number, code: number): string[] => [`RST_STREAM ${streamId} ${code}`];

type Case = readonly [title: string, sent: readonly Uint8Array[], errors: string[], reason?: Http2CloseReason];

const openPost = headers(1, POST);
const request = (list: HeaderList, flags = END): Uint8Array => headers(1, list, flags);
const withField = (name: string, value: string): HeaderList => [...GET, [name, value]];
const rawField = (name: string, value: string): Uint8Array =>
  frame(
    FrameType.HEADERS,
    END,
    1,
    concat(
      block(GET),
      Uint8Array.of(0, name.length),
      new TextEncoder().encode(name),
      Uint8Array.of(value.length),
      new TextEncoder().encode(value),
    ),
  );

const SERVER_CASES: readonly Case[] = [
  // RFC 9113 section 4
  [
    'a frame above the announced size',
    [headOnly(1024 * 1024 + 1, FrameType.DATA, 0, 1)],
    connectionError(E.FRAME_SIZE_ERROR),
    'frame-size',
  ],
  [
    'a header block that cannot be decoded',
    [frame(FrameType.HEADERS, END, 1, Uint8Array.of(0x80))],
    connectionError(E.COMPRESSION_ERROR),
    'compression',
  ],
  ['another frame inside a header block', [headers(1, GET, Flag.END_STREAM), ping()], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  [
    'a CONTINUATION of another stream',
    [headers(1, GET, 0), frame(FrameType.CONTINUATION, Flag.END_HEADERS, 3)],
    connectionError(E.PROTOCOL_ERROR),
    'protocol-error',
  ],
  // 5.1 states and ids
  ['DATA on an idle stream', [data(1, 1)], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  ['WINDOW_UPDATE on an idle stream', [windowUpdate(1, 1)], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  ['RST_STREAM on an idle stream', [resetStream(1, 8)], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  ['a client stream with an even id', [headers(2, GET, END)], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  ['a stream id below one already used', [headers(5, GET, END), headers(3, GET, END)], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  ['DATA after END_STREAM', [request(GET), data(1, 1)], streamError(1, E.STREAM_CLOSED)],
  ['HEADERS after END_STREAM', [request(GET), request(GET)], streamError(1, E.STREAM_CLOSED)],
  ['DATA after the peer reset the stream', [openPost, resetStream(1, 8), data(1, 1)], connectionError(E.STREAM_CLOSED), 'protocol-error'],
  [
    'HEADERS after the peer reset the stream',
    [openPost, resetStream(1, 8), request(GET)],
    connectionError(E.STREAM_CLOSED),
    'protocol-error',
  ],
  [
    'a stream that depends on itself',
    [frame(FrameType.HEADERS, END | Flag.PRIORITY, 1, concat(word(1), Uint8Array.of(1), block(GET)))],
    streamError(1, E.PROTOCOL_ERROR),
  ],
  // 6.1 DATA
  ['DATA on stream 0', [data(0, 1)], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  [
    'DATA with more padding than payload',
    [openPost, frame(FrameType.DATA, Flag.PADDED, 1, Uint8Array.of(5, 1, 1))],
    connectionError(E.PROTOCOL_ERROR),
    'protocol-error',
  ],
  [
    'padded DATA without a length octet',
    [openPost, frame(FrameType.DATA, Flag.PADDED, 1)],
    connectionError(E.FRAME_SIZE_ERROR),
    'frame-size',
  ],
  // 6.2 HEADERS
  ['HEADERS on stream 0', [headers(0, GET, END)], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  [
    'HEADERS with more padding than payload',
    [frame(FrameType.HEADERS, END | Flag.PADDED, 1, Uint8Array.of(9, 0x82))],
    connectionError(E.PROTOCOL_ERROR),
    'protocol-error',
  ],
  [
    'HEADERS too short for its priority',
    [frame(FrameType.HEADERS, END | Flag.PRIORITY, 1, Uint8Array.of(0, 0))],
    connectionError(E.FRAME_SIZE_ERROR),
    'frame-size',
  ],
  // 6.3 PRIORITY
  ['PRIORITY on stream 0', [frame(FrameType.PRIORITY, 0, 0, octets(5))], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  ['PRIORITY of another length than 5', [frame(FrameType.PRIORITY, 0, 1, octets(4))], connectionError(E.FRAME_SIZE_ERROR), 'frame-size'],
  // 6.4 RST_STREAM
  ['RST_STREAM on stream 0', [resetStream(0, 8)], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  [
    'RST_STREAM of another length than 4',
    [openPost, frame(FrameType.RST_STREAM, 0, 1, octets(3))],
    connectionError(E.FRAME_SIZE_ERROR),
    'frame-size',
  ],
  // 6.5 SETTINGS
  ['SETTINGS on a stream', [frame(FrameType.SETTINGS, 0, 1)], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  [
    'SETTINGS of a length that is no multiple of 6',
    [frame(FrameType.SETTINGS, 0, 0, octets(5))],
    connectionError(E.FRAME_SIZE_ERROR),
    'frame-size',
  ],
  [
    'a SETTINGS acknowledgement with payload',
    [frame(FrameType.SETTINGS, Flag.ACK, 0, octets(6))],
    connectionError(E.FRAME_SIZE_ERROR),
    'frame-size',
  ],
  ['ENABLE_PUSH of 2', [settings([SettingId.ENABLE_PUSH, 2])], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  [
    'an initial window above 2^31-1',
    [settings([SettingId.INITIAL_WINDOW_SIZE, 2 ** 31])],
    connectionError(E.FLOW_CONTROL_ERROR),
    'flow-control',
  ],
  ['a maximum frame size below 16384', [settings([SettingId.MAX_FRAME_SIZE, 16_383])], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  [
    'a maximum frame size above 2^24-1',
    [settings([SettingId.MAX_FRAME_SIZE, 2 ** 24])],
    connectionError(E.PROTOCOL_ERROR),
    'protocol-error',
  ],
  [
    'settings that make a stream window overflow',
    [openPost, windowUpdate(1, 2 ** 31 - 1 - 65_535), settings([SettingId.INITIAL_WINDOW_SIZE, 65_536])],
    connectionError(E.FLOW_CONTROL_ERROR),
    'flow-control',
  ],
  // 6.6 PUSH_PROMISE, 6.7 PING, 6.8 GOAWAY
  [
    'PUSH_PROMISE',
    [openPost, frame(FrameType.PUSH_PROMISE, Flag.END_HEADERS, 1, word(2))],
    connectionError(E.PROTOCOL_ERROR),
    'protocol-error',
  ],
  ['PING on a stream', [frame(FrameType.PING, 0, 1, octets(8))], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  ['PING of another length than 8', [frame(FrameType.PING, 0, 0, octets(6))], connectionError(E.FRAME_SIZE_ERROR), 'frame-size'],
  ['GOAWAY on a stream', [frame(FrameType.GOAWAY, 0, 1, octets(8))], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  ['GOAWAY of less than 8 octets', [frame(FrameType.GOAWAY, 0, 0, octets(7))], connectionError(E.FRAME_SIZE_ERROR), 'frame-size'],
  // 6.9 WINDOW_UPDATE
  [
    'WINDOW_UPDATE of another length than 4',
    [frame(FrameType.WINDOW_UPDATE, 0, 0, octets(3))],
    connectionError(E.FRAME_SIZE_ERROR),
    'frame-size',
  ],
  ['a connection WINDOW_UPDATE of 0', [windowUpdate(0, 0)], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  ['a stream WINDOW_UPDATE of 0', [openPost, windowUpdate(1, 0)], streamError(1, E.PROTOCOL_ERROR)],
  ['a connection window above 2^31-1', [windowUpdate(0, 2 ** 31 - 1)], connectionError(E.FLOW_CONTROL_ERROR), 'flow-control'],
  ['a stream window above 2^31-1', [openPost, windowUpdate(1, 2 ** 31 - 1)], streamError(1, E.FLOW_CONTROL_ERROR)],
  // 6.10 CONTINUATION
  [
    'CONTINUATION without HEADERS',
    [frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1)],
    connectionError(E.PROTOCOL_ERROR),
    'protocol-error',
  ],
  ['CONTINUATION on stream 0', [frame(FrameType.CONTINUATION, Flag.END_HEADERS, 0)], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  // 8 messages
  ['a header name in upper case', [rawField('X-A', 'b')], streamError(1, E.PROTOCOL_ERROR)],
  ['a header name with a space', [rawField('x a', 'b')], streamError(1, E.PROTOCOL_ERROR)],
  ['a header value with a line break', [rawField('x-a', 'b\r\nc')], streamError(1, E.PROTOCOL_ERROR)],
  ['a header value that begins with a space', [rawField('x-a', ' b')], streamError(1, E.PROTOCOL_ERROR)],
  [
    'a pseudo-header after an ordinary one',
    [
      request([
        [':method', 'GET'],
        [':scheme', 'http'],
        ['x', 'y'],
        [':path', '/'],
      ]),
    ],
    streamError(1, E.PROTOCOL_ERROR),
  ],
  ['an unknown pseudo-header', [request([...GET, [':protocol', 'websocket']])], streamError(1, E.PROTOCOL_ERROR)],
  ['a response pseudo-header in a request', [request([[':status', '200'], ...GET])], streamError(1, E.PROTOCOL_ERROR)],
  ['a pseudo-header twice', [request([[':method', 'GET'], ...GET])], streamError(1, E.PROTOCOL_ERROR)],
  [
    'no :method',
    [
      request([
        [':scheme', 'http'],
        [':path', '/'],
      ]),
    ],
    streamError(1, E.PROTOCOL_ERROR),
  ],
  [
    'no :scheme',
    [
      request([
        [':method', 'GET'],
        [':path', '/'],
      ]),
    ],
    streamError(1, E.PROTOCOL_ERROR),
  ],
  [
    'no :path',
    [
      request([
        [':method', 'GET'],
        [':scheme', 'http'],
      ]),
    ],
    streamError(1, E.PROTOCOL_ERROR),
  ],
  [
    'an empty :path',
    [
      request([
        [':method', 'GET'],
        [':scheme', 'http'],
        [':path', ''],
      ]),
    ],
    streamError(1, E.PROTOCOL_ERROR),
  ],
  [
    'a :path that is not one',
    [
      request([
        [':method', 'GET'],
        [':scheme', 'http'],
        [':path', 'x'],
      ]),
    ],
    streamError(1, E.PROTOCOL_ERROR),
  ],
  [
    'user information in :authority',
    [
      request([
        [':method', 'GET'],
        [':scheme', 'http'],
        [':authority', 'me@a'],
        [':path', '/'],
      ]),
    ],
    streamError(1, E.PROTOCOL_ERROR),
  ],
  ['a host that differs from :authority', [request(withField('host', 'b'))], streamError(1, E.PROTOCOL_ERROR)],
  ['CONNECT with :path', [request([...CONNECT, [':path', '/']], Flag.END_HEADERS)], streamError(1, E.PROTOCOL_ERROR)],
  ['CONNECT with :scheme', [request([...CONNECT, [':scheme', 'http']], Flag.END_HEADERS)], streamError(1, E.PROTOCOL_ERROR)],
  ['the header connection', [request(withField('connection', 'close'))], streamError(1, E.PROTOCOL_ERROR)],
  ['the header transfer-encoding', [request(withField('transfer-encoding', 'chunked'))], streamError(1, E.PROTOCOL_ERROR)],
  ['te with anything but trailers', [request(withField('te', 'gzip'))], streamError(1, E.PROTOCOL_ERROR)],
  ['a content-length that is no number', [request(withField('content-length', '1x'))], streamError(1, E.PROTOCOL_ERROR)],
  [
    'two different content-lengths',
    [request([...GET, ['content-length', '1'], ['content-length', '2']])],
    streamError(1, E.PROTOCOL_ERROR),
  ],
  ['a content-length and no body', [request(withField('content-length', '1'))], streamError(1, E.PROTOCOL_ERROR)],
  [
    'a body shorter than its content-length',
    [headers(1, [...POST, ['content-length', '2']]), data(1, 1, Flag.END_STREAM)],
    streamError(1, E.PROTOCOL_ERROR),
  ],
  ['a body longer than its content-length', [headers(1, [...POST, ['content-length', '2']]), data(1, 3)], streamError(1, E.PROTOCOL_ERROR)],
  ['trailers without END_STREAM', [openPost, headers(1, [['x', 'y']])], streamError(1, E.PROTOCOL_ERROR)],
  ['a pseudo-header in trailers', [openPost, headers(1, [[':method', 'GET']], END)], streamError(1, E.PROTOCOL_ERROR)],
  [
    'a header block above twice the list limit',
    [headOnly(2 * 64 * 1024 + 262, FrameType.HEADERS, END, 1)],
    connectionError(E.ENHANCE_YOUR_CALM),
    'header-list-too-large',
  ],
  [
    'SETTINGS with thousands of entries',
    [headOnly((LIMITS.SETTINGS_ENTRIES + 1) * 6, FrameType.SETTINGS, 0, 0)],
    connectionError(E.ENHANCE_YOUR_CALM),
    'settings-flood',
  ],
];

for (const [title, sent, errors, reason] of SERVER_CASES) {
  test(`a server answers ${title} with ${errors.join(', ')}`, () => {
    const end = ready('server');
    end.receive(...sent);
    expect(errorsSent(end)).toEqual(errors);
    expect(end.closeReason).toBe(reason as Http2CloseReason);
  });
}
