/** Listeners inside network namespaces. The kernel's socket is ours, so its TLS certificate can be exchanged without losing a connection. */
import type { TCPSocketListener, TLSOptions } from 'bun';
import { closeDescriptor, duplicateDescriptor, type ListenTcpOptions, listenTcp } from '../linux/index.ts';
import { type SocketEvents, socketHandlers, type TcpSocket, tlsSocketHandlers } from './socket-events.ts';

/** Gives the object that gets a new connection's events; undefined refuses it. For TLS it is called before the handshake. */
export type Accept = (socket: TcpSocket) => SocketEvents | undefined;

/** Gets the events of refused connections. */
const deaf: SocketEvents = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };

/** IPv4 addresses of dual-stack sockets come as `::ffff:10.0.0.1`. */
export const plainAddress = (address: string | undefined): string =>
  // Bun has no address for a peer that is gone already, whatever its types say.
  address === undefined ? '' : address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;

export class TcpListener {
  #fd: number;
  readonly #accept: Accept;
  #listener: TCPSocketListener<SocketEvents> | undefined;

  /** Connections queue in the kernel until `serve` is called. Throws a `SystemError` when the port is taken or the namespace is gone. */
  constructor(options: ListenTcpOptions, accept: Accept) {
    this.#fd = listenTcp(options);
    this.#accept = accept;
  }

  /** Accepts connections from now on, with this TLS identity or none. Called again, new connections get the new one; open ones stay. */
  serve(tls?: TLSOptions): void {
    if (this.#fd < 0) return;
    const handlers = tls ? tlsSocketHandlers : socketHandlers;
    const accept = this.#accept;
    const open = (socket: TcpSocket): void => {
      socket.data = deaf;
      const events = accept(socket);
      if (events) socket.data = events;
      else socket.terminate();
    };
    // `fd` is an option of Bun.listen that its types lack; the descriptor is Bun's from here on.
    const listen = Bun.listen as (options: object) => TCPSocketListener<SocketEvents>;
    const next = listen({
      fd: duplicateDescriptor(this.#fd),
      allowHalfOpen: true,
      data: deaf,
      ...(tls ? { tls } : {}),
      socket: { ...handlers, open },
    });
    this.#listener?.stop(false);
    this.#listener = next;
  }

  /** Takes no more connections; those that are open stay. */
  close(): void {
    this.#listener?.stop(false);
    this.#listener = undefined;
    if (this.#fd >= 0) closeDescriptor(this.#fd);
    this.#fd = -1;
  }
}
