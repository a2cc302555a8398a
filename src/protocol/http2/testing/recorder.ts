import { createHttp2Connection } from '../connection.ts';
import { FrameType, PREFACE } from '../frames.ts';
import { CLIENT_SETTINGS, SERVER_SETTINGS } from '../limits.ts';
import type { HeaderList, Http2CloseReason, Http2Connection, Http2Handler, Http2Output, Http2Role, Http2Settings } from '../types.ts';
import { clientHello, codeOf, concat, parseFrames, type RawFrame, serverHello } from './raw.ts';

export type Event =
  | { readonly kind: 'headers'; readonly streamId: number; readonly headers: HeaderList; readonly endStream: boolean }
  | { readonly kind: 'data'; readonly streamId: number; readonly bytes: Uint8Array; readonly endStream: boolean }
  | { readonly kind: 'reset'; readonly streamId: number; readonly code: number; readonly local: boolean }
  | { readonly kind: 'writable'; readonly streamId: number }
  | { readonly kind: 'goaway'; readonly lastStreamId: number; readonly code: number }
  | { readonly kind: 'close'; readonly reason: Http2CloseReason; readonly detail: string };

/** One end of a connection that writes down everything that happens to it. For tests. */
export class Recorder implements Http2Handler, Http2Output {
  readonly connection: Http2Connection;
  readonly events: Event[] = [];
  private sent: Uint8Array[] = [];
  /** What the application does, beside writing down. */
  reactions: Partial<Http2Handler> = {};
  now = 1_000;

  constructor(role: Http2Role, settings: Partial<Http2Settings> = {}) {
    this.connection = createHttp2Connection(role, { ...(role === 'client' ? CLIENT_SETTINGS : SERVER_SETTINGS), ...settings }, this, this);
  }

  onHeaders(streamId: number, headers: HeaderList, endStream: boolean): void {
    this.events.push({ kind: 'headers', streamId, headers, endStream });
    this.reactions.onHeaders?.(streamId, headers, endStream);
  }
  onData(streamId: number, chunk: Uint8Array, endStream: boolean): void {
    this.events.push({ kind: 'data', streamId, bytes: chunk.slice(), endStream });
    this.reactions.onData?.(streamId, chunk, endStream);
  }
  onReset(streamId: number, code: number, local: boolean): void {
    this.events.push({ kind: 'reset', streamId, code, local });
    this.reactions.onReset?.(streamId, code, local);
  }
  onWritable(streamId: number): void {
    this.events.push({ kind: 'writable', streamId });
    this.reactions.onWritable?.(streamId);
  }
  onGoaway(lastStreamId: number, code: number): void {
    this.events.push({ kind: 'goaway', lastStreamId, code });
    this.reactions.onGoaway?.(lastStreamId, code);
  }
  onClose(reason: Http2CloseReason, detail: string): void {
    this.events.push({ kind: 'close', reason, detail });
    this.reactions.onClose?.(reason, detail);
  }
  write(bytes: Uint8Array): void {
    this.sent.push(bytes.slice());
  }
  writeData(head: Uint8Array, payload: Uint8Array): void {
    this.sent.push(head.slice(), payload.slice());
  }

  receive(...chunks: readonly Uint8Array[]): void {
    for (const chunk of chunks) this.connection.receive(chunk, this.now);
  }

  /** Takes what was sent since the last call. */
  takeBytes(): Uint8Array {
    const all = concat(...this.sent);
    this.sent = [];
    return all;
  }

  /** Takes what was sent as frames, without the client's preface. */
  takeFrames(): RawFrame[] {
    const bytes = this.takeBytes();
    const hasPreface = bytes.length >= PREFACE.length && PREFACE.every((octet, at) => bytes[at] === octet);
    return parseFrames(hasPreface ? bytes.subarray(PREFACE.length) : bytes);
  }

  of<K extends Event['kind']>(kind: K): Extract<Event, { kind: K }>[] {
    return this.events.filter((event): event is Extract<Event, { kind: K }> => event.kind === kind);
  }

  get closeReason(): Http2CloseReason | undefined {
    return this.of('close')[0]?.reason;
  }
}

/** An end whose peer introduced itself and acknowledged our SETTINGS. What it sent so far is dropped. */
export function ready(role: Http2Role, settings: Partial<Http2Settings> = {}): Recorder {
  const end = new Recorder(role, settings);
  end.receive(role === 'server' ? clientHello() : serverHello());
  end.takeBytes();
  return end;
}

/** What the end said about errors: `GOAWAY code` and `RST_STREAM id code`. */
export function errorsSent(end: Recorder): string[] {
  const said: string[] = [];
  for (const found of end.takeFrames()) {
    if (found.type === FrameType.GOAWAY) said.push(`GOAWAY ${codeOf(found)}`);
    else if (found.type === FrameType.RST_STREAM) said.push(`RST_STREAM ${found.streamId} ${codeOf(found)}`);
  }
  return said;
}
