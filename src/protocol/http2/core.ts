import { HpackDecoder } from '../hpack/decoder.ts';
import { ENCODER_TABLE_LIMIT, HpackEncoder } from '../hpack/encoder.ts';
import { FloodGuard } from './flood-guard.ts';
import { FrameWriter } from './frame-writer.ts';
import { DEFAULT_WINDOW, FRAME_HEAD, LARGEST_STREAM_ID } from './frames.ts';
import { Keepalive } from './keepalive.ts';
import { ReceiveFlow } from './receive-flow.ts';
import { SendFlow } from './send-flow.ts';
import { Past, StreamState, StreamTable } from './stream.ts';
import type { HeaderList, Http2CloseReason, Http2Handler, Http2Output, Http2Role, Http2Settings } from './types.ts';
import { ErrorCode } from './types.ts';

/** How far a graceful shutdown is: not begun; the peer was told; the peer also knows the last stream that counts. */
export const Drain = { NO: 0, ANNOUNCED: 1, FINAL: 2 } as const;
/**
 * PINGs answered before a graceful shutdown names its last stream. One is not enough: a peer may answer the first ahead of requests that it had already queued,
 * as Rust's h2 does, but not the second.
 */
const DRAIN_ROUNDS = 2;

/** The state of a connection and the few moves that end a stream or the connection. What arrives is in `inbound.ts`, what the application asks in `connection.ts`. */
export class ConnectionCore {
  readonly role: Http2Role;
  readonly settings: Http2Settings;
  readonly handler: Http2Handler;
  readonly writer: FrameWriter;
  readonly guard = new FloodGuard();
  readonly streams = new StreamTable();
  readonly encoder = new HpackEncoder();
  readonly decoder: HpackDecoder;
  readonly receiveFlow: ReceiveFlow;
  readonly sendFlow: SendFlow;
  readonly keepalive: Keepalive;
  /** The peer's SETTINGS, and whether they came. */
  hasPeerSettings = false;
  peerInitialWindow: number = DEFAULT_WINDOW;
  peerMaxStreams: number;
  /** The highest stream id the peer opened (server). */
  lastPeerStream = 0;
  /** The id of the next stream this end opens (client). */
  nextLocalStream = 1;
  drain: number = Drain.NO;
  drainPing = 0;
  drainRounds = 0;
  hasPeerGoaway = false;
  peerGoawayDetail = '';
  isClosed = false;

  constructor(role: Http2Role, settings: Http2Settings, handler: Http2Handler, output: Http2Output) {
    this.role = role;
    this.settings = settings;
    this.handler = handler;
    this.writer = new FrameWriter(output);
    this.decoder = new HpackDecoder({ tableSize: ENCODER_TABLE_LIMIT, listSize: settings.maxHeaderListSize });
    this.receiveFlow = new ReceiveFlow(this.writer, settings.streamWindow, settings.connectionWindow);
    this.sendFlow = new SendFlow(this.writer, handler, this.guard);
    this.keepalive = new Keepalive(this.writer, settings.keepaliveInterval, settings.keepaliveTimeout);
    this.peerMaxStreams = settings.assumedMaxConcurrentStreams;
  }

  openStream(streamId: number): StreamState {
    const stream = new StreamState(streamId, this.peerInitialWindow, this.receiveFlow.initialStreamWindow);
    this.streams.add(stream);
    return stream;
  }

  writeHeaders(streamId: number, headers: HeaderList, endStream: boolean): void {
    this.writer.headers(streamId, this.encoder.encode(headers, FRAME_HEAD), endStream);
  }

  /** Closes a stream once both ends said END_STREAM. */
  settle(stream: StreamState): void {
    if (stream.isLocalEnded && stream.isRemoteEnded && !stream.isClosed) {
      this.close(stream, Past.ENDED);
      this.finishIfDone();
    }
  }

  /** Takes a stream out of service. Data the application still holds keeps its credit only after a normal end. */
  close(stream: StreamState, past: number): void {
    if (stream.isClosed) return;
    stream.isClosed = true;
    this.streams.open--;
    this.streams.remember(stream.id, past);
    this.sendFlow.forget(stream);
    if (stream.held > 0 && stream.isLocalEnded && stream.isRemoteEnded) return;
    this.release(stream);
  }

