import { DEFAULT_FRAME_SIZE, Flag, FRAME_HEAD, FrameType, writeHead, writeUint32 } from './frames.ts';
import type { Http2Output } from './types.ts';

/** Octets of a GOAWAY's debug text; it is for people, and one line is enough. */
const DEBUG_TEXT = 200;

/** Writes frames. One scratch buffer for all small frames, one 9-octet head for DATA. */
export class FrameWriter {
  private readonly output: Http2Output;
  private readonly scratch = new Uint8Array(FRAME_HEAD + 8 + DEBUG_TEXT);
  private readonly dataHead = new Uint8Array(FRAME_HEAD);
  /** The peer's SETTINGS_MAX_FRAME_SIZE. */
  maxFrameSize: number = DEFAULT_FRAME_SIZE;

  constructor(output: Http2Output) {
    this.output = output;
  }

  raw(bytes: Uint8Array): void {
    this.output.write(bytes);
  }

  data(streamId: number, payload: Uint8Array, endStream: boolean): void {
    writeHead(this.dataHead, 0, payload.length, FrameType.DATA, endStream ? Flag.END_STREAM : 0, streamId);
    this.output.writeData(this.dataHead, payload);
  }

  /** `block` starts with 9 unused octets for the first frame's head. */
  headers(streamId: number, block: Uint8Array, endStream: boolean): void {
    const flags = endStream ? Flag.END_STREAM : 0;
    const length = block.length - FRAME_HEAD;
    if (length <= this.maxFrameSize) {
      writeHead(block, 0, length, FrameType.HEADERS, flags | Flag.END_HEADERS, streamId);
      this.output.write(block);
      return;
    }
    writeHead(block, 0, this.maxFrameSize, FrameType.HEADERS, flags, streamId);
    let at = FRAME_HEAD + this.maxFrameSize;
    this.output.write(block.subarray(0, at));
    while (at < block.length) {
      const end = Math.min(block.length, at + this.maxFrameSize);
      // The octets before `at` are sent already and may carry the next head.
      writeHead(block, at - FRAME_HEAD, end - at, FrameType.CONTINUATION, end === block.length ? Flag.END_HEADERS : 0, streamId);
      this.output.write(block.subarray(at - FRAME_HEAD, end));
      at = end;
    }
  }

  settings(entries: readonly (readonly [id: number, value: number])[]): void {
    writeHead(this.scratch, 0, entries.length * 6, FrameType.SETTINGS, 0, 0);
    let at = FRAME_HEAD;
    for (const [id, value] of entries) {
      this.scratch[at] = id >>> 8;
      this.scratch[at + 1] = id;
      writeUint32(this.scratch, at + 2, value);
      at += 6;
    }
    this.output.write(this.scratch.subarray(0, at));
  }

  settingsAck(): void {
    writeHead(this.scratch, 0, 0, FrameType.SETTINGS, Flag.ACK, 0);
    this.output.write(this.scratch.subarray(0, FRAME_HEAD));
  }

  /** `payload` has 8 octets. */
  ping(payload: Uint8Array, isAck: boolean): void {
    writeHead(this.scratch, 0, 8, FrameType.PING, isAck ? Flag.ACK : 0, 0);
    this.scratch.set(payload, FRAME_HEAD);
    this.output.write(this.scratch.subarray(0, FRAME_HEAD + 8));
  }

  goaway(lastStreamId: number, code: number, debug: string): void {
    const length = Math.min(debug.length, DEBUG_TEXT);
    writeHead(this.scratch, 0, 8 + length, FrameType.GOAWAY, 0, 0);
    writeUint32(this.scratch, FRAME_HEAD, lastStreamId);
    writeUint32(this.scratch, FRAME_HEAD + 4, code);
    for (let index = 0; index < length; index++) this.scratch[FRAME_HEAD + 8 + index] = debug.charCodeAt(index) & 0x7f;
    this.output.write(this.scratch.subarray(0, FRAME_HEAD + 8 + length));
  }

  resetStream(streamId: number, code: number): void {
    this.word(FrameType.RST_STREAM, streamId, code);
  }

  windowUpdate(streamId: number, increment: number): void {
    this.word(FrameType.WINDOW_UPDATE, streamId, increment);
  }

  private word(type: number, streamId: number, value: number): void {
    writeHead(this.scratch, 0, 4, type, 0, streamId);
    writeUint32(this.scratch, FRAME_HEAD, value);
    this.output.write(this.scratch.subarray(0, FRAME_HEAD + 4));
  }
}
