import { expect, test } from 'bun:test';
import { Flag, FrameType, PREFACE, readUint31, SettingId } from './frames.ts';
import { Pair } from './testing/pair.ts';
import { CONNECT, data, headers, OK, octets, POST, resetStream, settings, settingsAck, windowUpdate } from './testing/raw.ts';
import { errorsSent, Recorder, ready } from './testing/recorder.ts';
import { ErrorCode } from './types.ts';

const credits = (end: Recorder): [streamId: number, size: number][] =>
  end
    .takeFrames()
    .filter((found) => found.type === FrameType.WINDOW_UPDATE)
    .map((found) => [found.streamId, readUint31(found.payload, 0)]);

/** A server with streams that are answered and may send. */
function answering(streams: number): Recorder {
  const end = ready('server');
  for (let index = 0; index < streams; index++) {
    end.receive(headers(index * 2 + 1, CONNECT));
    end.connection.sendHeaders(index * 2 + 1, OK, false);
  }
  end.takeBytes();
  return end;
}

test('credit is announced once half of a window was consumed, not octet by octet', () => {
  const end = ready('server', { streamWindow: 100_000, connectionWindow: 400_000 });
  end.receive(headers(1, POST));
  for (let sent = 0; sent < 100_000; sent += 10_000) end.receive(data(1, 10_000));
  for (let taken = 0; taken < 40_000; taken += 1_000) end.connection.consumed(1, 1_000);
  expect(credits(end)).toEqual([]);
  end.connection.consumed(1, 10_000);
  expect(credits(end)).toEqual([[1, 50_000]]);
  end.connection.consumed(1, 50_000);
  expect(credits(end)).toEqual([[1, 50_000]]);
});

test('credit is announced early when the sender is about to stall', () => {
  const end = ready('server', { streamWindow: 1_000_000, connectionWindow: 4_000_000 });
  end.receive(headers(1, POST));
  for (let sent = 0; sent < 990_000; sent += 10_000) end.receive(data(1, 10_000));
  end.connection.consumed(1, 60_000);
  expect(credits(end)).toEqual([]);
  end.connection.consumed(1, 10_000);
  expect(credits(end)).toEqual([[1, 70_000]]);
});

test('padding is credited by itself', () => {
  const end = ready('server', { streamWindow: 65_535, connectionWindow: 65_535 });
  end.receive(headers(1, POST));
  const padded = new Uint8Array(9 + 256).fill(0);
  padded.set([0, 1, 0, FrameType.DATA, Flag.PADDED, 0, 0, 0, 1, 254, 7]);
  for (let count = 0; count < 300; count++) {
    end.receive(padded);
    end.connection.consumed(1, 1);
  }
  expect(errorsSent(end)).toEqual([]);
});

test('what an application holds of a stream that was reset returns to the connection at once', () => {
  const end = ready('server', { streamWindow: 65_535, connectionWindow: 65_535 });
  end.receive(headers(1, POST), data(1, 16_384), data(1, 16_384), data(1, 16_384));
  end.receive(resetStream(1, 8));
  expect(credits(end)).toEqual([[0, 49_152]]);
  end.connection.consumed(1, 49_152);
  expect(credits(end)).toEqual([]);
});

test('what an application holds of a stream that ended well returns when it is consumed, or given up with reset', () => {
  const end = ready('server', { streamWindow: 65_535, connectionWindow: 65_535 });
  for (const streamId of [1, 3]) {
    end.receive(headers(streamId, POST), data(streamId, 16_000), data(streamId, 16_000, Flag.END_STREAM));
    end.connection.sendHeaders(streamId, OK, true);
  }
  expect(end.connection.openStreams).toBe(0);
  expect(credits(end)).toEqual([]);
  end.connection.consumed(1, 32_000);
  expect(credits(end)).toEqual([]);
  end.connection.reset(3, ErrorCode.CANCEL);
  expect(credits(end)).toEqual([[0, 64_000]]);
});

