import { expect, setDefaultTimeout, test } from 'bun:test';
import { Flag, FrameType } from './frames.ts';
import { LIMITS } from './limits.ts';
import { CONNECT, concat, data, frame, GET, headers, octets, POST, ping, resetStream, settings, windowUpdate } from './testing/raw.ts';
import { errorsSent, type Recorder, ready } from './testing/recorder.ts';
import { ErrorCode, type Http2CloseReason } from './types.ts';

// The machine may be busy with other things; no test here measures time.
setDefaultTimeout(60_000);

const CALM = `GOAWAY ${ErrorCode.ENHANCE_YOUR_CALM}`;
const END = Flag.END_STREAM | Flag.END_HEADERS;
const clientId = (index: number): number => index * 2 + 1;

/** Sends `times` of something and expects peace; then `more` and expects the end with `reason`. */
function expectLimit(end: Recorder, times: number, more: number, send: (index: number) => void, reason: Http2CloseReason): void {
  for (let index = 0; index < times; index++) send(index);
  expect(end.closeReason).toBeUndefined();
  for (let index = times; index < times + more; index++) send(index);
  expect(end.closeReason).toBe(reason);
  expect(errorsSent(end).at(-1)).toBe(CALM);
}

test('streams that are opened and reset before they are answered end the connection (rapid reset)', () => {
  const end = ready('server');
  expectLimit(
    end,
    LIMITS.UNANSWERED_RESETS,
    1,
    (index) => end.receive(headers(clientId(index), GET, END), resetStream(clientId(index), 8)),
    'rapid-reset',
  );
});

test('streams that are reset after their answer do not count: applications go away', () => {
  const end = ready('server');
  end.reactions.onHeaders = (streamId) => end.connection.sendHeaders(streamId, [[':status', '200']], false);
  for (let index = 0; index < LIMITS.UNANSWERED_RESETS * 2; index++)
    end.receive(headers(clientId(index), CONNECT), resetStream(clientId(index), 8));
  expect(end.closeReason).toBeUndefined();
  expect(end.connection.openStreams).toBe(0);
});

test('resets spread over time do not end the connection', () => {
  const end = ready('server');
  for (let index = 0; index < LIMITS.UNANSWERED_RESETS * 3; index++) {
    end.now += LIMITS.FLOOD_WINDOW / LIMITS.UNANSWERED_RESETS + 1;
    end.receive(headers(clientId(index), GET, END), resetStream(clientId(index), 8));
  }
  expect(end.closeReason).toBeUndefined();
});

test('streams this end has to reset for malformed requests end the connection', () => {
  const end = ready('server');
  expectLimit(end, LIMITS.FAULT_RESETS, 1, (index) => end.receive(headers(clientId(index), [[':method', 'GET']], END)), 'rapid-reset');
});

test('requests beyond the stream limit are refused, and a flood of them ends the connection', () => {
  const end = ready('server', { maxConcurrentStreams: 1 });
  end.receive(headers(1, POST));
  expectLimit(end, LIMITS.FAULT_RESETS, 1, (index) => end.receive(headers(clientId(index + 1), POST)), 'rapid-reset');
});

test('RST_STREAM over and over on a finished stream ends the connection', () => {
  const end = ready('server');
  end.receive(headers(1, GET, END), resetStream(1, 8));
  expectLimit(end, LIMITS.UNANSWERED_RESETS + 1, 1, () => end.receive(resetStream(1, 8)), 'rapid-reset');
});

test('a flood of SETTINGS ends the connection', () => {
  const end = ready('server');
  expectLimit(end, LIMITS.SETTINGS_FRAMES - 2, 1, () => end.receive(settings()), 'settings-flood');
});

test('a flood of PING ends the connection', () => {
  const end = ready('server');
  expectLimit(end, LIMITS.PINGS, 1, () => end.receive(ping()), 'ping-flood');
});

test('a PING for every DATA frame is allowed, however many: that is how peers probe bandwidth', () => {
  const end = ready('server');
  end.receive(headers(1, POST));
  for (let index = 0; index < LIMITS.PINGS * 3; index++) end.receive(data(1, 1), ping());
  expect(end.closeReason).toBeUndefined();
});

test('a flood of empty DATA frames ends the connection', () => {
  const end = ready('server');
  end.receive(headers(1, POST));
  expectLimit(end, LIMITS.EMPTY_FRAMES, 1, () => end.receive(data(1, 0)), 'empty-frames-flood');
});

test('a flood of DATA frames that are padding only ends the connection', () => {
  const end = ready('server');
  end.receive(headers(1, POST));
  const padded = frame(FrameType.DATA, Flag.PADDED, 1, concat(Uint8Array.of(3), octets(3, 0)));
  expectLimit(end, LIMITS.EMPTY_FRAMES, 1, () => end.receive(padded), 'empty-frames-flood');
});

test('a flood of frames of unknown types ends the connection', () => {
  const end = ready('server');
  expectLimit(end, LIMITS.EMPTY_FRAMES, 1, () => end.receive(frame(0xbe, 0, 0)), 'empty-frames-flood');
});

test('a flood of PRIORITY ends the connection', () => {
  const end = ready('server');
  expectLimit(end, LIMITS.PRIORITY_FRAMES, 1, () => end.receive(frame(FrameType.PRIORITY, 0, 1, octets(5, 0))), 'empty-frames-flood');
});

test('a flood of WINDOW_UPDATE ends the connection', () => {
  const end = ready('server');
  expectLimit(end, LIMITS.WINDOW_UPDATES, 1, () => end.receive(windowUpdate(0, 1)), 'window-update-flood');
});

test('a WINDOW_UPDATE for every KiB that was sent is allowed', () => {
  const end = ready('server');
  end.receive(headers(1, POST));
  end.connection.sendHeaders(1, [[':status', '200']], false);
  const kib = octets(1024);
  for (let index = 0; index < LIMITS.WINDOW_UPDATES * 2; index++) {
    expect(end.connection.sendData(1, kib, false)).toBe(1024);
    end.takeBytes();
    end.receive(windowUpdate(index % 2 === 0 ? 0 : 1, 2048));
  }
  expect(end.closeReason).toBeUndefined();
});

test('a header block in too many CONTINUATION frames ends the connection', () => {
  const end = ready('server');
  end.receive(headers(1, GET, Flag.END_STREAM));
  expectLimit(end, LIMITS.HEADER_BLOCK_FRAMES - 1, 1, () => end.receive(frame(FrameType.CONTINUATION, 0, 1)), 'continuation-flood');
});

test('a header block that grows past its limit ends the connection before it is decoded', () => {
  const end = ready('server', { maxHeaderListSize: 16_384 });
  end.receive(headers(1, GET, Flag.END_STREAM));
  expectLimit(end, 3, 1, () => end.receive(frame(FrameType.CONTINUATION, 0, 1, octets(10_000))), 'header-list-too-large');
});

test('a flood is counted for the client as well', () => {
  const end = ready('client');
  expectLimit(end, LIMITS.PINGS, 1, () => end.receive(ping()), 'ping-flood');
});
