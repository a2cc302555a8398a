import type { Http2Settings } from '../types.ts';
import { octets } from './raw.ts';
import { Recorder } from './recorder.ts';

/** The n-th octet of every body in the simulation, so that order and completeness can be checked without keeping bodies. */
export const patternAt = (position: number): number => (position * 31 + (position >>> 8)) & 0xff;

export function pattern(start: number, length: number): Uint8Array {
  const bytes = octets(length);
  for (let at = 0; at < length; at++) bytes[at] = patternAt(start + at);
  return bytes;
}

/** One body on its way in one direction of one stream. */
interface Body {
  readonly length: number;
  sent: number;
  ended: boolean;
}

/** One end of the simulation: an application that keeps what it received until it is told to consume it. */
export class SimulatedEnd {
  readonly recorder: Recorder;
  readonly bodies = new Map<number, Body>();
  readonly received = new Map<number, number>();
  readonly finished = new Set<number>();
  readonly held = new Map<number, number>();
  mostHeld = 0;
  mostHeldOfOne = 0;
  problem = '';

  constructor(recorder: Recorder) {
    this.recorder = recorder;
    recorder.reactions = {
      onData: (streamId, chunk, endStream) => this.onData(streamId, chunk, endStream),
      onWritable: (streamId) => this.send(streamId, Number.POSITIVE_INFINITY),
      onReset: (streamId, code) => {
        this.problem = `stream ${streamId} was reset with ${code}`;
      },
      onClose: (reason, detail) => {
        this.problem = `the connection ended: ${reason}, ${detail}`;
      },
    };
  }

  private onData(streamId: number, chunk: Uint8Array, endStream: boolean): void {
    const before = this.received.get(streamId) ?? 0;
    for (let at = 0; at < chunk.length; at++)
      if (chunk[at] !== patternAt(before + at)) this.problem = `stream ${streamId} has a wrong octet at ${before + at}`;
    this.received.set(streamId, before + chunk.length);
    if (endStream) this.finished.add(streamId);
    const heldOfOne = (this.held.get(streamId) ?? 0) + chunk.length;
    this.held.set(streamId, heldOfOne);
    this.mostHeldOfOne = Math.max(this.mostHeldOfOne, heldOfOne);
    let all = 0;
    for (const held of this.held.values()) all += held;
    this.mostHeld = Math.max(this.mostHeld, all);
  }

  send(streamId: number, most: number): void {
    const body = this.bodies.get(streamId);
    if (body === undefined || body.ended) return;
    const length = Math.min(body.length - body.sent, most);
    const isLast = body.sent + length === body.length;
    const promised = this.recorder.connection.sendCapacity(streamId);
    const taken = this.recorder.connection.sendData(streamId, pattern(body.sent, length), isLast);
    if (taken !== Math.min(promised, length)) this.problem = `stream ${streamId}: capacity ${promised}, offered ${length}, taken ${taken}`;
    body.sent += taken;
    body.ended = isLast && taken === length;
  }

  consume(streamId: number, most: number): void {
    const held = this.held.get(streamId) ?? 0;
    const length = Math.min(held, most);
    this.held.set(streamId, held - length);
    this.recorder.connection.consumed(streamId, length);
  }
}

/** Two machines joined by two queues of bytes; nothing moves until it is told to. */
export class Pair {
  readonly client: SimulatedEnd;
  readonly server: SimulatedEnd;
  private toServer: Uint8Array = octets(0);
  private toClient: Uint8Array = octets(0);

  constructor(clientSettings: Partial<Http2Settings> = {}, serverSettings: Partial<Http2Settings> = {}) {
    this.client = new SimulatedEnd(new Recorder('client', clientSettings));
    this.server = new SimulatedEnd(new Recorder('server', serverSettings));
  }

  private collect(): void {
    this.toServer = join(this.toServer, this.client.recorder.takeBytes());
    this.toClient = join(this.toClient, this.server.recorder.takeBytes());
  }

  /** Delivers up to `most` octets one way; says whether there was anything. */
  deliver(to: 'client' | 'server', most: number): boolean {
    this.collect();
    const waiting = to === 'server' ? this.toServer : this.toClient;
    const piece = waiting.slice(0, most);
    if (to === 'server') this.toServer = waiting.subarray(piece.length);
    else this.toClient = waiting.subarray(piece.length);
    if (piece.length === 0) return false;
    this[to].recorder.receive(piece);
    return true;
  }

  /** Delivers everything both ways until nothing is left. */
  settle(): void {
    while (this.deliver('server', Number.POSITIVE_INFINITY) || this.deliver('client', Number.POSITIVE_INFINITY));
  }
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  if (second.length === 0) return first;
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}
