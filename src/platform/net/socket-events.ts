/** What happens on a connection. A socket's `data` is the object these go to; it may be exchanged for another one at any time. */
import type { Socket } from 'bun';
import { reportFault } from './fault.ts';
import { heapBallast } from './heap-ballast.ts';

export type TcpSocket = Socket<SocketEvents>;

export interface SocketEvents {
  /** `chunk` is only valid during the call. */
  onData(chunk: Buffer): void;
  /** The peer will send no more. */
  onEnd(): void;
  /** The kernel takes bytes again. */
  onDrain(): void;
  /** The connection is over; `error` when it did not end in order. Called once, last. */
  onClose(error: Error | undefined): void;
  /** TLS only: the handshake has ended. `error` is the reason not to trust the peer's certificate, or why the handshake failed. */
  onHandshake?(socket: TcpSocket, succeeded: boolean, error: NodeJS.ErrnoException | null): void;
}

/** One set of functions for every socket: a closure per connection would cost more than the connection. */
export const socketHandlers = {
  data(socket: TcpSocket, chunk: Buffer): void {
    heapBallast.read(chunk.length);
    socket.data.onData(chunk);
  },
  end(socket: TcpSocket): void {
    socket.data.onEnd();
  },
  drain(socket: TcpSocket): void {
    socket.data.onDrain();
  },
  close(socket: TcpSocket, error?: Error): void {
    socket.data.onClose(error);
  },
  error(socket: TcpSocket, error: NodeJS.ErrnoException): void {
    // Of the network or TLS: `close` follows and says the same.
    if (error.code !== undefined && !error.code.startsWith('ERR_INVALID')) return;
    // Thrown by one of these functions: what belongs to this connection can no longer be relied on.
    reportFault(error);
    socket.terminate();
  },
};

export const tlsSocketHandlers = {
  ...socketHandlers,
  handshake(socket: TcpSocket, succeeded: boolean, error: Error | null): void {
    socket.data.onHandshake?.(socket, succeeded, error);
  },
};
