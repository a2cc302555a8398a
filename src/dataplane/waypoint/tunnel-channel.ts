/** A channel that is one stream of an HBONE tunnel. Back-pressure is the stream's window; a congested tunnel holds back its producers. */
import { type Deadline, deadlines, type Source } from '../../platform/net/index.ts';
import { ErrorCode, type HeaderList, type Http2Connection, responseStatus } from '../../protocol/index.ts';
import type { Tunnel, TunnelStream } from '../core/tunnel.ts';
import { Channel } from './channel.ts';

const EMPTY = new Uint8Array(0);
/** Room for what one stream writes in one go; with a frame head still one TLS record. */
const GATHER_BYTES = 16_384 - 128;
/** Writes up to this size are gathered: a head and the beginning of its body become one DATA frame. */
const SMALL_WRITE = 8192;
/** Gather buffers kept for reuse. */
const MAX_SPARE_BUFFERS = 64;

const spares: Uint8Array[] = [];
const dirty: TunnelChannel[] = [];
let isArmed = false;

function flushDirty(): void {
  isArmed = false;
  // Flushing may make others dirty: they come at the end and are served in the same turn.
  for (let i = 0; i < dirty.length; i++) dirty[i]!.flush();
  dirty.length = 0;
}

export class TunnelChannel extends Channel implements TunnelStream, Source {
  readonly #tunnel: Tunnel;
  readonly #http2: Http2Connection;
  readonly #streamId: number;
  #pending: Uint8Array[] = [];
  #finishWanted = false;
  #finishSent = false;
  #ended = false;
  #closed = false;
  #isHeldBack = false;
  #gather: Uint8Array | undefined;
  #gathered = 0;

  constructor(tunnel: Tunnel, streamId: number) {
    super();
    this.#tunnel = tunnel;
    this.#http2 = tunnel.http2;
    this.#streamId = streamId;
    tunnel.attach(streamId, this);
  }

