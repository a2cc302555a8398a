import { HpackEncoder } from '../../hpack/encoder.ts';
import { Flag, FRAME_HEAD, FrameType, PREFACE, readUint31, readUint32, writeHead, writeUint32 } from '../frames.ts';
import type { HeaderList } from '../types.ts';

/** Frames by hand, to say on the wire what no correct end would. For tests. */

export interface RawFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Uint8Array;
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEAD + payload.length);
  writeHead(bytes, 0, payload.length, type, flags, streamId);
  bytes.set(payload, FRAME_HEAD);
  return bytes;
}

/** Only a head that promises `length` octets. */
export function headOnly(length: number, type: number, flags: number, streamId: number): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEAD);
  writeHead(bytes, 0, length, type, flags, streamId);
  return bytes;
}

export function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeUint32(bytes, 0, value);
  return bytes;
}

export const octets = (length: number, value = 0x61): Uint8Array => new Uint8Array(length).fill(value);
export const data = (streamId: number, length: number, flags = 0): Uint8Array => frame(FrameType.DATA, flags, streamId, octets(length));
export const settings = (...entries: readonly (readonly [id: number, value: number])[]): Uint8Array =>
  frame(FrameType.SETTINGS, 0, 0, concat(...entries.map(([id, value]) => concat(Uint8Array.of(id >>> 8, id), word(value)))));
export const settingsAck = (): Uint8Array => frame(FrameType.SETTINGS, Flag.ACK, 0);
export const resetStream = (streamId: number, code: number): Uint8Array => frame(FrameType.RST_STREAM, 0, streamId, word(code));
export const windowUpdate = (streamId: number, increment: number): Uint8Array =>
  frame(FrameType.WINDOW_UPDATE, 0, streamId, word(increment));
export const ping = (flags = 0): Uint8Array => frame(FrameType.PING, flags, 0, octets(8));
export const goaway = (lastStreamId: number, code: number): Uint8Array =>
  frame(FrameType.GOAWAY, 0, 0, concat(word(lastStreamId), word(code)));

/** A header block that leaves the tables alone: stateless, so tests may send blocks in any order. */
export function block(headers: HeaderList): Uint8Array {
  const encoder = new HpackEncoder(0);
  return encoder.encode(headers).slice();
}

export const headers = (streamId: number, list: HeaderList, flags: number = Flag.END_HEADERS): Uint8Array =>
  frame(FrameType.HEADERS, flags, streamId, block(list));

export const GET: HeaderList = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':authority', 'a'],
  [':path', '/'],
];
export const POST: HeaderList = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':authority', 'a'],
  [':path', '/'],
];
export const CONNECT: HeaderList = [
  [':method', 'CONNECT'],
  [':authority', '10.0.0.1:80'],
];
export const OK: HeaderList = [[':status', '200']];

/** What a correct client says first. */
export const clientHello = (): Uint8Array => concat(PREFACE, settings(), settingsAck());
/** What a correct server says first. */
export const serverHello = (): Uint8Array => concat(settings(), settingsAck());

export function parseFrames(bytes: Uint8Array): RawFrame[] {
  const frames: RawFrame[] = [];
  let at = 0;
  while (at + FRAME_HEAD <= bytes.length) {
    const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    frames.push({
      type: bytes[at + 3]!,
      flags: bytes[at + 4]!,
      streamId: readUint31(bytes, at + 5),
      payload: bytes.slice(at + FRAME_HEAD, at + FRAME_HEAD + length),
    });
    at += FRAME_HEAD + length;
  }
  return frames;
}

/** The code of an RST_STREAM or GOAWAY frame. */
export const codeOf = (found: RawFrame): number => readUint32(found.payload, found.type === FrameType.GOAWAY ? 4 : 0);