test('a peer that ignores the stream window is reset, one that ignores the connection window is dropped', () => {
  const end = ready('server', { streamWindow: 20_000, connectionWindow: 65_535 });
  end.receive(headers(1, POST), data(1, 20_001));
  expect(errorsSent(end)).toEqual([`RST_STREAM 1 ${ErrorCode.FLOW_CONTROL_ERROR}`]);
  const other = ready('server', { streamWindow: 65_535, connectionWindow: 65_535 });
  other.receive(headers(1, POST), headers(3, POST), data(1, 40_000), data(3, 30_000));
  expect(errorsSent(other)).toEqual([`GOAWAY ${ErrorCode.FLOW_CONTROL_ERROR}`]);
  expect(other.closeReason).toBe('flow-control');
});

test('sending stops at the stream window and goes on when it opens', () => {
  const end = answering(1);
  expect(end.connection.sendCapacity(1)).toBe(65_535);
  expect(end.connection.sendData(1, octets(100_000), true)).toBe(65_535);
  const sent = end.takeFrames();
  expect(sent.map((found) => found.payload.length)).toEqual([16_384, 16_384, 16_384, 16_383]);
  expect(sent.every((found) => found.flags === 0)).toBe(true);
  end.receive(windowUpdate(1, 40_000));
  expect(end.of('writable')).toEqual([]);
  end.receive(windowUpdate(0, 40_000));
  expect(end.of('writable')).toEqual([{ kind: 'writable', streamId: 1 }]);
  expect(end.connection.sendData(1, octets(34_465), true)).toBe(34_465);
  expect(end.takeFrames().map((found) => found.flags)).toEqual([0, 0, Flag.END_STREAM]);
});

test('a smaller initial window can leave a stream in debt, and settings can lift it out again', () => {
  const end = answering(1);
  end.connection.sendData(1, octets(60_000), false);
  end.receive(settings([SettingId.INITIAL_WINDOW_SIZE, 10_000]));
  expect(end.connection.sendCapacity(1)).toBe(0);
  expect(end.connection.sendData(1, octets(1), false)).toBe(0);
  end.receive(windowUpdate(1, 50_000));
  expect(end.of('writable')).toEqual([]);
  end.receive(settings([SettingId.INITIAL_WINDOW_SIZE, 10_100]));
  expect(end.of('writable')).toEqual([{ kind: 'writable', streamId: 1 }]);
  expect(end.connection.sendCapacity(1)).toBe(100);
});

test('an empty DATA frame that ends a stream needs no window', () => {
  const end = answering(1);
  end.connection.sendData(1, octets(65_535), false);
  end.takeBytes();
  end.connection.sendData(1, octets(0), true);
  expect(end.takeFrames()).toMatchObject([{ type: FrameType.DATA, flags: Flag.END_STREAM }]);
});

test('one frame of the peer’s size is handed out without a copy', () => {
  const end = answering(1);
  const chunk = octets(16_384);
  const seen: Uint8Array[] = [];
  end.writeData = (_head, payload) => seen.push(payload);
  end.connection.sendData(1, chunk, false);
  expect(seen).toEqual([chunk]);
  expect(seen[0]).toBe(chunk);
});

test('when the connection window opens, waiting streams take turns', () => {
  const end = answering(4);
  end.receive(settings([SettingId.INITIAL_WINDOW_SIZE, 10_000_000]));
  const sent = new Map<number, number>();
  // As greedy as an application can be: it goes on until nothing is taken any more.
  const offer = (streamId: number): void => {
    for (let taken = 1; taken > 0; ) {
      taken = end.connection.sendData(streamId, octets(100_000), false);
      sent.set(streamId, (sent.get(streamId) ?? 0) + taken);
    }
  };
  for (const streamId of [1, 3, 5, 7]) offer(streamId);
  sent.clear();
  end.reactions.onWritable = offer;
  end.receive(windowUpdate(0, 4 * 65_536));
  expect([...sent.values()]).toEqual([65_536, 65_536, 65_536, 65_536]);
  sent.clear();
  for (let round = 0; round < 20; round++) end.receive(windowUpdate(0, 300_000));
  const amounts = [1, 3, 5, 7].map((streamId) => sent.get(streamId) ?? 0);
  expect(amounts.reduce((sum, amount) => sum + amount)).toBe(6_000_000);
  expect(Math.max(...amounts) - Math.min(...amounts)).toBeLessThanOrEqual(131_072);
});

