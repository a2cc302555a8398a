/** Outgoing connections: from inside a network namespace, with a mark, from a chosen source address, with a time limit. */
import type { TLSOptions } from 'bun';
import {
  allowForeignAddress,
  bindSocket,
  closeDescriptor,
  openTcp,
  startConnect,
  type TcpOptions,
  TcpState,
  tcpState,
} from '../linux/index.ts';
import { type Deadline, deadlines } from './deadlines.ts';
import { type SocketEvents, socketHandlers, type TcpSocket, tlsSocketHandlers } from './socket-events.ts';

export interface DialOptions extends TcpOptions {
  readonly address: string;
  readonly port: number;
  readonly networkNamespace?: number | undefined;
  /** Address to connect from, which need not be this host's. */
  readonly source?: string | undefined;
  /** Fail when the source address cannot be used; otherwise the kernel chooses one. */
  readonly sourceRequired?: boolean | undefined;
  /**
   * Choose the source port below those that kernels choose from. For a connection from `source` to an address and port that `source` itself has connections
   * to: with the port of one of them, connection tracking would take it for that one and translate it as that one.
   */
  readonly lowSourcePort?: boolean | undefined;
  /** Limit for the connection, and for the TLS handshake after it. */
  readonly timeout: number;
  /** With `rejectUnauthorized` false: the chain is checked here, the names in the certificate by whoever dials. */
  readonly tls?: TLSOptions | undefined;
  /** Takes any certificate. */
  readonly trustsAnyone?: boolean | undefined;
  /** A connected descriptor to use instead of a new connection; taken over. `address` and `port` mean nothing then. */
  readonly connected?: number | undefined;
  /** Sent first, in the clear, before TLS too: a PROXY protocol header. Short enough for the buffer of a new socket. */
  readonly preface?: Uint8Array | undefined;
}

/** Why there is no connection. `code` is an error number's name, `ETIMEDOUT` for our own limit, or a TLS library code. */
export interface DialFailure {
  readonly stage: 'socket' | 'connect' | 'handshake';
  readonly code: string;
  readonly message: string;
}

export interface DialEvents extends SocketEvents {
  /** The TCP connection is up, and with TLS the handshake is over and the peer's chain is good; from now on the other events come. */
  onConnected(socket: TcpSocket): void;
  onDialFailed(failure: DialFailure): void;
}

const describe = (code: string): string => {
  const text = MESSAGES[code];
  return text === undefined ? code : `${text} (${code})`;
};
const MESSAGES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset by peer',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network is unreachable',
  ETIMEDOUT: 'deadline has elapsed',
  EADDRNOTAVAIL: 'cannot assign requested address',
  EMFILE: 'too many open files in this process: raise its limit',
  ENFILE: 'too many open files in the system',
};

/** The one certificate fault of a SPIFFE server that is none: a good chain, and no DNS name in the certificate. */
const NO_NAME_IN_CERTIFICATE = 'ERR_TLS_CERT_ALTNAME_INVALID';

/** What the connection under TLS has to say, TLS says too. */
const DEAF: SocketEvents = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };

/** From behind the privileged ports to before those kernels choose from (`net.ipv4.ip_local_port_range`). */
const LOW_PORTS = { first: 1024, count: 32_768 - 1024 };
/** Ports tried before the kernel chooses. */
const LOW_PORT_TRIES = 8;

function bindLow(fd: number, address: string): boolean {
  for (let tries = 0; tries < LOW_PORT_TRIES; tries++) {
    const refused = bindSocket(fd, address, LOW_PORTS.first + Math.floor(Math.random() * LOW_PORTS.count));
    if (refused?.code !== 'EADDRINUSE') return refused === undefined;
  }
  return false;
}

/** A connection attempt. `cancel` ends it silently. */
export class Dial implements SocketEvents, Deadline {
  dueAt: number;
  readonly #events: DialEvents;
  #tls: boolean;
  readonly #trustsAnyone: boolean;
  #preface: Uint8Array | undefined;
  /** For after the preface. */
  #upgrade: TLSOptions | undefined;
  #socket: TcpSocket | undefined;
  #fd = -1;
  #settled = false;
  #pending = false;
  #handshakeError: NodeJS.ErrnoException | undefined;
  readonly #isConnected: boolean;

  constructor(options: DialOptions, events: DialEvents) {
    this.#events = events;
    this.#isConnected = options.connected !== undefined;
    this.#trustsAnyone = options.trustsAnyone === true;
    this.#preface = options.preface;
    this.#upgrade = options.preface === undefined ? undefined : options.tls;
    this.#tls = options.tls !== undefined && this.#upgrade === undefined;
    this.dueAt = performance.now() + options.timeout;
    try {
      this.#start(options);
    } catch (error) {
      this.#fail('socket', (error as NodeJS.ErrnoException).code ?? 'EIO', (error as Error).message);
    }
  }