  override get isBackedUp(): boolean {
    return this.#pending.length > 0 || this.#isHeldBack;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  override write(bytes: Uint8Array): void {
    if (this.#closed || this.#finishWanted) return;
    if (bytes.length > SMALL_WRITE) {
      this.flush();
      this.#send(bytes);
      return;
    }
    if (this.#gathered + bytes.length > GATHER_BYTES) this.flush();
    if (this.#gather === undefined) {
      this.#gather = spares.pop() ?? new Uint8Array(GATHER_BYTES);
      dirty.push(this);
      if (!isArmed) {
        isArmed = true;
        queueMicrotask(flushDirty);
      }
    }
    this.#gather.set(bytes, this.#gathered);
    this.#gathered += bytes.length;
  }

  /** Sends what was gathered. */
  flush(): void {
    const gather = this.#gather;
    if (gather === undefined) return;
    const length = this.#gathered;
    this.#gather = undefined;
    this.#gathered = 0;
    if (length > 0 && !this.#closed) this.#send(gather.subarray(0, length));
    if (spares.length < MAX_SPARE_BUFFERS) spares.push(gather);
  }

  override finish(): void {
    if (this.#closed || this.#finishWanted) return;
    this.flush();
    this.#finishWanted = true;
    if (this.#pending.length === 0) this.#sendEnd();
  }

  override abort(): void {
    // Not CANCEL, which node proxies take for an orderly end: a response that is cut short must not pass for a whole one (RFC 9113 section 8.5).
    this.#abort(ErrorCode.CONNECT_ERROR);
  }

  override consumed(length: number): void {
    if (!this.#closed) this.#http2.consumed(this.#streamId, length);
  }

  /** The peer's answer to a CONNECT of this end; streams the peer opened have none. */
  onTunnelHeaders(_headers: HeaderList, endStream: boolean): void {
    if (endStream) this.#peerEnded();
  }

  onTunnelData(chunk: Uint8Array, endStream: boolean): void {
    if (chunk.length > 0) this.events.onChannelData(chunk);
    if (endStream) this.#peerEnded();
  }

  onTunnelReset(code: number, _local: boolean): void {
    const isClean = code === ErrorCode.NO_ERROR;
    this.#close(isClean, code < 0 ? 'the tunnel was closed' : `stream reset with code ${code}`);
  }

  onTunnelWritable(): void {
    while (this.#pending.length > 0) {
      const chunk = this.#pending[0]!;
      const taken = this.#http2.sendData(this.#streamId, chunk, false);
      if (taken < chunk.length) {
        if (taken > 0) this.#pending[0] = chunk.subarray(taken);
        return;
      }
      this.#pending.shift();
    }
    if (this.#finishWanted) this.#sendEnd();
    else if (!this.isBackedUp) this.events.onChannelDrained();
  }

  // The tunnel's output: the network takes nothing, or again.

  pause(): void {
    this.#isHeldBack = true;
  }

  resume(): void {
    this.#isHeldBack = false;
    if (!this.#closed && this.#pending.length === 0) this.events.onChannelDrained();
  }

  /** The peer refused the stream. */
  protected refused(detail: string): void {
    if (this.#closed) return;
    this.#http2.reset(this.#streamId, ErrorCode.CANCEL);
    this.#close(false, detail);
  }

  #send(bytes: Uint8Array): void {
    let from = 0;
    if (this.#pending.length === 0) {
      from = this.#http2.sendData(this.#streamId, bytes, false);
      if (from === bytes.length) {
        if (this.#tunnel.output.isCongested) this.#tunnel.output.holdBack(this);
        return;
      }
    }
    this.#pending.push(bytes.slice(from));
  }

  #peerEnded(): void {
    if (this.#ended || this.#closed) return;
    this.#ended = true;
    this.events.onChannelEnd();
    this.#settle();
  }

  #sendEnd(): void {
    if (this.#finishSent) return;
    this.#finishSent = true;
    this.#http2.sendData(this.#streamId, EMPTY, true);
    this.#settle();
  }

  /** Both directions have ended in order. */
  #settle(): void {
    if (!this.#ended || !this.#finishSent || this.#closed) return;
    this.#close(true, '');
  }

  #abort(code: ErrorCode): void {
    if (this.#closed) return;
    this.#forget();
    this.#http2.reset(this.#streamId, code);
  }

  #close(isClean: boolean, detail: string): void {
    if (this.#closed) return;
    this.#forget();
    this.events.onChannelClosed(isClean, detail);
  }

  /** It is over. */
  protected forgotten(): void {}

  #forget(): void {
    this.#closed = true;
    this.forgotten();
    this.#pending = [];
    if (this.#isHeldBack) this.#tunnel.output.forget(this);
    this.#tunnel.detach(this.#streamId);
  }
}

/** The client's end: nothing but 200 is a tunnel. Bytes may be written before the answer, as a node proxy does. */
export class UpstreamTunnelChannel extends TunnelChannel implements Deadline {
  #isAnswered = false;
  /** For the answer. */
  readonly dueAt: number;

  constructor(tunnel: Tunnel, streamId: number, dueAt: number) {
    super(tunnel, streamId);
    this.dueAt = dueAt;
    deadlines.add(this);
  }

  onDeadline(): void {
    this.refused('tunnel refused: no answer within the connect timeout');
  }

  protected override forgotten(): void {
    if (!this.#isAnswered) deadlines.delete(this);
  }

  override onTunnelHeaders(headers: HeaderList, endStream: boolean): void {
    const status = responseStatus(headers);
    if (!this.#isAnswered && status !== 200) {
      this.refused(`tunnel refused with status ${status}`);
      return;
    }
    if (!this.#isAnswered) deadlines.delete(this);
    this.#isAnswered = true;
    super.onTunnelHeaders(headers, endStream);
  }
}