test('a stream that is reset while it waits leaves the queue', () => {
  const end = answering(2);
  end.receive(settings([SettingId.INITIAL_WINDOW_SIZE, 10_000_000]));
  for (const streamId of [1, 3]) end.connection.sendData(streamId, octets(100_000), false);
  end.receive(resetStream(1, 8), windowUpdate(0, 10));
  expect(end.of('writable')).toEqual([{ kind: 'writable', streamId: 3 }]);
});

test('a reader that does not consume stalls its own stream only', () => {
  const pair = new Pair();
  pair.server.recorder.reactions.onHeaders = (streamId) => pair.server.recorder.connection.sendHeaders(streamId, OK, false);
  const { connection } = pair.client.recorder;
  const slow = connection.request(CONNECT, false)!;
  const quick = connection.request(CONNECT, false)!;
  pair.settle();
  const size = 6 * 1024 * 1024;
  for (const streamId of [slow, quick]) {
    pair.client.bodies.set(streamId, { length: size, sent: 0, ended: false });
    pair.client.send(streamId, size);
  }
  for (let round = 0; round < 20; round++) {
    pair.settle();
    pair.server.consume(quick, size);
  }
  expect(pair.server.finished.has(quick)).toBe(true);
  expect(pair.server.received.get(slow)).toBe(4 * 1024 * 1024);
  pair.server.consume(slow, size);
  pair.settle();
  expect(pair.server.finished.has(slow)).toBe(true);
});

test('credit is exact: what was announced may be sent, and not one octet more', () => {
  const end = ready('server', { streamWindow: 30_000, connectionWindow: 400_000 });
  end.receive(headers(1, POST), data(1, 20_000));
  end.connection.consumed(1, 20_000);
  expect(credits(end)).toEqual([[1, 20_000]]);
  end.receive(data(1, 30_000));
  expect(errorsSent(end)).toEqual([]);
  end.receive(data(1, 1));
  expect(errorsSent(end)).toEqual([`RST_STREAM 1 ${ErrorCode.FLOW_CONTROL_ERROR}`]);
});

test('a smaller window than the default holds from the acknowledgement on, for streams already open too', () => {
  const early = new Recorder('server', { streamWindow: 20_000 });
  early.receive(PREFACE, settings(), headers(1, POST), data(1, 65_535));
  expect(errorsSent(early)).toEqual([]);
  const late = new Recorder('server', { streamWindow: 20_000 });
  late.receive(PREFACE, settings(), headers(1, POST), settingsAck(), data(1, 20_001));
  expect(errorsSent(late)).toEqual([`RST_STREAM 1 ${ErrorCode.FLOW_CONTROL_ERROR}`]);
});

test('streams leave no trace once their data was consumed', () => {
  const end = ready('server');
  // Memory has no other outside than this table.
  const { byId } = (end.connection as unknown as { core: { streams: { byId: Map<number, unknown> } } }).core.streams;
  for (let index = 0; index < 50; index++) {
    const streamId = index * 2 + 1;
    end.receive(headers(streamId, POST), data(streamId, 10, Flag.END_STREAM));
    end.connection.sendHeaders(streamId, OK, true);
    expect(byId.size).toBe(1);
    end.connection.consumed(streamId, 10);
    expect(byId.size).toBe(0);
  }
});
