import type { ConnectionCore } from './core.ts';
import { Drain } from './core.ts';
import { type FrameSink, Want } from './frame-reader.ts';
import { DEFAULT_FRAME_SIZE, Flag, FrameType, LARGEST_WINDOW, readUint31, readUint32 } from './frames.ts';
import { HeaderBlock } from './header-block.ts';
import { receiveHeaders } from './inbound-headers.ts';
import { receiveSettings } from './inbound-settings.ts';
import { LIMITS } from './limits.ts';
import { Past, type StreamState } from './stream.ts';
import { ErrorCode, type Http2CloseReason } from './types.ts';

/** Octets of a GOAWAY payload that are read: the fixed part and some of the debug text. */
const GOAWAY_READ = 8 + 200;
/** Padding length octet, longest padding and priority fields of a HEADERS frame. */
const HEADERS_EXTRA = 1 + 255 + 5;

/** What arrives: checks each frame against RFC 9113 and the limits, moves the state, tells the handler. */
export class Inbound implements FrameSink {
  private readonly core: ConnectionCore;
  private readonly block = new HeaderBlock();
  private readonly largestFrame: number;
  private readonly largestBlock: number;
  private hasSettings = false;
  /** The DATA frame in progress; no stream when its octets only count for the connection. */
  private dataStream: StreamState | undefined;
  private dataLength = 0;
  private dataEnds = false;

  constructor(core: ConnectionCore) {
    this.core = core;
    this.largestFrame = Math.max(core.settings.maxFrameSize, DEFAULT_FRAME_SIZE);
    this.largestBlock = core.settings.maxHeaderListSize * LIMITS.HEADER_BLOCK_FACTOR;
  }

  onBadPreface(): void {
    this.core.fail(ErrorCode.PROTOCOL_ERROR, 'bad-preface', 'the first bytes are not the HTTP/2 connection preface');
  }

  onHead(length: number, type: number, flags: number, streamId: number): number {
    if (this.core.isClosed) return Want.STOP;
    if (!this.hasSettings) {
      if (type !== FrameType.SETTINGS || (flags & Flag.ACK) !== 0)
        return this.stop(ErrorCode.PROTOCOL_ERROR, 'bad-preface', `the first frame has type ${type}, not SETTINGS`);
      this.hasSettings = true;
    }
    if (length > this.largestFrame)
      return this.stop(ErrorCode.FRAME_SIZE_ERROR, 'frame-size', `a frame of ${length} octets exceeds ${this.largestFrame}`);
    if (this.block.isOpen && (type !== FrameType.CONTINUATION || streamId !== this.block.streamId))
      return this.stop(
        ErrorCode.PROTOCOL_ERROR,
        'protocol-error',
        `frame type ${type} inside the header block of stream ${this.block.streamId}`,
      );
    switch (type) {
      case FrameType.DATA:
        return this.dataHead(length, flags, streamId);
      case FrameType.HEADERS:
        return this.headersHead(length, streamId);
      case FrameType.CONTINUATION:
        return this.continuationHead(length, streamId);
      case FrameType.WINDOW_UPDATE:
        if (this.core.flood(this.core.guard.windowUpdate(), 'too many WINDOW_UPDATE frames')) return Want.STOP;
        return this.exactly(4, length, 'WINDOW_UPDATE');
      case FrameType.RST_STREAM:
        return this.onStream(streamId, 'RST_STREAM') ? this.exactly(4, length, 'RST_STREAM') : Want.STOP;
      case FrameType.PRIORITY:
        if (this.core.flood(this.core.guard.priority(), 'too many PRIORITY frames')) return Want.STOP;
        return this.onStream(streamId, 'PRIORITY') ? this.exactly(5, length, 'PRIORITY') : Want.STOP;
      case FrameType.SETTINGS:
        return this.onConnection(streamId, 'SETTINGS') ? this.settingsHead(length, flags) : Want.STOP;
      case FrameType.PING:
        if (this.core.flood(this.core.guard.ping(), 'too many PING frames')) return Want.STOP;
        return this.onConnection(streamId, 'PING') ? this.exactly(8, length, 'PING') : Want.STOP;
      case FrameType.GOAWAY:
        if (this.core.flood(this.core.guard.emptyFrame(), 'too many GOAWAY frames')) return Want.STOP;
        if (!this.onConnection(streamId, 'GOAWAY')) return Want.STOP;
        if (length < 8) return this.stop(ErrorCode.FRAME_SIZE_ERROR, 'frame-size', `GOAWAY of ${length} octets`);
        return Math.min(length, GOAWAY_READ);
      case FrameType.PUSH_PROMISE:
        return this.stop(ErrorCode.PROTOCOL_ERROR, 'protocol-error', 'PUSH_PROMISE, although push is off');
      default:
        return this.core.flood(this.core.guard.emptyFrame(), 'too many frames of unknown types') ? Want.STOP : 0;
    }
  }

