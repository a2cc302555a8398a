/** One HTTP/2 connection over TLS between two node proxies, in either role: bytes of the socket to the protocol machine, its events to the streams. */
import { type Deadline, deadlines, GatheringOutput, type SocketEvents, type TcpSocket } from '../../platform/net/index.ts';
import {
  createHttp2Connection,
  ErrorCode,
  type HeaderList,
  type Http2CloseReason,
  type Http2Connection,
  type Http2Handler,
  type Http2Role,
  type Http2Settings,
} from '../../protocol/index.ts';
import { type ConnectionEnd, endOf } from './end-reason.ts';
import { Farewell } from './farewell.ts';
import { type RevocationSide, revocationPolicy } from './revocation.ts';

/** What is at this end of a stream. Chunks are only valid during the call. */
export interface TunnelStream {
  onTunnelHeaders(headers: HeaderList, endStream: boolean): void;
  onTunnelData(chunk: Uint8Array, endStream: boolean): void;
  onTunnelReset(code: number, local: boolean): void;
  onTunnelWritable(): void;
}

/** What a stream needs of what carries it: a tunnel, or what takes its place. */
export interface StreamHost {
  readonly http2: Pick<Http2Connection, 'sendHeaders' | 'sendData' | 'consumed' | 'reset'>;
  readonly output: Pick<GatheringOutput, 'isCongested' | 'holdBack' | 'forget' | 'isHoldingBack'>;
  /** Why streams are cut off, where it is known better than by how they end. */
  readonly cutOff: ConnectionEnd | undefined;
  attach(streamId: number, stream: TunnelStream): void;
  detach(streamId: number): void;
}

/** Something that stands on a tunnel's proof of who its ends are, without being a stream of it. */
export interface TunnelDependent {
  /** The tunnel is gone, and not because it was wound down. */
  tunnelLost(): void;
}

/** The end of a connection whose stream of `tunnel` was reset; `local`: not by the peer. */
export const resetEnd = (tunnel: Pick<StreamHost, 'cutOff'> | undefined, code: number, local: boolean): ConnectionEnd => {
  if (tunnel?.cutOff !== undefined) return tunnel.cutOff;
  if (!local) return endOf('tunnel-reset', `stream reset by the peer with code ${code}`);
  const isClosed = code < 0 || code === ErrorCode.INTERNAL_ERROR;
  return endOf('tunnel-reset', isClosed ? 'the tunnel was closed' : `stream reset for a fault of the peer, code ${code}`);
};

export abstract class Tunnel implements Http2Handler, Deadline, StreamHost {
  readonly http2: Http2Connection;
  readonly output: GatheringOutput;
  readonly #streams = new Map<number, TunnelStream>();
  readonly #dependents = new Set<TunnelDependent>();
  #socket: TcpSocket | undefined;
  #release: (() => void) | undefined;
  #closed = false;
  /** Why streams are cut off, where it is known better than by how the connection ends. */
  cutOff: ConnectionEnd | undefined;

  constructor(role: Http2Role, settings: Http2Settings) {
    this.output = new GatheringOutput(() => this.#outputFull());
    this.http2 = createHttp2Connection(role, settings, this, this.output);
  }

  /** A stream the peer opened. */
  protected abstract accept(streamId: number, headers: HeaderList, endStream: boolean): void;
  /** The connection is over; its streams have been told. */
  protected abstract closed(reason: Http2CloseReason, detail: string): void;

  /** The handshake is over: speak. From now on the socket's events belong to this tunnel. */
  start(socket: TcpSocket): void {
    this.#socket = socket;
    socket.data = new Transport(this);
    this.output.attach(socket);
    deadlines.add(this);
  }

  /** Ends the tunnel, and what outlives it, when the peer's certificate is revoked. */
  protected watchPeer(socket: TcpSocket, side: RevocationSide): void {
    this.#release = revocationPolicy()?.watch(socket, side, () => {
      this.cutOff = endOf('cert-revoked');
      if (this.#closed) this.#loseDependents();
      else this.fail(this.cutOff.message);
    });
  }

  attach(streamId: number, stream: TunnelStream): void {
    this.#streams.set(streamId, stream);
  }

  /** The stream's end here needs no more events. */
  detach(streamId: number): void {
    this.#streams.delete(streamId);
  }

  /** Connections that use it: its streams, and those that pass by it and take a stream's place all the same. */
  get connectionCount(): number {
    return this.#streams.size + this.#dependents.size;
  }

