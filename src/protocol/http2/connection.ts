import { ConnectionCore, Drain } from './core.ts';
import { FrameReader } from './frame-reader.ts';
import { DEFAULT_FRAME_SIZE, LARGEST_FRAME_SIZE, LARGEST_WINDOW, PREFACE, SettingId } from './frames.ts';
import { Inbound } from './inbound.ts';
import { Past, type StreamState } from './stream.ts';
import {
  ErrorCode,
  type HeaderList,
  type Http2Connection,
  type Http2Handler,
  type Http2Output,
  type Http2Role,
  type Http2Settings,
} from './types.ts';

/**
 * Starts one end of an HTTP/2 connection (RFC 9113). The preface and SETTINGS go to `output` before this returns.
 * Nothing the peer sends makes it throw; every violation ends the stream or the connection with the RFC's code.
 * Throws a RangeError for settings that HTTP/2 cannot express: the caller's mistake.
 */
export function createHttp2Connection(
  role: Http2Role,
  settings: Http2Settings,
  handler: Http2Handler,
  output: Http2Output,
): Http2Connection {
  requireValid(settings);
  return new Connection(role, settings, handler, output);
}

function requireValid(settings: Http2Settings): void {
  const ranges: readonly (readonly [field: keyof Http2Settings, least: number, most: number])[] = [
    ['streamWindow', 1, LARGEST_WINDOW],
    ['connectionWindow', 1, LARGEST_WINDOW],
    ['maxFrameSize', DEFAULT_FRAME_SIZE, LARGEST_FRAME_SIZE],
    ['maxHeaderListSize', 1, LARGEST_WINDOW],
    ['maxConcurrentStreams', 0, LARGEST_WINDOW],
  ];
  for (const [field, least, most] of ranges) {
    const value = settings[field];
    if (!Number.isInteger(value) || value < least || value > most)
      throw new RangeError(`HTTP/2 setting ${field} is ${value}; it must be a whole number from ${least} to ${most}`);
  }
}

class Connection implements Http2Connection {
  private readonly core: ConnectionCore;
  private readonly reader: FrameReader;

  constructor(role: Http2Role, settings: Http2Settings, handler: Http2Handler, output: Http2Output) {
    this.core = new ConnectionCore(role, settings, handler, output);
    this.reader = new FrameReader(new Inbound(this.core), role === 'server');
    const { writer, receiveFlow } = this.core;
    if (role === 'client') writer.raw(PREFACE);
    writer.settings([
      role === 'client' ? [SettingId.ENABLE_PUSH, 0] : [SettingId.MAX_CONCURRENT_STREAMS, settings.maxConcurrentStreams],
      [SettingId.INITIAL_WINDOW_SIZE, settings.streamWindow],
      [SettingId.MAX_FRAME_SIZE, settings.maxFrameSize],
      [SettingId.MAX_HEADER_LIST_SIZE, settings.maxHeaderListSize],
    ]);
    receiveFlow.start();
  }

  receive(chunk: Uint8Array, now: number): void {
    if (this.core.isClosed) return;
    this.core.keepalive.see(now);
    this.core.guard.advance(now);
    this.reader.push(chunk);
  }

  request(headers: HeaderList, endStream: boolean): number | undefined {
    const core = this.core;
    if (core.available === 0) return undefined;
    const streamId = core.nextLocalStream;
    core.writeHeaders(streamId, headers, endStream);
    core.nextLocalStream += 2;
    const stream = core.openStream(streamId);
    stream.isAnnounced = true;
    stream.isLocalEnded = endStream;
    for (const [name, value] of headers) {
      if (name !== ':method') continue;
      stream.isConnect = value === 'CONNECT';
      stream.isHead = value === 'HEAD';
      break;
    }
    return streamId;
  }