  private dataHead(length: number, flags: number, streamId: number): number {
    const core = this.core;
    if (!this.onStream(streamId, 'DATA')) return Want.STOP;
    if (length === 0 && (flags & Flag.PADDED) !== 0)
      return this.stop(ErrorCode.FRAME_SIZE_ERROR, 'frame-size', 'padded DATA without a length');
    if (length > core.receiveFlow.remaining)
      return this.stop(ErrorCode.FLOW_CONTROL_ERROR, 'flow-control', `DATA of ${length} octets exceeds the connection window`);
    core.receiveFlow.remaining -= length;
    this.dataLength = length;
    this.dataEnds = (flags & Flag.END_STREAM) !== 0;
    this.dataStream = undefined;
    const stream = core.streams.byId.get(streamId);
    if (stream === undefined || stream.isClosed) return this.lateData(streamId);
    if (stream.isRemoteEnded) return this.faultyData(stream, ErrorCode.STREAM_CLOSED);
    if (core.role === 'client' && !stream.isAnswered) return this.faultyData(stream, ErrorCode.PROTOCOL_ERROR);
    if (length > stream.receiveWindow) return this.faultyData(stream, ErrorCode.FLOW_CONTROL_ERROR);
    stream.receiveWindow -= length;
    this.dataStream = stream;
    if (length > 0) core.guard.data();
    else if (!this.dataEnds && core.flood(core.guard.emptyFrame(), 'too many empty DATA frames')) return Want.STOP;
    return Want.DATA;
  }

  /** DATA on a stream that is not alive: fine after our reset, an error otherwise. */
  private lateData(streamId: number): number {
    const core = this.core;
    if (core.isIdle(streamId)) {
      // After the final GOAWAY new streams are ignored, and with them their data.
      if (core.drain === Drain.FINAL && core.role === 'server' && streamId % 2 === 1) return Want.DATA;
      return this.stop(ErrorCode.PROTOCOL_ERROR, 'protocol-error', `DATA on idle stream ${streamId}`);
    }
    const past = core.streams.pastOf(streamId);
    if (past === Past.RESET_BY_US) return Want.DATA;
    // Perhaps reset by us so long ago that it is forgotten: no reason to end the connection.
    if (past === Past.FORGOTTEN) {
      core.refuse(streamId, ErrorCode.STREAM_CLOSED);
      return core.isClosed ? Want.STOP : Want.DATA;
    }
    return this.stop(ErrorCode.STREAM_CLOSED, 'protocol-error', `DATA on closed stream ${streamId}`);
  }

  private faultyData(stream: StreamState, code: ErrorCode): number {
    this.core.fault(stream, code);
    return this.core.isClosed ? Want.STOP : Want.DATA;
  }

  onDataPadding(octets: number): boolean {
    const core = this.core;
    if (octets > this.dataLength) {
      core.fail(ErrorCode.PROTOCOL_ERROR, 'protocol-error', 'DATA with more padding than payload');
      return false;
    }
    const stream = this.dataStream;
    core.receiveFlow.creditConnection(octets);
    if (stream !== undefined && !stream.isClosed) core.receiveFlow.creditStream(stream, octets);
    if (octets < this.dataLength || this.dataEnds) return true;
    return !core.flood(core.guard.emptyFrame(), 'too many DATA frames of padding only');
  }

  onDataSlice(slice: Uint8Array, isLast: boolean): void {
    const core = this.core;
    const stream = this.dataStream;
    const size = slice.length;
    if (stream === undefined || stream.isClosed) {
      if (size > 0 && !core.isClosed) core.receiveFlow.creditConnection(size);
      return;
    }
    const ends = isLast && this.dataEnds;
    stream.held += size;
    if (stream.expectedLength >= 0) {
      stream.receivedLength += size;
      if (stream.receivedLength > stream.expectedLength || (ends && stream.receivedLength < stream.expectedLength)) {
        core.fault(stream, ErrorCode.PROTOCOL_ERROR);
        return;
      }
    }
    if (ends) stream.isRemoteEnded = true;
    else if (size === 0) return;
    core.handler.onData(stream.id, slice, ends);
    if (ends) core.settle(stream);
  }