  depend(dependent: TunnelDependent): void {
    this.#dependents.add(dependent);
  }

  undepend(dependent: TunnelDependent): void {
    this.#dependents.delete(dependent);
    if (this.#closed) this.#endWatch();
  }

  /** The peer's certificate matters as long as something stands on it: dependents outlive a tunnel that was wound down. */
  #endWatch(): void {
    if (this.#dependents.size === 0) this.#release?.();
  }

  #loseDependents(): void {
    const left = [...this.#dependents];
    this.#dependents.clear();
    for (const dependent of left) dependent.tunnelLost();
  }

  /** Nobody would miss it. */
  get isUnused(): boolean {
    return this.connectionCount === 0;
  }

  /** While it is open. */
  get socket(): TcpSocket | undefined {
    return this.#socket;
  }

  get isOpen(): boolean {
    return !this.#closed && this.#socket !== undefined;
  }

  /** Ends the connection at once; streams get a reset. */
  fail(detail: string): void {
    if (this.#closed) return;
    this.http2.shutdown('abrupt');
    this.close('transport-closed', detail);
  }

  /** No word of farewell: the peer reads nothing. */
  #outputFull(): void {
    this.close('output-limit', `the peer takes nothing while ${this.output.queued} bytes wait for it`);
    this.http2.transportClosed();
  }

  get dueAt(): number {
    return this.http2.nextDeadline();
  }

  onDeadline(now: number): void {
    this.http2.tick(now);
  }

  onHeaders(streamId: number, headers: HeaderList, endStream: boolean): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) this.accept(streamId, headers, endStream);
    else stream.onTunnelHeaders(headers, endStream);
  }

  onData(streamId: number, chunk: Uint8Array, endStream: boolean): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) this.http2.consumed(streamId, chunk.length);
    else stream.onTunnelData(chunk, endStream);
  }

  onReset(streamId: number, code: number, local: boolean): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    this.#streams.delete(streamId);
    stream.onTunnelReset(code, local);
  }

  onWritable(streamId: number): void {
    this.#streams.get(streamId)?.onTunnelWritable();
  }

  onGoaway(_lastStreamId: number, _code: number): void {
    // The machine refuses new requests from now on; the pool looks at `isDraining`.
  }

  onClose(reason: Http2CloseReason, detail: string): void {
    this.close(reason, detail, reason !== 'graceful' && reason !== 'peer-goaway');
  }

  /** The peer has closed its side: nothing can be answered any more, and it need not close the rest. */
  peerEnded(): void {
    const socket = this.#socket;
    this.transportClosed(undefined);
    if (socket !== undefined) new Farewell(socket);
  }

  /** The socket's part of the end. */
  transportClosed(error: Error | undefined): void {
    if (this.#closed) return;
    this.#socket = undefined;
    this.output.discard();
    // After a GOAWAY that is how it ends.
    const isLost = !this.http2.isDraining;
    this.http2.transportClosed();
    this.close('transport-closed', error?.message ?? 'closed by the peer', isLost);
  }

  protected close(reason: Http2CloseReason, detail: string, isLost = true): void {
    if (this.#closed) return;
    this.#closed = true;
    deadlines.delete(this);
    const left = [...this.#streams.values()];
    this.#streams.clear();
    for (const stream of left) stream.onTunnelReset(-1, true);
    if (isLost) this.#loseDependents();
    this.#endWatch();
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket !== undefined) {
      // What the machine wrote last (GOAWAY) still goes out; a peer that does not read must not hold the socket.
      this.output.flush();
      if (this.output.queued > 0) socket.terminate();
      else new Farewell(socket);
    }
    this.output.discard();
    this.closed(reason, detail);
  }
}

/** The socket's events, apart from the machine's: both have an `onData` and an `onClose`. */
class Transport implements SocketEvents {
  readonly #tunnel: Tunnel;
  constructor(tunnel: Tunnel) {
    this.#tunnel = tunnel;
  }
  onData(chunk: Buffer): void {
    this.#tunnel.http2.receive(chunk, performance.now());
  }
  onEnd(): void {
    this.#tunnel.peerEnded();
  }
  onDrain(): void {
    this.#tunnel.output.drain();
  }
  onClose(error: Error | undefined): void {
    this.#tunnel.transportClosed(error);
  }
}
