/**
 * Joining of two pods that one process serves: their bytes need no TLS from this process to itself. `LATEEN_JOIN_SAME_NODE=false` leaves them to a tunnel.
 *
 * Nothing else changes, by construction. A tunnel between the two is made first, with both certificates, as between strangers; only when its two ends turn out to be
 * in this process (they share a secret that TLS exports, RFC 8446 section 7.5) does a connection pass by it. What would have been a stream of that tunnel is then a
 * {@link Join}, on which the same code as ever stands at either end: the CONNECT is checked, authorised, enforced, logged and counted by `InboundStream`.
 * Joins keep their tunnel, and end with it.
 */
import type { Identity } from '../../mesh/index.ts';
import type { Source, TcpSocket } from '../../platform/net/index.ts';
import type { Counter, Registry } from '../../platform/telemetry/index.ts';
import { ErrorCode, type HeaderList } from '../../protocol/index.ts';
import type { ConnectionEnd } from '../core/end-reason.ts';
import type { ClientTunnel } from '../core/hbone-client.ts';
import type { StreamHost, Tunnel, TunnelDependent, TunnelStream } from '../core/tunnel.ts';
import { type InboundHost, InboundStream } from './inbound-stream.ts';
import type { InboundTunnel } from './inbound-tunnel.ts';
import type { PodProxy } from './pod-proxy.ts';

/** Bytes one side may be ahead of the other's application: a whole read of a socket, twice. */
export const JOIN_WINDOW = 1024 * 1024;
/** The server's end of a tunnel is ready this much later than the client's at most, if both are here. */
const OTHER_END_MS = 50;
const KEY_LABEL = 'EXPORTER-lateen-same-node';
const KEY_OCTETS = 32;
/** Each join is a connection of its own, with one stream. */
export const JOINED_STREAM = 1;

/** `isLost`: the tunnel did not live to tell, as where its other end refuses the client. */
type Found = (server: InboundTunnel | undefined, isLost: boolean) => void;

/** A secret only the two ends of this TLS connection have. */
function keyOf(socket: TcpSocket): string {
  // Bun's types do not know this member of a TLS socket.
  const { exportKeyingMaterial } = socket as unknown as { exportKeyingMaterial(length: number, label: string): Buffer };
  return exportKeyingMaterial.call(socket, KEY_OCTETS, KEY_LABEL).toString('latin1');
}

/** Tunnels with both ends in this process. */
export class SameNode {
  readonly #servers = new Map<string, InboundTunnel>();
  readonly #keys = new WeakMap<InboundTunnel, string>();
  /** null: its other end is elsewhere. */
  readonly #known = new WeakMap<ClientTunnel, InboundTunnel | null>();
  readonly #awaited = new Map<string, (server: InboundTunnel) => void>();
  readonly #joined: Counter;

  constructor(telemetry: Registry) {
    this.#joined = telemetry.counter('lateen_joined_connections', 'Connections between pods of one process that took no tunnel (unstable)');
  }

  /** The server's end of a tunnel is ready. */
  add(server: InboundTunnel, socket: TcpSocket): void {
    const key = keyOf(socket);
    this.#keys.set(server, key);
    this.#servers.set(key, server);
    this.#awaited.get(key)?.(server);
  }

  remove(server: InboundTunnel): void {
    const key = this.#keys.get(server);
    if (key !== undefined) this.#servers.delete(key);
  }

  /** Calls back, perhaps at once, with the other end of a tunnel when it is here and takes joins. `isNear`: it may be, so a new tunnel's is waited for. */
  find(tunnel: ClientTunnel, isNear: boolean, then: Found): void {
    const known = this.#known.get(tunnel);
    if (known === null || !isNear) then(undefined, false);
    else if (known !== undefined) then(usable(known), false);
    else this.#await(tunnel, then);
  }

  #await(tunnel: ClientTunnel, then: Found): void {
    const { socket } = tunnel;
    if (socket === undefined) {
      then(undefined, false);
      return;
    }
    const key = keyOf(socket);
    const found = (server: InboundTunnel | null, isLost = false): void => {
      this.#known.set(tunnel, server);
      then(server === null ? undefined : usable(server), isLost);
    };
    const server = this.#servers.get(key);
    if (server !== undefined) {
      found(server);
      return;
    }
    const others = this.#awaited.get(key);
    const settle = (late: InboundTunnel | null, isLost = false): void => {
      clearTimeout(timer);
      tunnel.undepend(waiting);
      this.#awaited.delete(key);
      found(late, isLost);
    };
    const waiting: TunnelDependent = { tunnelLost: () => settle(null, true) };
    tunnel.depend(waiting);
    const timer = setTimeout(() => settle(null), OTHER_END_MS);
    this.#awaited.set(key, (late) => {
      others?.(late);
      settle(late);
    });
  }

  /** A connection that passes by this tunnel; begin it with {@link Join.connect}. */
  join(client: ClientTunnel, server: InboundTunnel): Join {
    this.#joined.inc();
    return new Join(client, server);
  }
}

/** Applications with a tunnel of their own get theirs as before. */
const usable = (server: InboundTunnel): InboundTunnel | undefined =>
  server.isOpen && server.pod.workload?.applicationTunnel === undefined ? server : undefined;

/** The end of a tunnel that a join's end stands on. */
type Base = Pick<Tunnel, 'cutOff' | 'depend' | 'undepend'>;

