import { expect, test } from 'bun:test';
import { Flag, FrameType, PREFACE, readUint31, SettingId } from './frames.ts';
import { LIMITS } from './limits.ts';
import {
  CONNECT,
  clientHello,
  codeOf,
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
} from './testing/raw.ts';
import { errorsSent, Recorder, ready } from './testing/recorder.ts';
import { ErrorCode } from './types.ts';

const END = Flag.END_STREAM | Flag.END_HEADERS;
const settingsIn = (payload: Uint8Array): Record<number, number> => {
  const found: Record<number, number> = {};
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  for (let at = 0; at < payload.length; at += 6) found[view.getUint16(at)] = view.getUint32(at + 2);
  return found;
};

test('a client begins with the preface, its settings and the connection window of ambient-wire 1.3', () => {
  const end = new Recorder('client');
  const bytes = end.takeBytes();
  expect(bytes.subarray(0, 24)).toEqual(PREFACE);
  const other = new Recorder('client');
  const [first, second] = other.takeFrames();
  expect(settingsIn(first!.payload)).toEqual({
    [SettingId.ENABLE_PUSH]: 0,
    [SettingId.INITIAL_WINDOW_SIZE]: 4 * 1024 * 1024,
    [SettingId.MAX_FRAME_SIZE]: 1024 * 1024,
    [SettingId.MAX_HEADER_LIST_SIZE]: 16 * 1024,
  });
  expect(second).toMatchObject({ type: FrameType.WINDOW_UPDATE, streamId: 0 });
  expect(readUint31(second!.payload, 0)).toBe(16 * 1024 * 1024 - 65_535);
});

test('a server begins with its settings, 200 streams among them', () => {
  const [first] = new Recorder('server').takeFrames();
  expect(settingsIn(first!.payload)).toMatchObject({
    [SettingId.MAX_CONCURRENT_STREAMS]: 200,
    [SettingId.MAX_HEADER_LIST_SIZE]: 64 * 1024,
  });
});

test('SETTINGS are acknowledged and PING is answered with its own payload', () => {
  const end = ready('server');
  end.receive(settings([SettingId.INITIAL_WINDOW_SIZE, 10]), ping());
  expect(end.takeFrames()).toMatchObject([
    { type: FrameType.SETTINGS, flags: Flag.ACK },
    { type: FrameType.PING, flags: Flag.ACK, payload: octets(8) },
  ]);
});

test('a client opens as many streams as assumed, and as many as allowed once the settings are there', () => {
  const end = new Recorder('client', { assumedMaxConcurrentStreams: 3 });
  expect(end.connection.availableStreams).toBe(3);
  expect([1, 2, 3, 4].map(() => end.connection.request(CONNECT, false))).toEqual([1, 3, 5, undefined]);
  end.receive(settings([SettingId.MAX_CONCURRENT_STREAMS, 4]), settingsAck());
  expect(end.connection.availableStreams).toBe(1);
  expect(end.connection.request(CONNECT, false)).toBe(7);
  expect(end.connection.request(CONNECT, false)).toBeUndefined();
  end.receive(resetStream(1, 8));
  expect(end.connection.availableStreams).toBe(1);
});

test('a half-closed stream carries data the other way until both ends are done', () => {
  const end = ready('server');
  end.receive(headers(1, CONNECT));
  end.connection.sendHeaders(1, OK, false);
  end.receive(data(1, 5, Flag.END_STREAM));
  expect(end.connection.openStreams).toBe(1);
  expect(end.connection.sendData(1, octets(7), false)).toBe(7);
  expect(end.connection.sendData(1, octets(0), true)).toBe(0);
  expect(end.connection.openStreams).toBe(0);
  const frames = end.takeFrames().filter((found) => found.type === FrameType.DATA);
  expect(frames.map((found) => [found.payload.length, found.flags])).toEqual([
    [7, 0],
    [0, Flag.END_STREAM],
  ]);
  expect(errorsSent(end)).toEqual([]);
});

test('sending on a stream that is over does nothing', () => {
  const end = ready('server');
  end.receive(headers(1, GET, END));
  end.connection.sendHeaders(1, OK, true);
  end.takeBytes();
  end.connection.sendHeaders(1, OK, true);
  end.connection.reset(1, ErrorCode.CANCEL);
  expect(end.connection.sendData(1, octets(1), true)).toBe(0);
  expect(end.connection.sendCapacity(1)).toBe(0);
  expect(end.takeBytes().length).toBe(0);
});