  private headersHead(length: number, streamId: number): number {
    if (!this.onStream(streamId, 'HEADERS')) return Want.STOP;
    if (this.core.role === 'server' && streamId % 2 === 0)
      return this.stop(ErrorCode.PROTOCOL_ERROR, 'protocol-error', `a client may not open stream ${streamId}`);
    if (this.core.role === 'client' && this.core.isIdle(streamId))
      return this.stop(ErrorCode.PROTOCOL_ERROR, 'protocol-error', `HEADERS on stream ${streamId}, which was never opened`);
    if (length > this.largestBlock + HEADERS_EXTRA) return this.blockTooLarge();
    this.core.guard.headers();
    return length;
  }

  private continuationHead(length: number, streamId: number): number {
    if (!this.onStream(streamId, 'CONTINUATION')) return Want.STOP;
    if (!this.block.isOpen) return this.stop(ErrorCode.PROTOCOL_ERROR, 'protocol-error', 'CONTINUATION without HEADERS before it');
    if (++this.block.frames > LIMITS.HEADER_BLOCK_FRAMES)
      return this.stop(
        ErrorCode.ENHANCE_YOUR_CALM,
        'continuation-flood',
        `a header block of more than ${LIMITS.HEADER_BLOCK_FRAMES} frames`,
      );
    return this.block.total + length > this.largestBlock ? this.blockTooLarge() : length;
  }

  private blockTooLarge(): number {
    return this.stop(ErrorCode.ENHANCE_YOUR_CALM, 'header-list-too-large', `a header block of more than ${this.largestBlock} octets`);
  }

  private settingsHead(length: number, flags: number): number {
    if (this.core.flood(this.core.guard.settingsFrame(), 'too many SETTINGS frames')) return Want.STOP;
    if ((flags & Flag.ACK) !== 0) return this.exactly(0, length, 'a SETTINGS acknowledgement');
    if (length % 6 !== 0) return this.stop(ErrorCode.FRAME_SIZE_ERROR, 'frame-size', `SETTINGS of ${length} octets`);
    if (length > LIMITS.SETTINGS_ENTRIES * 6)
      return this.stop(ErrorCode.ENHANCE_YOUR_CALM, 'settings-flood', `SETTINGS with more than ${LIMITS.SETTINGS_ENTRIES} entries`);
    return length;
  }

  onPayload(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    switch (type) {
      case FrameType.HEADERS:
        this.headers(flags, streamId, payload);
        break;
      case FrameType.CONTINUATION:
        this.block.append(payload);
        if ((flags & Flag.END_HEADERS) !== 0) {
          const { endStream, dependsOnItself } = this.block;
          receiveHeaders(this.core, streamId, this.block.close(), endStream, dependsOnItself);
        }
        break;
      case FrameType.WINDOW_UPDATE:
        this.windowUpdate(streamId, readUint31(payload, 0));
        break;
      case FrameType.RST_STREAM:
        this.resetStream(streamId, readUint32(payload, 0));
        break;
      case FrameType.PRIORITY:
        if (readUint31(payload, 0) === streamId)
          this.stop(ErrorCode.PROTOCOL_ERROR, 'protocol-error', `stream ${streamId} depends on itself`);
        break;
      case FrameType.SETTINGS:
        receiveSettings(this.core, (flags & Flag.ACK) !== 0, payload);
        break;
      case FrameType.PING:
        this.ping((flags & Flag.ACK) !== 0, payload);
        break;
      case FrameType.GOAWAY:
        this.goaway(readUint31(payload, 0), readUint32(payload, 4), payload.subarray(8));
        break;
      default: // Unknown types are ignored (RFC 9113 section 5.5).
    }
  }

  private headers(flags: number, streamId: number, payload: Uint8Array): void {
    const isPadded = (flags & Flag.PADDED) !== 0;
    const hasPriority = (flags & Flag.PRIORITY) !== 0;
    let start = 0;
    let end = payload.length;
    if (isPadded) end -= payload[start++] ?? 0;
    const priorityAt = start;
    if (hasPriority) start += 5;
    if (start > end) {
      const isShort = payload.length < (isPadded ? 1 : 0) + (hasPriority ? 5 : 0);
      this.stop(
        isShort ? ErrorCode.FRAME_SIZE_ERROR : ErrorCode.PROTOCOL_ERROR,
        isShort ? 'frame-size' : 'protocol-error',
        'HEADERS shorter than its own fields',
      );
      return;
    }
    const dependsOnItself = hasPriority && readUint31(payload, priorityAt) === streamId;
    const endStream = (flags & Flag.END_STREAM) !== 0;
    const fragment = payload.subarray(start, end);
    if ((flags & Flag.END_HEADERS) !== 0) receiveHeaders(this.core, streamId, fragment, endStream, dependsOnItself);
    else this.block.open(streamId, endStream, dependsOnItself, fragment);
  }