/** One of the two ends of a join: what a stream of a tunnel is to whoever holds it. */
export class JoinEnd implements StreamHost, TunnelDependent {
  readonly #base: Base;
  readonly http2 = this;
  readonly output = this;
  #other: JoinEnd = this;
  #stream: TunnelStream | undefined;
  #window = JOIN_WINDOW;
  #isBlocked = false;
  /** Who feeds this end, while it is told to wait. */
  #waiting: Source | undefined;
  /** Nothing more is sent from here. */
  #isEnded = false;

  constructor(base: Base) {
    this.#base = base;
  }

  get cutOff(): ConnectionEnd | undefined {
    return this.#base.cutOff;
  }

  connectTo(other: JoinEnd): void {
    this.#other = other;
    other.#other = this;
  }

  attach(_streamId: number, stream: TunnelStream): void {
    this.#stream = stream;
    this.#base.depend(this);
  }

  detach(): void {
    this.#stream = undefined;
    this.#base.undepend(this);
  }

  /** As a tunnel's streams end with it: a certificate that was revoked, say. */
  tunnelLost(): void {
    for (const end of [this, this.#other]) {
      end.#isEnded = true;
      const stream = end.#stream;
      end.detach();
      stream?.onTunnelReset(-1, true);
    }
  }

  sendHeaders(_streamId: number, headers: HeaderList, endStream: boolean): void {
    if (this.#isEnded) return;
    this.#isEnded = endStream;
    this.#other.#stream?.onTunnelHeaders(headers, endStream);
  }

  sendData(_streamId: number, chunk: Uint8Array, endStream: boolean): number {
    if (this.#isEnded) return 0;
    const other = this.#other;
    const { length } = chunk;
    if (length === 0) {
      this.#isEnded = endStream;
      other.#stream?.onTunnelData(chunk, endStream);
      return 0;
    }
    let sent = 0;
    // Consuming within the call opens the window again.
    while (sent < length && this.#window > 0) {
      const end = Math.min(length, sent + this.#window);
      const part = sent === 0 && end === length ? chunk : chunk.subarray(sent, end);
      this.#window -= end - sent;
      sent = end;
      const isLast = endStream && sent === length;
      this.#isEnded = isLast;
      const stream = other.#stream;
      if (stream === undefined) this.#window += part.length;
      else stream.onTunnelData(part, isLast);
    }
    this.#isBlocked = sent < length;
    return sent;
  }

  /**
   * The other side's kernel did not take all of what was sent. One read of a socket may have to be kept then, but no second: kept octets are copied.
   * Measured on one bulk stream: without it every octet was.
   */
  get isCongested(): boolean {
    return this.#window < JOIN_WINDOW;
  }

  holdBack(source: Source): void {
    if (this.#waiting !== undefined) return;
    this.#waiting = source;
    source.pause();
  }

  forget(_source: Source): boolean {
    const wasWaiting = this.#waiting !== undefined;
    this.#waiting = undefined;
    return wasWaiting;
  }

  isHoldingBack(_source: Source): boolean {
    return this.#waiting !== undefined;
  }

  #release(): void {
    const source = this.#waiting;
    this.#waiting = undefined;
    source?.resume();
  }

  consumed(_streamId: number, length: number): void {
    this.#other.#opened(length);
  }

  #opened(length: number): void {
    this.#window += length;
    if (this.#waiting !== undefined && !this.isCongested) this.#release();
    if (!this.#isBlocked || this.#window < JOIN_WINDOW / 2) return;
    this.#isBlocked = false;
    this.#stream?.onTunnelWritable();
  }

  reset(_streamId: number, code: ErrorCode): void {
    const other = this.#other;
    const wasOver = this.#isEnded && other.#isEnded;
    this.#isEnded = true;
    other.#isEnded = true;
    if (!wasOver) queueMicrotask(() => other.#wasReset(code));
  }

  /** Not within the call that caused it, as no tunnel does: this side may be about to end the stream itself. */
  #wasReset(code: ErrorCode): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.detach();
    stream.onTunnelReset(code, false);
  }
}

/** The server's end, with everything a tunnel knows of its client. */
class ServerEnd extends JoinEnd implements InboundHost {
  readonly isJoined = true;
  readonly pod: PodProxy;
  readonly identity: Identity;
  readonly identityUri: string;
  readonly sourceIp: string;
  readonly source: string;
  readonly destinationIp: string;

  constructor(tunnel: InboundTunnel) {
    super(tunnel);
    this.pod = tunnel.pod;
    this.identity = tunnel.identity;
    this.identityUri = tunnel.identityUri;
    this.sourceIp = tunnel.sourceIp;
    this.source = tunnel.source;
    this.destinationIp = tunnel.destinationIp;
  }

  refuse(streamId: number, status: number): void {
    this.sendHeaders(streamId, [[':status', String(status)]], true);
    this.reset(streamId, ErrorCode.NO_ERROR);
  }
}

/** A connection between two pods of this process, seen from the client's side. */
export class Join extends JoinEnd {
  readonly #server: ServerEnd;

  constructor(client: ClientTunnel, server: InboundTunnel) {
    super(client);
    this.#server = new ServerEnd(server);
    this.connectTo(this.#server);
  }

  /** Sends the CONNECT. The answer may come within the call, so whoever gets it must be attached. */
  connect(headers: HeaderList): void {
    new InboundStream(this.#server, JOINED_STREAM).start(headers, false);
  }
}