test('a large header list is cut into CONTINUATION frames of the size the peer accepts', () => {
  const server = ready('server', { maxHeaderListSize: 200_000 });
  const client = ready('client');
  const list = [...GET, ...Array.from({ length: 20 }, (_, index) => [`x-${index}`, `${index}`.repeat(2_000)] as const)];
  client.connection.request(list, true);
  const bytes = client.takeBytes();
  server.receive(bytes);
  expect(server.of('headers')[0]?.headers).toEqual(list);
  const types = new Recorder('client');
  types.receive(serverHello());
  types.takeBytes();
  types.connection.request(list, true);
  const frames = types.takeFrames();
  expect(frames.length).toBeGreaterThan(1);
  expect(frames.every((found) => found.payload.length <= 16_384)).toBe(true);
});

test('a server drains in two steps: streams under way at the first GOAWAY are served, later ones are not', () => {
  const end = ready('server');
  end.receive(headers(1, POST));
  end.connection.shutdown('graceful');
  expect(end.connection.isDraining).toBe(true);
  const [first, probe] = end.takeFrames();
  expect(readUint31(first!.payload, 0)).toBe(2 ** 31 - 1);
  expect(codeOf(first!)).toBe(ErrorCode.NO_ERROR);
  expect(probe).toMatchObject({ type: FrameType.PING, flags: 0 });

  // A peer that answers PINGs first has requests queued behind the answer.
  end.receive(headers(3, POST), frame(FrameType.PING, Flag.ACK, 0, probe!.payload), headers(5, POST));
  const [again] = end.takeFrames();
  expect(again).toMatchObject({ type: FrameType.PING, flags: 0 });
  expect(again!.payload).not.toEqual(probe!.payload);

  end.receive(frame(FrameType.PING, Flag.ACK, 0, again!.payload));
  const [last] = end.takeFrames();
  expect(readUint31(last!.payload, 0)).toBe(5);

  end.receive(headers(7, POST), data(7, 100, Flag.END_STREAM), headers(9, GET, END));
  expect(end.of('headers').map((event) => event.streamId)).toEqual([1, 3, 5]);
  expect(end.closeReason).toBeUndefined();
  for (const streamId of [1, 3, 5]) {
    end.receive(data(streamId, 1, Flag.END_STREAM));
    end.connection.sendHeaders(streamId, OK, true);
  }
  expect(end.closeReason).toBe('graceful');
  expect(end.of('reset')).toEqual([]);
});

test('a client drains at once: no new requests, and the end with the last stream', () => {
  const end = ready('client');
  end.connection.request(CONNECT, false);
  end.connection.shutdown('graceful');
  expect(end.connection.request(CONNECT, false)).toBeUndefined();
  expect(end.closeReason).toBeUndefined();
  end.receive(headers(1, OK), data(1, 1, Flag.END_STREAM));
  end.connection.sendData(1, octets(1), true);
  expect(end.closeReason).toBe('graceful');
});

test('an abrupt shutdown resets every stream first, with a code that is no clean end', () => {
  const end = ready('server');
  end.receive(headers(1, CONNECT), headers(3, CONNECT));
  end.connection.shutdown('abrupt');
  expect(errorsSent(end)).toEqual([`GOAWAY ${ErrorCode.NO_ERROR}`]);
  expect(end.events.slice(-3).map((event) => event.kind)).toEqual(['reset', 'reset', 'close']);
  expect(end.of('close')).toMatchObject([{ reason: 'aborted' }]);
  expect(end.of('reset').map((event) => event.code)).toEqual([ErrorCode.INTERNAL_ERROR, ErrorCode.INTERNAL_ERROR]);
});

test('a lost transport resets every stream, then the connection is over', () => {
  const end = ready('client');
  end.connection.request(CONNECT, false);
  end.connection.transportClosed();
  expect(end.of('reset')).toEqual([{ kind: 'reset', streamId: 1, code: ErrorCode.INTERNAL_ERROR, local: true }]);
  expect(end.closeReason).toBe('transport-closed');
});

test('a GOAWAY of the server returns the streams it did not process, and lets the others finish', () => {
  const end = ready('client');
  end.connection.request(CONNECT, false);
  end.connection.request(CONNECT, false);
  end.receive(goaway(1, 0));
  expect(end.of('goaway')).toEqual([{ kind: 'goaway', lastStreamId: 1, code: 0 }]);
  expect(end.of('reset')).toEqual([{ kind: 'reset', streamId: 3, code: ErrorCode.REFUSED_STREAM, local: false }]);
  expect(end.connection.availableStreams).toBe(0);
  expect(end.connection.isDraining).toBe(true);
  end.receive(headers(1, OK, END));
  expect(end.closeReason).toBeUndefined();
  end.connection.sendData(1, octets(0), true);
  expect(end.closeReason).toBe('peer-goaway');
});

test('the connection asks for the time before it plans anything', () => {
  const end = new Recorder('server');
  expect(end.connection.nextDeadline()).toBe(0);
  end.connection.tick(5_000);
  expect(end.connection.nextDeadline()).toBe(5_000 + LIMITS.SETTINGS_TIMEOUT);
});

