/** Port-forward over a WebSocket: per port one channel for data (2n) and one for errors (2n + 1), each begun by the port number. */

import { ptr } from 'bun:ffi';
import fs from 'node:fs';
import type { ServerWebSocket, Socket, SocketHandler, TCPSocketConnectOptions } from 'bun';
import { inNetworkNamespace, libc, SystemError } from '../../platform/linux/index.ts';
import { messageOf } from '../error.ts';
import type { ProcessRef } from '../processes.ts';
import type { ChannelStream } from './channel-stream.ts';
import { netnsPath } from './sandbox.ts';

const AF_INET = 2;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDTIMEO = 21;
/** A connection inside one namespace is made at once unless the program's backlog is full. */
const CONNECT_LIMIT_S = 1;
const MAX_BUFFERED = 1024 * 1024;
/** What the client may send ahead of a program that does not read. */
const MAX_PENDING = 16 * 1024 * 1024;

interface Link {
  readonly channel: number;
  socket: Socket<Link> | undefined;
  pending: Buffer[];
  pendingBytes: number;
  ended: boolean;
}

export class PortForwardStream implements ChannelStream {
  readonly #sandbox: ProcessRef;
  readonly #links: Link[];
  readonly #ports: readonly number[];

  constructor(sandbox: ProcessRef, ports: readonly number[]) {
    this.#sandbox = sandbox;
    this.#ports = ports;
    this.#links = ports.map((_, index) => ({ channel: index * 2, socket: undefined, pending: [], pendingBytes: 0, ended: false }));
  }

  open(socket: ServerWebSocket<ChannelStream>): void {
    for (const [index, port] of this.#ports.entries()) {
      const number = Buffer.from([port & 0xff, port >> 8]);
      send(socket, index * 2, number);
      send(socket, index * 2 + 1, number);
      void this.#connect(socket, this.#links[index]!, port);
    }
  }

  message(socket: ServerWebSocket<ChannelStream>, frame: Buffer): void {
    const link = this.#links.find(({ channel }) => channel === frame[0]);
    if (link === undefined || frame.length < 2) return;
    link.pending.push(frame.subarray(1));
    link.pendingBytes += frame.length - 1;
    if (link.pendingBytes > MAX_PENDING) socket.close(1009, 'the program does not read what is sent to it');
    else flush(link);
  }

  drain(): void {
    for (const link of this.#links) link.socket?.resume();
  }

  close(): void {
    for (const link of this.#links) {
      link.ended = true;
      if (link.pending.length === 0) link.socket?.end();
    }
  }

  async #connect(socket: ServerWebSocket<ChannelStream>, link: Link, port: number): Promise<void> {
    const fail = (why: string): void => {
      if (socket.readyState !== WebSocket.OPEN) return;
      send(socket, link.channel + 1, Buffer.from(why));
      socket.close(1000);
    };
    try {
      const fd = dialLoopback(this.#sandbox, port);
      // The types know `fd` only for listening; connecting by descriptor is what the runtime does with it.
      const options: unknown = {
        fd,
        data: link,
        socket: {
          open: (tcp) => {
            link.socket = tcp;
            flush(link);
          },
          data: (tcp, chunk) => {
            send(socket, link.channel, chunk);
            if (socket.getBufferedAmount() > MAX_BUFFERED) tcp.pause();
          },
          drain: () => flush(link),
          end: () => socket.close(1000),
          close: () => socket.close(1000),
          error: (_, error) => fail(messageOf(error)),
        } satisfies SocketHandler<Link>,
      };
      await Bun.connect<Link>(options as TCPSocketConnectOptions<Link>);
    } catch (error) {
      fail(`cannot connect to port ${port} in the pod: ${messageOf(error)}`);
    }
  }
}

function flush(link: Link): void {
  if (link.socket === undefined) return;
  while (link.pending.length > 0) {
    const first = link.pending[0]!;
    const taken = Math.max(0, link.socket.write(first));
    link.pendingBytes -= taken;
    if (taken < first.length) {
      link.pending[0] = first.subarray(taken);
      return;
    }
    link.pending.shift();
  }
  if (link.ended) link.socket.end();
}

/** A descriptor connected to 127.0.0.1:port inside the sandbox's network namespace. */
function dialLoopback(sandbox: ProcessRef, port: number): number {
  const namespace = fs.openSync(netnsPath(sandbox), 'r');
  try {
    const fd = inNetworkNamespace(namespace, () => libc.socket(AF_INET, SOCK_STREAM_CLOEXEC, 0));
    if (fd < 0) throw new SystemError('socket');
    const limit = new BigInt64Array([BigInt(CONNECT_LIMIT_S), 0n]);
    libc.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, ptr(limit), 16);
    const address = Buffer.alloc(16);
    address.writeUInt16LE(AF_INET, 0);
    address.writeUInt16BE(port, 2);
    address.set([127, 0, 0, 1], 4);
    if (libc.connect(fd, ptr(address), 16) !== 0) {
      const problem = new SystemError('connect');
      libc.close(fd);
      throw problem;
    }
    return fd;
  } finally {
    fs.closeSync(namespace);
  }
}

function send(socket: ServerWebSocket<ChannelStream>, channel: number, body: Uint8Array): void {
  const frame = Buffer.allocUnsafe(body.length + 1);
  frame[0] = channel;
  frame.set(body, 1);
  socket.send(frame);
}
