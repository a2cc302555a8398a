/**
 * Joins an application's TCP connection with one stream of a tunnel: bytes, half closes, resets and back-pressure both ways.
 * A slow application holds back its own stream through the stream's window, never the tunnel; a slow tunnel pauses its applications.
 */
import type { SocketEvents, Source, TcpSocket } from '../../platform/net/index.ts';
import { SocketWriter } from '../../platform/net/index.ts';
import { ErrorCode, type HeaderList } from '../../protocol/index.ts';
import type { ByteCounts } from './byte-counts.ts';
import { COMPLETE, type ConnectionEnd, endOf } from './end-reason.ts';
import { resetEnd, type StreamHost, type TunnelStream } from './tunnel.ts';

const EMPTY = new Uint8Array(0);

/** Told once, when both directions are over. */
export type BridgeEnded = (end: ConnectionEnd) => void;

export class TunnelBridge implements TunnelStream, SocketEvents, Source {
  readonly #tunnel: StreamHost;
  readonly #http2: StreamHost['http2'];
  readonly #streamId: number;
  readonly #writer: SocketWriter;
  readonly #counts: ByteCounts;
  /** Whether the application is the client of this connection (outbound) or its server (inbound). */
  readonly #isClientSide: boolean;
  readonly #ended: BridgeEnded;
  #socket: TcpSocket | undefined;
  /** What the stream's window had no room for: at most one read of the socket, which is paused meanwhile. */
  #pending: Uint8Array | undefined;
  /** Bytes of the application that went out before the peer agreed to take them; counted once it has. */
  #unconfirmed = 0;
  #isConfirmed: boolean;
  /** The application has sent everything. */
  #socketEnded = false;
  /** The peer has sent everything. */
  #streamEnded = false;
  /** The stream is gone, but the application may still read what came before. */
  #streamGone = false;
  #finished = false;

  constructor(tunnel: StreamHost, streamId: number, counts: ByteCounts, isClientSide: boolean, ended: BridgeEnded) {
    this.#tunnel = tunnel;
    this.#http2 = tunnel.http2;
    this.#streamId = streamId;
    this.#counts = counts;
    this.#isClientSide = isClientSide;
    this.#isConfirmed = !isClientSide;
    this.#ended = ended;
    this.#writer = new SocketWriter();
    tunnel.attach(streamId, this);
  }

  /** The application's connection is up; what the peer has sent already is written now. */
  attachSocket(socket: TcpSocket): void {
    if (this.#finished) {
      socket.terminate();
      return;
    }
    this.#socket = socket;
    socket.data = this;
    this.#writer.attach(socket);
    this.onDrain();
  }