test('a peer that never says anything is dropped after the settings timeout', () => {
  const end = new Recorder('server');
  end.connection.tick(0);
  end.connection.tick(LIMITS.SETTINGS_TIMEOUT - 1);
  expect(end.closeReason).toBeUndefined();
  end.connection.tick(LIMITS.SETTINGS_TIMEOUT);
  expect(end.closeReason).toBe('keepalive-timeout');
  expect(errorsSent(end)).toEqual([`GOAWAY ${ErrorCode.SETTINGS_TIMEOUT}`]);
});

test('PING goes out every 10 s as long as it is answered, and 20 s without an answer end the connection', () => {
  const end = new Recorder('server');
  end.now = 0;
  end.receive(clientHello(), headers(1, CONNECT));
  end.takeBytes();
  expect(end.connection.nextDeadline()).toBe(10_000);
  end.connection.tick(9_999);
  expect(end.takeBytes().length).toBe(0);
  end.connection.tick(10_000);
  const [first] = end.takeFrames();
  expect(first).toMatchObject({ type: FrameType.PING, flags: 0 });
  end.connection.tick(20_000);
  expect(end.takeBytes().length).toBe(0);
  end.now = 20_001;
  end.receive(frame(FrameType.PING, Flag.ACK, 0, first!.payload));
  end.connection.tick(30_000);
  expect(end.takeFrames()).toMatchObject([{ type: FrameType.PING, flags: 0 }]);
  // Data is no answer: a peer that drips must not live for ever.
  end.now = 49_000;
  end.receive(data(1, 1));
  end.connection.tick(49_999);
  expect(end.closeReason).toBeUndefined();
  end.connection.tick(50_000);
  expect(end.closeReason).toBe('keepalive-timeout');
  expect(end.of('reset')).toMatchObject([{ streamId: 1, code: ErrorCode.INTERNAL_ERROR }]);
});

test('acknowledgements of PINGs this end never sent do not count', () => {
  const end = ready('server');
  end.connection.tick(end.now);
  end.connection.tick(end.now + 10_000);
  end.receive(ping(Flag.ACK));
  end.connection.tick(end.now + 30_000);
  expect(end.closeReason).toBe('keepalive-timeout');
});

test('the handler may do anything but receive from within a callback', () => {
  const end = ready('server');
  end.reactions.onHeaders = (streamId) => {
    if (streamId === 1) end.connection.sendHeaders(streamId, OK, true);
    if (streamId === 3) end.connection.reset(streamId, ErrorCode.CANCEL);
    if (streamId === 5) end.connection.shutdown('abrupt');
  };
  end.reactions.onData = (streamId) => end.connection.reset(streamId, ErrorCode.CANCEL);
  end.receive(headers(1, POST), data(1, 10), headers(3, POST), data(3, 10), headers(5, POST), data(5, 10), headers(7, POST));
  expect(end.of('headers').map((event) => event.streamId)).toEqual([1, 3, 5]);
  expect(end.of('data').map((event) => event.streamId)).toEqual([1]);
  expect(end.of('close').length).toBe(1);
});

test('an answer to the first of two PINGs does not stand for the second', () => {
  const end = new Recorder('server');
  end.now = 0;
  end.receive(clientHello(), headers(1, CONNECT));
  end.connection.tick(10_000);
  const [first] = end.takeFrames().slice(-1);
  end.connection.shutdown('graceful');
  end.now = 11_000;
  end.receive(frame(FrameType.PING, Flag.ACK, 0, first!.payload));
  expect(end.connection.nextDeadline()).toBe(20_000);
  end.connection.tick(20_000);
  end.connection.tick(31_000);
  expect(end.closeReason).toBe('keepalive-timeout');
});

test('a peer without a header table gets headers that need none', () => {
  const end = ready('client');
  end.receive(settings([SettingId.HEADER_TABLE_SIZE, 0]));
  end.takeBytes();
  end.connection.request(CONNECT, false);
  end.connection.request(CONNECT, false);
  const [first, second] = end.takeFrames();
  expect(first!.payload[0]).toBe(0x20);
  expect(first!.payload.subarray(1)).toEqual(second!.payload);
});

test('an output that is full may end the connection from within a write', () => {
  const end = ready('server');
  end.receive(headers(1, CONNECT), headers(3, CONNECT));
  end.connection.sendHeaders(1, OK, false);
  let writes = 0;
  end.writeData = () => {
    if (++writes === 2) end.connection.shutdown('abrupt');
  };
  end.connection.sendData(1, octets(65_535), true);
  expect(writes).toBe(2);
  expect(end.of('reset').map((event) => event.streamId)).toEqual([1, 3]);
  expect(end.of('close').length).toBe(1);
  end.takeBytes();
  end.receive(data(3, 40_000));
  expect(end.takeBytes().length).toBe(0);
});