  private windowUpdate(streamId: number, increment: number): void {
    const core = this.core;
    if (streamId === 0) {
      if (increment === 0) this.stop(ErrorCode.PROTOCOL_ERROR, 'protocol-error', 'WINDOW_UPDATE of 0 for the connection');
      else if (core.sendFlow.connectionWindow + increment > LARGEST_WINDOW)
        this.stop(ErrorCode.FLOW_CONTROL_ERROR, 'flow-control', 'the connection window exceeds 2^31-1');
      else {
        core.sendFlow.connectionWindow += increment;
        core.sendFlow.schedule();
      }
      return;
    }
    const stream = core.streams.byId.get(streamId);
    if (stream === undefined || stream.isClosed) {
      if (core.isIdle(streamId) && !this.isAfterDrain(streamId))
        this.stop(ErrorCode.PROTOCOL_ERROR, 'protocol-error', `WINDOW_UPDATE on idle stream ${streamId}`);
      return;
    }
    if (increment === 0) core.fault(stream, ErrorCode.PROTOCOL_ERROR);
    else if (stream.sendWindow + increment > LARGEST_WINDOW) core.fault(stream, ErrorCode.FLOW_CONTROL_ERROR);
    else {
      stream.sendWindow += increment;
      core.sendFlow.streamWindowOpened(stream);
      core.sendFlow.schedule();
    }
  }

  private resetStream(streamId: number, code: number): void {
    const core = this.core;
    const stream = core.streams.byId.get(streamId);
    if (stream === undefined || stream.isClosed) {
      if (core.isIdle(streamId) && !this.isAfterDrain(streamId))
        this.stop(ErrorCode.PROTOCOL_ERROR, 'protocol-error', `RST_STREAM on idle stream ${streamId}`);
      else core.flood(core.guard.lateReset(), 'too many RST_STREAM frames for streams already over');
      return;
    }
    core.close(stream, Past.ENDED);
    core.handler.onReset(streamId, code, false);
    if (core.role === 'server' && !stream.isAnswered && core.flood(core.guard.unansweredReset(), 'too many streams reset before an answer'))
      return;
    core.finishIfDone();
  }

  /** Whether the frame belongs to a stream that is ignored because the final GOAWAY excluded it. */
  private isAfterDrain(streamId: number): boolean {
    return this.core.role === 'server' && this.core.drain === Drain.FINAL && streamId % 2 === 1;
  }

  private ping(isAck: boolean, payload: Uint8Array): void {
    const core = this.core;
    if (!isAck) {
      core.writer.ping(payload, true);
      return;
    }
    const number = core.keepalive.answered(payload);
    if (core.drain === Drain.ANNOUNCED && number >= core.drainPing) core.drainAcknowledged();
  }

  private goaway(lastStreamId: number, code: number, debug: Uint8Array): void {
    const core = this.core;
    core.hasPeerGoaway = true;
    let text = '';
    for (const octet of debug) text += octet >= 0x20 && octet < 0x7f ? String.fromCharCode(octet) : '?';
    core.peerGoawayDetail = text === '' ? `code ${code}` : `code ${code}: ${text}`;
    core.handler.onGoaway(lastStreamId, code);
    if (core.role === 'client') {
      for (const stream of [...core.streams.byId.values()]) {
        if (stream.id <= lastStreamId || stream.isClosed) continue;
        core.close(stream, Past.RESET_BY_US);
        core.handler.onReset(stream.id, ErrorCode.REFUSED_STREAM, false);
      }
    }
    core.finishIfDone();
  }

  private exactly(wanted: number, length: number, frame: string): number {
    return length === wanted ? length : this.stop(ErrorCode.FRAME_SIZE_ERROR, 'frame-size', `${frame} of ${length} octets, not ${wanted}`);
  }

  private onStream(streamId: number, frame: string): boolean {
    if (streamId !== 0) return true;
    this.stop(ErrorCode.PROTOCOL_ERROR, 'protocol-error', `${frame} on stream 0`);
    return false;
  }

  private onConnection(streamId: number, frame: string): boolean {
    if (streamId === 0) return true;
    this.stop(ErrorCode.PROTOCOL_ERROR, 'protocol-error', `${frame} on stream ${streamId}, not on the connection`);
    return false;
  }

  private stop(code: ErrorCode, reason: Http2CloseReason, detail: string): number {
    this.core.fail(code, reason, detail);
    return Want.STOP;
  }
}