  cancel(): void {
    if (this.#settled) return;
    this.#settle();
    this.#socket?.terminate();
  }

  #start(options: DialOptions): void {
    const family = options.address.includes(':') ? 6 : 4;
    const fd = options.connected ?? openTcp({ ...options, family });
    const outcome = this.#isConnected ? 'connected' : this.#bindAndConnect(fd, family, options);
    if (outcome instanceof Error) {
      closeDescriptor(fd);
      this.#fail('connect', outcome.code, describe(outcome.code));
      return;
    }
    this.#fd = fd;
    this.#pending = outcome === 'pending' || options.tls !== undefined;
    if (this.#pending) deadlines.add(this);
    // `fd` is a documented-by-behaviour option of Bun.connect that its types lack; the descriptor is Bun's from here on.
    const connect = Bun.connect as (options: object) => Promise<TcpSocket>;
    const target = this.#tls
      ? { fd, data: this, allowHalfOpen: true, tls: options.tls, socket: Dial.#tlsHandlers }
      : { fd, data: this, allowHalfOpen: true, socket: Dial.#plainHandlers };
    connect(target).catch(Dial.#ignored);
  }

  #bindAndConnect(fd: number, family: 4 | 6, options: DialOptions) {
    if (options.source !== undefined) {
      allowForeignAddress(fd, family);
      const refused = options.lowSourcePort && bindLow(fd, options.source) ? undefined : bindSocket(fd, options.source);
      if (refused && options.sourceRequired) return refused;
    }
    return startConnect(fd, options.address, options.port);
  }

  static readonly #own = { open: Dial.#opened, connectError: Dial.#refused };
  static readonly #plainHandlers = { ...socketHandlers, ...Dial.#own };
  static readonly #tlsHandlers = { ...tlsSocketHandlers, ...Dial.#own };

  static #opened(socket: TcpSocket): void {
    const dial = socket.data as Dial;
    dial.#socket = socket;
    if (dial.#settled) socket.terminate();
    else if (!dial.#pending) dial.#succeed();
  }

  static #refused(socket: TcpSocket, error: NodeJS.ErrnoException): void {
    (socket.data as Dial).#fail('connect', error.code ?? 'ECONNREFUSED', describe(error.code ?? 'ECONNREFUSED'));
  }

  static #ignored(): void {
    // Reported through `connectError`.
  }

  /** The descriptor is writable: connected, or failed, which `close` reports next. */
  onDrain(): void {
    if (this.#tls || this.#settled) return;
    const state = tcpState(this.#fd);
    if (state === TcpState.ESTABLISHED || state === TcpState.CLOSE_WAIT) this.#succeed();
  }

  onData(chunk: Buffer): void {
    if (this.#settled || this.#tls) return;
    this.#succeed();
    this.#socket?.data.onData(chunk);
  }

  onEnd(): void {
    if (this.#settled) return;
    const state = this.#fd < 0 ? -1 : tcpState(this.#fd);
    if (!this.#tls && state === TcpState.CLOSE_WAIT) {
      this.#succeed();
      this.#socket?.data.onEnd();
    }
  }

  onHandshake(_socket: TcpSocket, succeeded: boolean, error: NodeJS.ErrnoException | null): void {
    if (this.#settled) return;
    if (error === null || error.code === NO_NAME_IN_CERTIFICATE || (this.#trustsAnyone && error.code !== 'ECONNRESET')) {
      if (succeeded || error !== null) this.#succeed();
      return;
    }
    this.#handshakeError = error;
    // A chain that is not to be trusted leaves the connection open; a failed handshake closes it, and `close` knows more.
    if (error.code !== 'ECONNRESET') this.#fail('handshake', error.code ?? 'EPROTO', error.message);
  }

  onClose(error: NodeJS.ErrnoException | undefined): void {
    if (this.#settled) return;
    const code = error?.code ?? this.#handshakeError?.code ?? (this.#isConnected ? 'ECONNRESET' : 'ECONNREFUSED');
    const isConnect = !this.#isConnected && (!this.#tls || CONNECT_CODES.has(code));
    this.#socket = undefined;
    this.#fail(isConnect ? 'connect' : 'handshake', code, isConnect ? describe(code) : (this.#handshakeError?.message ?? describe(code)));
  }

  onDeadline(): void {
    const connected = this.#isConnected || (this.#fd >= 0 && tcpState(this.#fd) === TcpState.ESTABLISHED);
    this.#fail(connected ? 'handshake' : 'connect', 'ETIMEDOUT', describe('ETIMEDOUT'));
  }

  #succeed(): void {
    const socket = this.#socket!;
    const preface = this.#preface;
    if (preface !== undefined) {
      this.#preface = undefined;
      if (socket.write(preface) < preface.length) {
        this.#fail('connect', 'EAGAIN', 'the socket took only a part of the first octets');
        return;
      }
      if (this.#upgrade !== undefined) {
        this.#secure(socket, this.#upgrade);
        return;
      }
    }
    this.#settle();
    socket.data = this.#events;
    this.#events.onConnected(socket);
  }

  /** The handshake begins on a connection that is in use. */
  #secure(plain: TcpSocket, tls: TLSOptions): void {
    this.#tls = true;
    plain.data = DEAF;
    const [, secured] = plain.upgradeTLS<SocketEvents>({ data: this, tls, socket: tlsSocketHandlers });
    this.#socket = secured;
  }

  #fail(stage: DialFailure['stage'], code: string, message: string): void {
    if (this.#settled) return;
    this.#settle();
    this.#socket?.terminate();
    // Never from inside the constructor: the caller does not hold the dial yet.
    queueMicrotask(() => this.#events.onDialFailed({ stage, code, message }));
  }

  #settle(): void {
    this.#settled = true;
    this.dueAt = Number.POSITIVE_INFINITY;
    if (this.#pending) deadlines.delete(this);
  }
}

const CONNECT_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'EADDRNOTAVAIL',
  'ENETDOWN',
]);