  /** Ends both sides at once for a reason of this proxy. */
  abort(end: ConnectionEnd, code: ErrorCode = ErrorCode.CANCEL): void {
    if (this.#finished) return;
    if (!this.#streamGone) {
      this.#tunnel.detach(this.#streamId);
      this.#http2.reset(this.#streamId, code);
    }
    this.#kill(end);
  }

  // The application's side.

  onData(chunk: Buffer): void {
    if (this.#streamGone) {
      if (!this.#streamEnded) this.abort(endOf('tunnel-reset', 'stream reset by the peer'));
      return;
    }
    const taken = this.#http2.sendData(this.#streamId, chunk, false);
    this.#countFromSocket(taken);
    if (taken < chunk.length) {
      this.#pending = Buffer.from(chunk.subarray(taken));
      this.#socket?.pause();
    } else if (this.#tunnel.output.isCongested) this.#tunnel.output.holdBack(this);
  }

  onEnd(): void {
    if (this.#socketEnded || this.#finished) return;
    this.#socketEnded = true;
    if (this.#pending === undefined && !this.#streamGone) this.#http2.sendData(this.#streamId, EMPTY, true);
    this.#finishIfDone();
  }

  onDrain(): void {
    const written = this.#writer.drain();
    if (written > 0 && !this.#streamGone) this.#http2.consumed(this.#streamId, written);
    this.#finishIfDone();
  }

  onClose(error: Error | undefined): void {
    this.#socket = undefined;
    this.#writer.discard();
    if (this.#finished) return;
    if (error !== undefined) {
      this.#resetStream(ErrorCode.CANCEL);
      this.#finish(endOf('io', (error as NodeJS.ErrnoException).code ?? error.message));
      return;
    }
    this.onEnd();
    if (this.#finished) return;
    // Closed for reading and writing: whatever the peer still sends has no reader.
    const orderly = this.#streamEnded || this.#streamGone;
    this.#resetStream(ErrorCode.CANCEL);
    this.#finish(orderly ? COMPLETE : endOf('io', 'the application closed the connection'));
  }

  // The tunnel's side.

  onTunnelHeaders(_headers: HeaderList, endStream: boolean): void {
    if (endStream) this.#endOfStream();
  }

  onTunnelData(chunk: Uint8Array, endStream: boolean): void {
    const length = chunk.length;
    if (length > 0) {
      const written = this.#writer.write(chunk);
      if (this.#isClientSide) this.#counts.addResponse(length);
      else this.#counts.addRequest(length);
      if (written > 0) this.#http2.consumed(this.#streamId, written);
    }
    if (endStream) this.#endOfStream();
  }

  onTunnelReset(code: number, local: boolean): void {
    if (this.#finished) return;
    this.#streamGone = true;
    // Nobody waits for an application that is not even connected: left alone, streams opened and reset would each hold a connection attempt.
    if (this.#socket === undefined && code === ErrorCode.CANCEL) {
      this.#kill(endOf('tunnel-reset', 'stream reset by the peer before it was answered'));
      return;
    }
    if (code !== ErrorCode.NO_ERROR && code !== ErrorCode.CANCEL) {
      this.#kill(resetEnd(this.#tunnel, code, local));
      return;
    }
    // The end of what the peer sends, as a real ztunnel takes it. NO_ERROR also says: do not bother to send the rest.
    if (code === ErrorCode.NO_ERROR) this.#streamEnded = true;
    this.#pending = undefined;
    this.#tunnel.output.forget(this);
    this.#writer.finish();
    this.#socket?.resume();
    this.#finishIfDone();
  }

  onTunnelWritable(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const taken = this.#http2.sendData(this.#streamId, pending, this.#socketEnded);
    this.#countFromSocket(taken);
    if (taken < pending.length) {
      this.#pending = pending.subarray(taken);
      return;
    }
    this.#pending = undefined;
    if (!this.#tunnel.output.isHoldingBack(this)) this.#socket?.resume();
    this.#finishIfDone();
  }

  // Called by the tunnel's output while the network takes nothing.

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    if (this.#pending === undefined) this.#socket?.resume();
  }

  /** The peer has accepted the stream: what was sent ahead counts. */
  protected confirm(): void {
    this.#isConfirmed = true;
    this.#countFromSocket(this.#unconfirmed);
  }

  #countFromSocket(length: number): void {
    if (!this.#isConfirmed) this.#unconfirmed += length;
    else if (this.#isClientSide) this.#counts.addRequest(length);
    else this.#counts.addResponse(length);
  }

  #endOfStream(): void {
    this.#streamEnded = true;
    // The usual end: the application has finished before, so closing says it all in one call.
    if (this.#socketEnded && this.#writer.queued === 0 && this.#pending === undefined && this.#socket !== undefined) {
      this.#finishIfDone();
      return;
    }
    this.#writer.finish();
    this.#finishIfDone();
  }

  #resetStream(code: ErrorCode): void {
    this.#tunnel.output.forget(this);
    if (this.#streamGone) return;
    this.#streamGone = true;
    this.#tunnel.detach(this.#streamId);
    this.#http2.reset(this.#streamId, code);
  }

  #finishIfDone(): void {
    if (this.#finished || !this.#socketEnded || this.#pending !== undefined) return;
    if ((!this.#streamEnded && !this.#streamGone) || this.#writer.queued > 0) return;
    this.#tunnel.output.forget(this);
    this.#tunnel.detach(this.#streamId);
    this.#finish(COMPLETE);
    // Both have ended; closing now rather than waiting for the kernel keeps half-open sockets from piling up.
    this.#socket?.end();
  }

  /** Terminating calls `onClose` at once, so the end must be settled before. */
  #kill(end: ConnectionEnd): void {
    this.#tunnel.output.forget(this);
    this.#finish(end);
    this.#socket?.terminate();
  }

  #finish(end: ConnectionEnd): void {
    this.#finished = true;
    this.#ended(end);
  }
}