  sendHeaders(streamId: number, headers: HeaderList, endStream: boolean): void {
    const stream = this.sendable(streamId);
    if (stream === undefined) return;
    this.core.writeHeaders(streamId, headers, endStream);
    if (this.core.role === 'server' && !stream.isAnswered) {
      const status = headers.find(([name]) => name === ':status')?.[1] ?? '';
      stream.isAnswered = !status.startsWith('1');
      stream.isTunnel = stream.isConnect && status.startsWith('2');
    }
    if (!endStream) return;
    stream.isLocalEnded = true;
    this.core.settle(stream);
  }

  sendData(streamId: number, chunk: Uint8Array, endStream: boolean): number {
    const stream = this.sendable(streamId);
    if (stream === undefined) return 0;
    const taken = this.core.sendFlow.send(stream, chunk, endStream);
    if (stream.isLocalEnded) this.core.settle(stream);
    return taken;
  }

  sendCapacity(streamId: number): number {
    const stream = this.sendable(streamId);
    return stream === undefined ? 0 : this.core.sendFlow.capacity(stream);
  }

  private sendable(streamId: number): StreamState | undefined {
    const stream = this.core.streams.byId.get(streamId);
    return stream === undefined || stream.isClosed || stream.isLocalEnded ? undefined : stream;
  }

  consumed(streamId: number, length: number): void {
    const core = this.core;
    const stream = core.streams.byId.get(streamId);
    if (stream === undefined) return;
    const taken = Math.min(length, stream.held);
    if (taken <= 0) return;
    stream.held -= taken;
    core.receiveFlow.creditConnection(taken);
    if (stream.isClosed) {
      if (stream.held === 0) core.release(stream);
    } else core.receiveFlow.creditStream(stream, taken);
  }

  reset(streamId: number, code: ErrorCode): void {
    const core = this.core;
    const stream = core.streams.byId.get(streamId);
    if (stream === undefined) return;
    if (stream.isClosed) {
      core.release(stream);
      return;
    }
    core.writer.resetStream(streamId, code);
    core.close(stream, Past.RESET_BY_US);
    core.finishIfDone();
  }

  shutdown(mode: 'graceful' | 'abrupt', code: ErrorCode = ErrorCode.NO_ERROR): void {
    const core = this.core;
    if (core.isClosed) return;
    if (mode === 'abrupt') {
      core.writer.goaway(core.lastPeerStream, code, '');
      core.end('aborted', 'closed by this end', code);
      return;
    }
    if (core.drain !== Drain.NO) return;
    // A client refuses nothing, and before the peer's SETTINGS nothing can be under way: one GOAWAY says it all.
    if (core.role === 'client' || !core.hasPeerSettings) {
      core.finalGoaway();
      return;
    }
    core.drain = Drain.ANNOUNCED;
    core.writer.goaway(2 ** 31 - 1, ErrorCode.NO_ERROR, '');
    core.drainPing = core.keepalive.ping();
  }

  transportClosed(): void {
    this.core.end('transport-closed', 'the transport closed', ErrorCode.INTERNAL_ERROR);
  }

  nextDeadline(): number {
    return this.core.isClosed ? Number.POSITIVE_INFINITY : this.core.keepalive.deadline;
  }

  tick(now: number): void {
    const core = this.core;
    if (core.isClosed) return;
    const missed = core.keepalive.tick(now);
    if (missed === 'settings') core.fail(ErrorCode.SETTINGS_TIMEOUT, 'keepalive-timeout', 'the peer did not acknowledge SETTINGS in time');
    else if (missed === 'ping') {
      core.writer.goaway(core.lastPeerStream, ErrorCode.NO_ERROR, 'keepalive timeout');
      core.end('keepalive-timeout', 'the peer did not answer PING in time', ErrorCode.INTERNAL_ERROR);
    }
  }

  get openStreams(): number {
    return this.core.streams.open;
  }

  get availableStreams(): number {
    return this.core.available;
  }

  get isDraining(): boolean {
    return this.core.isClosed || this.core.drain !== Drain.NO || this.core.hasPeerGoaway;
  }
}