  /** Returns the credit of everything the application holds of a stream, and forgets the stream. */
  release(stream: StreamState): void {
    this.streams.remove(stream);
    const held = stream.held;
    stream.held = 0;
    if (held > 0 && !this.isClosed) this.receiveFlow.creditConnection(held);
  }

  /** Resets a stream for the peer's fault. */
  fault(stream: StreamState, code: ErrorCode): void {
    if (stream.isClosed) return;
    this.writer.resetStream(stream.id, code);
    this.close(stream, Past.RESET_BY_US);
    if (stream.isAnnounced) this.handler.onReset(stream.id, code, true);
    this.countFault();
    this.finishIfDone();
  }

  /** Resets a stream the handler never heard of. */
  refuse(streamId: number, code: ErrorCode): void {
    this.writer.resetStream(streamId, code);
    this.streams.remember(streamId, Past.RESET_BY_US);
    this.countFault();
  }

  countFault(): void {
    this.flood(this.guard.faultReset(), 'too many streams had to be reset for the peer’s faults');
  }

  /** Ends the connection when a flood guard gave a reason; says whether it did. */
  flood(reason: Http2CloseReason | undefined, detail: string): boolean {
    if (reason === undefined || this.isClosed) return false;
    this.fail(ErrorCode.ENHANCE_YOUR_CALM, reason, detail);
    return true;
  }

  /** A connection error: GOAWAY with the code, then the end. */
  fail(code: ErrorCode, reason: Http2CloseReason, detail: string): void {
    if (this.isClosed) return;
    this.writer.goaway(this.lastPeerStream, code, detail);
    this.end(reason, detail, code);
  }

  /** The end, without a word on the wire. Streams still open fail with `code`, never with one that could pass for a clean end. */
  end(reason: Http2CloseReason, detail: string, code: ErrorCode): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.sendFlow.stop();
    const streams = [...this.streams.byId.values()];
    this.streams.byId.clear();
    this.streams.open = 0;
    for (const stream of streams) {
      if (stream.isClosed) continue;
      stream.isClosed = true;
      if (stream.isAnnounced) this.handler.onReset(stream.id, code === ErrorCode.NO_ERROR ? ErrorCode.INTERNAL_ERROR : code, true);
    }
    this.handler.onClose(reason, detail);
  }

  /** The peer has answered a PING behind the announcement. */
  drainAcknowledged(): void {
    if (++this.drainRounds < DRAIN_ROUNDS) this.drainPing = this.keepalive.ping();
    else this.finalGoaway();
  }

  /** Second half of a graceful shutdown: from here on new streams of the peer are ignored. */
  finalGoaway(): void {
    this.drain = Drain.FINAL;
    this.writer.goaway(this.lastPeerStream, ErrorCode.NO_ERROR, '');
    this.finishIfDone();
  }

  finishIfDone(): void {
    if (this.isClosed || this.streams.open > 0) return;
    if (this.drain === Drain.FINAL) this.end('graceful', 'all streams are done', ErrorCode.NO_ERROR);
    else if (this.hasPeerGoaway) {
      this.writer.goaway(this.lastPeerStream, ErrorCode.NO_ERROR, '');
      this.end('peer-goaway', this.peerGoawayDetail, ErrorCode.NO_ERROR);
    }
  }

  /** Streams this end may still open. */
  get available(): number {
    if (this.role === 'server' || this.isClosed || this.drain !== Drain.NO || this.hasPeerGoaway) return 0;
    const ids = Math.floor((LARGEST_STREAM_ID - this.nextLocalStream) / 2) + 1;
    return Math.max(0, Math.min(this.peerMaxStreams - this.streams.open, ids));
  }

  /** Whether no frame can have opened this stream yet. */
  isIdle(streamId: number): boolean {
    if (this.role === 'server') return streamId % 2 === 0 || streamId > this.lastPeerStream;
    return streamId % 2 === 0 || streamId >= this.nextLocalStream;
  }
}
