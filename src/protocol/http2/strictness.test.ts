import { expect, test } from 'bun:test';
import { Flag, FrameType, PREFACE, SettingId } from './frames.ts';
import { LIMITS } from './limits.ts';
import {
  CONNECT,
  clientHello,
  concat,
  data,
  frame,
  GET,
  goaway,
  headers,
  OK,
  octets,
  POST,
  ping,
  resetStream,
  serverHello,
  settings,
  settingsAck,
  windowUpdate,
} from './testing/raw.ts';
import { errorsSent, Recorder, ready } from './testing/recorder.ts';
import { ErrorCode, type HeaderList, type Http2CloseReason } from './types.ts';

const END = Flag.END_STREAM | Flag.END_HEADERS;
const E = ErrorCode;
const connectionError = (code: number): string[] => [`GOAWAY ${code}`];
const streamError = (streamId: number, code: number): string[] => [`RST_STREAM ${streamId} ${code}`];

type Case = readonly [title: string, sent: readonly Uint8Array[], errors: string[], reason?: Http2CloseReason];

const RESPONSES: readonly Case[] = [
  ['a response without :status', [headers(1, [['x', 'y']])], streamError(1, E.PROTOCOL_ERROR)],
  ['a :status that is no code', [headers(1, [[':status', '20']])], streamError(1, E.PROTOCOL_ERROR)],
  [':status 101', [headers(1, [[':status', '101']])], streamError(1, E.PROTOCOL_ERROR)],
  ['an interim response that ends the stream', [headers(1, [[':status', '103']], END)], streamError(1, E.PROTOCOL_ERROR)],
  ['DATA before the response', [data(1, 1)], streamError(1, E.PROTOCOL_ERROR)],
  ['DATA after an interim response only', [headers(1, [[':status', '100']]), data(1, 1)], streamError(1, E.PROTOCOL_ERROR)],
  ['a response on a stream never opened', [headers(3, OK)], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  ['a stream opened by the server', [headers(2, OK)], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  ['a server that turns push on', [settings([SettingId.ENABLE_PUSH, 1])], connectionError(E.PROTOCOL_ERROR), 'protocol-error'],
  [
    'a response shorter than its content-length',
    [headers(1, [...OK, ['content-length', '5']]), data(1, 1, Flag.END_STREAM)],
    streamError(1, E.PROTOCOL_ERROR),
  ],
  ['a response list above the limit', [headers(1, [...OK, ['x', 'y'.repeat(20_000)]])], streamError(1, E.ENHANCE_YOUR_CALM)],
];
for (const [title, sent, errors, reason] of RESPONSES) {
  test(`a client answers ${title} with ${errors.join(', ')}`, () => {
    const end = ready('client');
    end.connection.request(POST, false);
    end.takeBytes();
    end.receive(...sent);
    expect(errorsSent(end)).toEqual(errors);
    expect(end.closeReason).toBe(reason as Http2CloseReason);
    expect(end.of('reset').length).toBe(1);
  });
}

test('a tunnel carries nothing but DATA: trailers reset it', () => {
  const end = ready('client');
  end.connection.request(CONNECT, false);
  end.takeBytes();
  end.receive(headers(1, OK), headers(1, [['x', 'y']], END));
  expect(errorsSent(end)).toEqual(streamError(1, E.PROTOCOL_ERROR));
});

test('a tunnel that was answered takes no trailers from the client either', () => {
  const end = ready('server');
  end.receive(headers(1, CONNECT));
  end.connection.sendHeaders(1, OK, false);
  end.takeBytes();
  end.receive(headers(1, [['x', 'y']], END));
  expect(errorsSent(end)).toEqual(streamError(1, E.PROTOCOL_ERROR));
});

test('a response to HEAD, a 304 and a 2xx to CONNECT may announce a length and carry nothing', () => {
  const end = ready('client');
  end.connection.request([[':method', 'HEAD'], ...GET.slice(1)], true);
  end.connection.request(GET, true);
  end.connection.request(CONNECT, true);
  end.takeBytes();
  const answer = (status: string): HeaderList => [
    [':status', status],
    ['content-length', '9'],
  ];
  end.receive(headers(1, answer('200'), END), headers(3, answer('304'), END), headers(5, answer('200'), END));
  expect(errorsSent(end)).toEqual([]);
  expect(end.of('headers').length).toBe(3);
});

test('a CONNECT without :authority reaches the handler, which answers it with 400', () => {
  const end = ready('server');
  end.receive(headers(1, [[':method', 'CONNECT']]));
  expect(end.of('headers')).toMatchObject([{ streamId: 1, endStream: false }]);
});

test('interim responses reach the client one by one, before the response and its trailers', () => {
  const end = ready('client');
  end.connection.request(POST, true);
  end.receive(
    headers(1, [[':status', '100']]),
    headers(1, [
      [':status', '103'],
      ['link', '</a>'],
    ]),
    headers(1, OK),
    data(1, 2),
    headers(1, [['x', 'y']], END),
  );
  expect(end.of('headers').map((event) => [event.headers[0], event.endStream])).toEqual([
    [[':status', '100'], false],
    [[':status', '103'], false],
    [[':status', '200'], false],
    [['x', 'y'], true],
  ]);
  expect(end.connection.openStreams).toBe(0);
});

test('a request whose headers are above the list limit is answered with 431 and the tables stay in step', () => {
  const end = ready('server', { maxHeaderListSize: 200 });
  end.receive(headers(1, [...POST, ['x', 'y'.repeat(100)]]), headers(3, POST));
  expect(errorsSent(end)).toEqual(streamError(1, E.NO_ERROR));
  expect(end.of('headers').map((event) => event.streamId)).toEqual([3]);
});

test('a stream above the limit is refused and may be tried again', () => {
  const end = ready('server', { maxConcurrentStreams: 2 });
  end.receive(headers(1, POST), headers(3, POST), headers(5, POST));
  expect(errorsSent(end)).toEqual(streamError(5, E.REFUSED_STREAM));
  end.receive(resetStream(1, 8), headers(7, POST));
  expect(errorsSent(end)).toEqual([]);
  expect(end.of('headers').map((event) => event.streamId)).toEqual([1, 3, 7]);
});

test('frames of unknown types, unknown settings and PRIORITY are ignored', () => {
  const end = ready('server');
  end.receive(frame(0xbe, 0xff, 77, octets(300)), settings([0x99, 1]), frame(FrameType.PRIORITY, 0, 9, octets(5, 0)), headers(1, GET, END));
  expect(errorsSent(end)).toEqual([]);
  expect(end.of('headers').length).toBe(1);
});

test('frames that were under way when this end reset a stream are ignored and credited to the connection', () => {
  const end = ready('server', { streamWindow: 65_535, connectionWindow: 65_535 });
  end.receive(headers(1, POST), data(1, 10_000));
  end.connection.reset(1, E.CANCEL);
  end.takeBytes();
  end.receive(data(1, 16_384), data(1, 16_384), data(1, 16_384), windowUpdate(1, 5), resetStream(1, 8), headers(1, [['x', 'y']], END));
  const frames = end.takeFrames();
  expect(frames.map((found) => [found.type, found.streamId])).toEqual([[FrameType.WINDOW_UPDATE, 0]]);
  expect(end.of('data').length).toBe(1);
  expect(end.closeReason).toBeUndefined();
});

const PREFACES: readonly (readonly [title: string, sent: readonly Uint8Array[]])[] = [
  ['HTTP/1.1', [new TextEncoder().encode('GET / HTTP/1.1\r\nhost: a\r\n\r\n')]],
  ['a preface with one wrong octet', [concat(PREFACE.subarray(0, 23), Uint8Array.of(0))]],
  ['another frame than SETTINGS first', [PREFACE, ping()]],
  ['a SETTINGS acknowledgement first', [PREFACE, settingsAck()]],
  ['a TLS client hello', [Uint8Array.of(0x16, 3, 1, 0, 200, 1)]],
];
for (const [title, sent] of PREFACES) {
  test(`a server ends a connection that begins with ${title}`, () => {
    const end = new Recorder('server');
    end.takeBytes();
    end.receive(...sent);
    expect(errorsSent(end)).toEqual(connectionError(E.PROTOCOL_ERROR));
    expect(end.closeReason).toBe('bad-preface');
  });
}

test('a client ends a connection that does not begin with SETTINGS', () => {
  const end = new Recorder('client');
  end.receive(new TextEncoder().encode('HTTP/1.1 400 Bad Request\r\n\r\n'));
  expect(end.closeReason).toBe('bad-preface');
});

test('nothing happens after the end', () => {
  const end = ready('server');
  end.receive(data(0, 1));
  const count = end.events.length;
  end.takeBytes();
  end.receive(clientHello(), headers(1, GET, END), goaway(0, 0), serverHello());
  end.connection.shutdown('graceful');
  end.connection.transportClosed();
  end.connection.tick(1e9);
  expect(end.events.length).toBe(count);
  expect(end.takeBytes().length).toBe(0);
  expect(end.connection.nextDeadline()).toBe(Number.POSITIVE_INFINITY);
});

test('a stream that gets interim responses without end is reset', () => {
  const end = ready('client');
  end.connection.request(POST, true);
  end.takeBytes();
  for (let index = 0; index < LIMITS.INTERIM_RESPONSES; index++) end.receive(headers(1, [[':status', '103']]));
  expect(errorsSent(end)).toEqual([]);
  end.receive(headers(1, [[':status', '103']]));
  expect(errorsSent(end)).toEqual(streamError(1, E.ENHANCE_YOUR_CALM));
});

test('DATA on a stream that was reset too long ago to remember is refused, and the connection lives', () => {
  const end = ready('server');
  end.reactions.onHeaders = (streamId) => {
    end.connection.sendHeaders(streamId, OK, false);
    end.connection.reset(streamId, E.CANCEL);
  };
  for (let index = 0; index <= LIMITS.RESET_MEMORY; index++) end.receive(headers(index * 2 + 1, POST));
  end.takeBytes();
  end.receive(data(3, 1), data(1, 1));
  expect(errorsSent(end)).toEqual(streamError(1, E.STREAM_CLOSED));
  expect(end.closeReason).toBeUndefined();
});

test('settings that HTTP/2 cannot express are the caller’s mistake', () => {
  expect(() => new Recorder('server', { maxFrameSize: 1_000 })).toThrow(
    'HTTP/2 setting maxFrameSize is 1000; it must be a whole number from 16384 to 16777215',
  );
  expect(() => new Recorder('client', { streamWindow: 2 ** 31 })).toThrow(RangeError);
});
