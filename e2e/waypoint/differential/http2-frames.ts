/** HTTP/2 frames by hand: any octets in any field, as no codec would write them, and what came back, read without judging it. */
import { Flag, FrameType } from '../../../src/protocol/http2/frames.ts';
import { HpackDecoder } from '../../../src/protocol/index.ts';

export type Fields = readonly (readonly [name: string, value: string])[];

export { FrameType };

const { END_STREAM, END_HEADERS, PADDED, PRIORITY } = Flag;

/** One character per octet, as everywhere here. */
export function frame(type: number, flags: number, streamId: number, payload: string): string {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return head.toString('latin1') + payload;
}

/** An HPACK string, not Huffman coded. */
function text(value: string): string {
  if (value.length < 127) return String.fromCharCode(value.length) + value;
  let rest = value.length - 127;
  let length = '\x7f';
  for (; rest >= 128; rest >>>= 7) length += String.fromCharCode((rest & 0x7f) | 0x80);
  return length + String.fromCharCode(rest) + value;
}

/** Literal fields, never indexed. */
export const block = (fields: Fields): string => fields.map(([name, value]) => `\x10${text(name)}${text(value)}`).join('');

const LARGEST_FRAME = 16_384;

/** HEADERS, with as many CONTINUATION frames as it takes. */
export function headers(streamId: number, fields: Fields, endsStream: boolean): string {
  const all = block(fields);
  const flags = endsStream ? END_STREAM : 0;
  if (all.length <= LARGEST_FRAME) return frame(FrameType.HEADERS, flags | END_HEADERS, streamId, all);
  let frames = frame(FrameType.HEADERS, flags, streamId, all.slice(0, LARGEST_FRAME));
  for (let at = LARGEST_FRAME; at < all.length; at += LARGEST_FRAME) {
    const isLast = at + LARGEST_FRAME >= all.length;
    frames += frame(FrameType.CONTINUATION, isLast ? END_HEADERS : 0, streamId, all.slice(at, at + LARGEST_FRAME));
  }
  return frames;
}

export const data = (streamId: number, octets: string, endsStream: boolean): string =>
  frame(FrameType.DATA, endsStream ? END_STREAM : 0, streamId, octets);

export const PREFACE = `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${frame(FrameType.SETTINGS, 0, 0, '')}`;

export interface StreamView {
  /** Each list of fields that came, trailers included. */
  readonly lists: Fields[];
  body: string;
  isEnded: boolean;
  isReset: boolean;
}

/** What a server has sent: streams by id, and whether it has given up the connection. */
export function readFrames(bytes: Buffer): { readonly streams: ReadonlyMap<number, StreamView>; readonly hasGoneAway: boolean } {
  const decoder = new HpackDecoder({ tableSize: 4096, listSize: 1024 * 1024 });
  const streams = new Map<number, StreamView>();
  const viewOf = (id: number): StreamView => {
    const known = streams.get(id) ?? { lists: [], body: '', isEnded: false, isReset: false };
    streams.set(id, known);
    return known;
  };
  let hasGoneAway = false;
  let pending = Buffer.alloc(0);
  let pendingEnds = false;
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    const type = bytes[at + 3]!;
    const flags = bytes[at + 4]!;
    const id = bytes.readUInt32BE(at + 5) & 0x7fffffff;
    if (at + 9 + length > bytes.length) break;
    let payload = bytes.subarray(at + 9, at + 9 + length);
    at += 9 + length;
    const isPadded = (flags & PADDED) !== 0 && (type === FrameType.DATA || type === FrameType.HEADERS);
    if (isPadded) payload = payload.subarray(1, payload.length - payload[0]!);
    if (type === FrameType.DATA) {
      const view = viewOf(id);
      view.body += payload.toString('latin1');
      view.isEnded ||= (flags & END_STREAM) !== 0;
    } else if (type === FrameType.HEADERS || type === FrameType.CONTINUATION) {
      if (type === FrameType.HEADERS) {
        if ((flags & PRIORITY) !== 0) payload = payload.subarray(5);
        pendingEnds = (flags & END_STREAM) !== 0;
        pending = Buffer.alloc(0);
      }
      pending = Buffer.concat([pending, payload]);
      if ((flags & END_HEADERS) === 0) continue;
      const decoded = decoder.decode(pending);
      const view = viewOf(id);
      view.lists.push(decoded.ok ? decoded.headers : [['undecodable', decoded.problem]]);
      view.isEnded ||= pendingEnds;
    } else if (type === FrameType.RST_STREAM) viewOf(id).isReset = true;
    else if (type === FrameType.GOAWAY && payload.readUInt32BE(4) !== 0) hasGoneAway = true;
  }
  return { streams, hasGoneAway };
}
