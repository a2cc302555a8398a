/** Applications inside the lab's pods: servers and clients on plain sockets of this process. */

import fs from 'node:fs';
import {
  Dial,
  type DialEvents,
  type DialFailure,
  plainAddress,
  type SocketEvents,
  SocketWriter,
  TcpListener,
  type TcpSocket,
} from '../../src/platform/net/index.ts';
import type { Node, Pod } from './network.ts';

const namespaceOf = (pod: Pod | Node): number => fs.openSync(`/run/netns/${pod.namespace}`, 'r');

/** One end of a connection, with promises for what happens on it. */
export class Peer implements DialEvents, SocketEvents {
  readonly connected = Promise.withResolvers<void>();
  readonly ended = Promise.withResolvers<void>();
  readonly closed = Promise.withResolvers<Error | undefined>();
  socket: TcpSocket | undefined;
  #writer: SocketWriter | undefined;
  #waiters: (() => void)[] = [];
  received = 0;
  text = '';
  failure: DialFailure | undefined;
  isEnded = false;
  isClosed = false;
  /** Called instead of collecting. */
  handle: ((chunk: Buffer, peer: Peer) => void) | undefined;

  onConnected(socket: TcpSocket): void {
    this.socket = socket;
    this.#writer = new SocketWriter(socket);
    this.connected.resolve();
  }
  onDialFailed(failure: DialFailure): void {
    this.failure = failure;
    this.connected.reject(new Error(failure.message));
    this.closed.resolve(new Error(failure.message));
    this.isEnded = true;
    this.isClosed = true;
    this.ended.resolve();
    this.#wake();
  }
  onData(chunk: Buffer): void {
    this.received += chunk.length;
    if (this.handle) this.handle(chunk, this);
    else this.text += chunk.toString('latin1');
    this.#wake();
  }
  onEnd(): void {
    this.isEnded = true;
    this.ended.resolve();
    this.#wake();
  }
  onDrain(): void {
    this.#writer?.drain();
  }
  onClose(error: Error | undefined): void {
    this.isEnded = true;
    this.isClosed = true;
    this.ended.resolve();
    this.closed.resolve(error);
    this.#wake();
  }
  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }

  send(data: string | Uint8Array): void {
    this.#writer!.write(typeof data === 'string' ? Buffer.from(data) : data);
  }
  finish(): void {
    this.#writer!.finish();
  }
  get queued(): number {
    return this.#writer?.queued ?? 0;
  }
  /** Waits for this many bytes; fails when the connection ends before. */
  async bytes(count: number): Promise<string> {
    while (this.received < count) {
      if (this.isEnded) throw new Error(`connection ended after ${this.received} of ${count} bytes`);
      await new Promise<void>((wake) => this.#waiters.push(wake));
    }
    return this.text;
  }
}

export function dial(from: Pod | Node, ip: string, port: number, timeout = 15_000): Peer {
  const peer = new Peer();
  peer.connected.promise.catch(() => {});
  const namespace = namespaceOf(from);
  new Dial({ address: ip, port, networkNamespace: namespace, timeout }, peer);
  fs.closeSync(namespace);
  return peer;
}

export interface ServerHandle {
  readonly peers: Peer[];
  readonly sources: string[];
  close(): void;
}

/** Accepts connections in a pod; `accept` says what each does. */
export function serve(pod: Pod | Node, port: number, accept: (peer: Peer) => void = () => {}): ServerHandle {
  const namespace = namespaceOf(pod);
  const peers: Peer[] = [];
  const sources: string[] = [];
  const listener = new TcpListener({ address: '::', port, networkNamespace: namespace, reusePort: false }, (socket) => {
    const peer = new Peer();
    peers.push(peer);
    sources.push(plainAddress(socket.remoteAddress));
    peer.onConnected(socket);
    accept(peer);
    return peer;
  });
  listener.serve();
  fs.closeSync(namespace);
  return { peers, sources, close: () => listener.close() };
}

/** Sends everything back, twice if asked. */
export const echo =
  (times = 1) =>
  (peer: Peer): void => {
    peer.handle = (chunk) => {
      for (let i = 0; i < times; i++) peer.send(chunk);
    };
    void peer.ended.promise.then(() => {
      if (!peer.isClosed) peer.finish();
    });
  };
