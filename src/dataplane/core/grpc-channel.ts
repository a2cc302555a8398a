/**
 * gRPC to the control plane over this proxy's own HTTP/2: one connection, made when a call needs it, TLS with a root that may be exchanged on disk, and a
 * token that is read for each call. A gRPC library would cost each proxy more memory than the rest of its program.
 */
import fs from 'node:fs';
import type { TLSOptions } from 'bun';
import { GrpcCode, type HeaderList, parseIp } from '../../protocol/index.ts';
import { ALPN_PROTOCOLS } from './certificate.ts';
import type { ControlPlaneTarget, CoreConfig } from './config.ts';
import { GrpcCall, type GrpcEvents } from './grpc-call.ts';
import { GrpcConnection, type GrpcConnectionEvents } from './grpc-connection.ts';

/** For the connection, and again for the TLS handshake, per address. */
const CONNECT_TIMEOUT_MS = 5_000;

/** Root certificates: a file, inline PEM, or the system's (undefined). */
function readRoot(target: ControlPlaneTarget): string | undefined {
  if (target.rootCa === 'SYSTEM') return undefined;
  if (target.rootCa.includes('-----BEGIN')) return target.rootCa;
  try {
    return fs.readFileSync(target.rootCa, 'utf8');
  } catch (error) {
    throw new Error(
      `cannot read the root certificate "${target.rootCa}" of ${target.host}: ${(error as Error).message}; set XDS_ROOT_CA and CA_ROOT_CA`,
    );
  }
}

/** The system's own resolver, as every other program on the host: `/etc/hosts`, search domains. */
const resolve = async (host: string): Promise<readonly string[]> => {
  if (parseIp(host) !== undefined) return [host];
  const found = await Bun.dns.lookup(host, { backend: 'libc' });
  return [...new Set(found.map(({ address }) => address))];
};

export class GrpcChannel implements GrpcConnectionEvents {
  readonly #target: ControlPlaneTarget;
  readonly #config: CoreConfig;
  #connection: GrpcConnection | undefined;
  /** Calls that wait for the connection. */
  #waiting: GrpcCall[] = [];
  /** Addresses that are left to try for them. */
  #addresses: readonly string[] = [];
  #isConnecting = false;
  /** Tells an attempt that was given up from the one that goes on. */
  #attempt = 0;
  #root: string | undefined;

  constructor(target: ControlPlaneTarget, config: CoreConfig) {
    this.#target = target;
    this.#config = config;
  }

  /** Starts a call of `method` (`/package.Service/Method`). Throws when the root or the token cannot be read. `timeout` in milliseconds. */
  call(method: string, events: GrpcEvents, timeout?: number): GrpcCall {
    const root = readRoot(this.#target);
    const call = new GrpcCall(this.#headers(method), events, timeout);
    if (root !== this.#root) this.#retire('graceful');
    this.#root = root;
    if (this.#connection?.takesCalls && call.open(this.#connection)) return call;
    this.#waiting.push(call);
    if (!this.#isConnecting) void this.#connect();
    return call;
  }

  /** Forgets the connection, so that the next call resolves and connects anew. */
  reset(): void {
    this.#retire('graceful');
  }

  close(): void {
    this.#retire('abrupt');
    this.#failWaiting('closed by this end');
  }

  onConnected(connection: GrpcConnection): void {
    this.#isConnecting = false;
    this.#addresses = [];
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const call of waiting) if (!call.isOver && !call.open(connection)) this.#fail(call, 'the control plane allows no more streams');
  }

  onGone(connection: GrpcConnection, reason: string): void {
    if (connection !== this.#connection) return;
    this.#connection = undefined;
    if (!this.#isConnecting) return;
    if (this.#addresses.length > 0) this.#dialNext();
    else this.#failWaiting(reason);
  }

  async #connect(): Promise<void> {
    this.#retire('graceful');
    this.#isConnecting = true;
    const attempt = this.#attempt;
    let addresses: readonly string[];
    try {
      addresses = await resolve(this.#target.host);
    } catch (error) {
      if (attempt === this.#attempt) this.#failWaiting(`cannot resolve "${this.#target.host}": ${(error as Error).message}`);
      return;
    }
    if (attempt !== this.#attempt) return;
    this.#addresses = addresses;
    this.#dialNext();
  }

  #dialNext(): void {
    const [address = '', ...rest] = this.#addresses;
    this.#addresses = rest;
    const { port, serverName } = this.#target;
    const tls: TLSOptions = {
      ...this.#config.tls.mesh,
      ALPNProtocols: ALPN_PROTOCOLS,
      // The chain is verified all the same; the name, which may be an address, is compared when the handshake is over.
      rejectUnauthorized: false,
      ...(this.#root === undefined ? {} : { ca: this.#root }),
      // An address is not allowed as the name a client sends (RFC 6066 section 3).
      ...(parseIp(serverName) === undefined ? { serverName } : {}),
    };
    this.#connection = new GrpcConnection(serverName, this);
    this.#connection.dial({ address, port, timeout: CONNECT_TIMEOUT_MS, tls });
  }

  #retire(mode: 'graceful' | 'abrupt'): void {
    const connection = this.#connection;
    this.#attempt++;
    this.#connection = undefined;
    this.#isConnecting = false;
    this.#addresses = [];
    connection?.end(mode);
  }

  #failWaiting(reason: string): void {
    this.#isConnecting = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const call of waiting) this.#fail(call, reason);
  }

  #fail(call: GrpcCall, reason: string): void {
    const { host, port } = this.#target;
    call.finish({ code: GrpcCode.UNAVAILABLE, message: `${host}:${port}: ${reason}` });
  }

  #headers(method: string): HeaderList {
    const { host, port, serverName, headers } = this.#target;
    const list: [string, string][] = [
      [':method', 'POST'],
      [':scheme', 'https'],
      [':authority', serverName === host ? `${host.includes(':') ? `[${host}]` : host}:${port}` : serverName],
      [':path', method],
      ['te', 'trailers'],
      ['content-type', 'application/grpc'],
      ['user-agent', 'lateen'],
    ];
    const token = this.#config.authToken;
    if (token !== undefined) {
      const text = token.kind === 'file' ? fs.readFileSync(token.value, 'utf8').trim() : token.value;
      list.push(['authorization', `Bearer ${text}`]);
    }
    list.push(['clusterid', this.#config.clusterId]);
    for (const [name, value] of headers) list.push([name.toLowerCase(), value]);
    return list;
  }
}
