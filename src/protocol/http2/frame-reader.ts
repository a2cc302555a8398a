import { EMPTY } from '../bytes.ts';
import { Flag, FRAME_HEAD, FrameType, PREFACE, readUint31 } from './frames.ts';

/** What `FrameSink.onHead` may answer beside a number of payload octets to keep. */
export const Want = { DATA: -1, STOP: -2 } as const;

/** Receives frames. Every buffer is only valid during the call. */
export interface FrameSink {
  /**
   * A frame head arrived. The answer: how many octets of the payload `onPayload` wants (what follows them is skipped; with 0 `onPayload` is still called),
   * `Want.DATA` to get the payload in slices through `onDataSlice`, or `Want.STOP`.
   */
  onHead(length: number, type: number, flags: number, streamId: number): number;
  onPayload(type: number, flags: number, streamId: number, payload: Uint8Array): void;
  /** A piece of the DATA frame announced last; `isLast` exactly once per frame. */
  onDataSlice(slice: Uint8Array, isLast: boolean): void;
  /** The DATA frame announced last spends `octets` on padding (its length octet included); `false` stops the reader. */
  onDataPadding(octets: number): boolean;
  /** The first bytes are not HTTP/2. */
  onBadPreface(): void;
}

const Mode = { HEAD: 0, KEEP: 1, SKIP: 2, DATA: 3, PAD_LENGTH: 4, DATA_PADDING: 5 } as const;
/** A frame kept across chunks starts with this much memory and grows as its octets arrive, not as its head promises. */
const FIRST_BUFFER = 1024;

/** Cuts a byte stream into frames. DATA payloads are handed on as they arrive, without a copy; any split of the input gives the same frames. */
export class FrameReader {
  private readonly sink: FrameSink;
  private prefaceLeft: number;
  private mode: number = Mode.HEAD;
  private readonly head = new Uint8Array(FRAME_HEAD);
  private headFilled = 0;
  private type = 0;
  private flags = 0;
  private streamId = 0;
  /** Octets of the current part of the payload still to come. */
  private left = 0;
  private padding = 0;
  private kept: Uint8Array = EMPTY;
  private keptFilled = 0;
  /** Octets to skip once the kept ones are complete. */
  private skipAfter = 0;
  private isStopped = false;

  constructor(sink: FrameSink, expectsPreface: boolean) {
    this.sink = sink;
    this.prefaceLeft = expectsPreface ? PREFACE.length : 0;
  }

  stop(): void {
    this.isStopped = true;
    this.kept = EMPTY;
  }

  push(chunk: Uint8Array): void {
    const end = chunk.length;
    let at = this.prefaceLeft > 0 ? this.preface(chunk) : 0;
    while (!this.isStopped) {
      if (this.mode === Mode.HEAD) {
        if (at === end) return;
        at = this.readHead(chunk, at, end);
        continue;
      }
      const size = Math.min(end - at, this.left);
      if (size === 0 && this.left > 0) return;
      if (this.mode === Mode.DATA) {
        this.left -= size;
        const slice = size === end ? chunk : chunk.subarray(at, at + size);
        at += size;
        if (this.left > 0) this.sink.onDataSlice(slice, false);
        else if (this.padding > 0) {
          this.left = this.padding;
          this.mode = Mode.DATA_PADDING;
          if (size > 0) this.sink.onDataSlice(slice, false);
        } else {
          this.mode = Mode.HEAD;
          this.sink.onDataSlice(slice, true);
        }
        continue;
      }
      at = this.other(chunk, at, size);
    }
  }

  private preface(chunk: Uint8Array): number {
    let at = 0;
    while (at < chunk.length && this.prefaceLeft > 0) {
      if (chunk[at] !== PREFACE[PREFACE.length - this.prefaceLeft]) {
        this.stop();
        this.sink.onBadPreface();
        return at;
      }
      at++;
      this.prefaceLeft--;
    }
    return at;
  }

  private readHead(chunk: Uint8Array, start: number, end: number): number {
    let at = start;
    let source = chunk;
    let from = at;
    if (this.headFilled === 0 && end - at >= FRAME_HEAD) at += FRAME_HEAD;
    else {
      while (this.headFilled < FRAME_HEAD && at < end) this.head[this.headFilled++] = chunk[at++]!;
      if (this.headFilled < FRAME_HEAD) return at;
      this.headFilled = 0;
      source = this.head;
      from = 0;
    }
    const length = (source[from]! << 16) | (source[from + 1]! << 8) | source[from + 2]!;
    this.type = source[from + 3]!;
    this.flags = source[from + 4]!;
    this.streamId = readUint31(source, from + 5);
    const want = this.sink.onHead(length, this.type, this.flags, this.streamId);
    if (want === Want.STOP) this.stop();
    else if (want === Want.DATA) {
      this.padding = 0;
      this.left = length;
      this.mode = this.type === FrameType.DATA && (this.flags & Flag.PADDED) !== 0 ? Mode.PAD_LENGTH : Mode.DATA;
      if (this.mode === Mode.PAD_LENGTH) {
        // The length was checked to hold at least this octet.
        this.padding = length - 1;
        this.left = 1;
      }
    } else {
      this.left = want;
      this.skipAfter = length - want;
      this.keptFilled = 0;
      this.mode = Mode.KEEP;
    }
    return at;
  }

  /** The modes that are not on the hot path. */
  private other(chunk: Uint8Array, at: number, size: number): number {
    switch (this.mode) {
      case Mode.KEEP:
        this.keep(chunk, at, size);
        break;
      case Mode.PAD_LENGTH: {
        const rest = this.padding;
        this.padding = chunk[at]!;
        if (!this.sink.onDataPadding(this.padding + 1)) {
          this.stop();
          break;
        }
        this.left = rest - this.padding;
        this.mode = Mode.DATA;
        break;
      }
      default:
        this.left -= size;
        if (this.left > 0) break;
        if (this.mode === Mode.DATA_PADDING) {
          this.mode = Mode.HEAD;
          this.sink.onDataSlice(EMPTY, true);
        } else this.mode = Mode.HEAD;
    }
    return at + size;
  }

  private keep(chunk: Uint8Array, at: number, size: number): void {
    let payload: Uint8Array;
    if (this.keptFilled === 0 && size === this.left) payload = chunk.subarray(at, at + size);
    else {
      if (this.kept.length < this.keptFilled + size) {
        const larger = new Uint8Array(Math.max(FIRST_BUFFER, this.kept.length * 2, this.keptFilled + size));
        larger.set(this.kept.subarray(0, this.keptFilled));
        this.kept = larger;
      }
      this.kept.set(chunk.subarray(at, at + size), this.keptFilled);
      this.keptFilled += size;
      if (size < this.left) {
        this.left -= size;
        return;
      }
      payload = this.kept.subarray(0, this.keptFilled);
    }
    this.left = this.skipAfter;
    this.mode = this.skipAfter > 0 ? Mode.SKIP : Mode.HEAD;
    this.sink.onPayload(this.type, this.flags, this.streamId, payload);
    if (this.kept.length > FIRST_BUFFER) this.kept = EMPTY;
  }
}
