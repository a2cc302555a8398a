/** The one way into the cluster: a TCP port on loopback joined to the API server's unix socket. TLS passes through untouched. */
import type { Socket, TCPSocketListener } from 'bun';
import { ClusterError } from '../error.ts';

/** How many ports after the wanted one are tried. */
const PORT_TRIES = 100;

interface Side {
  peer: Socket<Side> | undefined;
  /** Taken from the peer and not yet accepted by the kernel. Never more than one read (64 KiB or so): the peer is paused meanwhile. */
  pending: Uint8Array[];
  ended: boolean;
}

const side = (): Side => ({ peer: undefined, pending: [], ended: false });

function write(to: Socket<Side>, chunk: Uint8Array): void {
  if (to.data.pending.length > 0) {
    to.data.pending.push(new Uint8Array(chunk));
    return;
  }
  const taken = Math.max(0, to.write(chunk));
  if (taken < chunk.length) {
    to.data.pending.push(new Uint8Array(chunk.subarray(taken)));
    to.data.peer?.pause();
  }
}

function drain(socket: Socket<Side>): void {
  const { pending } = socket.data;
  while (pending.length > 0) {
    const first = pending[0]!;
    const taken = Math.max(0, socket.write(first));
    if (taken < first.length) {
      pending[0] = first.subarray(taken);
      return;
    }
    pending.shift();
  }
  if (socket.data.ended) socket.end();
  else socket.data.peer?.resume();
}

function finish(socket: Socket<Side>): void {
  const { peer } = socket.data;
  if (peer === undefined) return;
  peer.data.ended = true;
  if (peer.data.pending.length === 0) peer.end();
}

const handlers = {
  data: (socket: Socket<Side>, chunk: Buffer): void => {
    if (socket.data.peer === undefined) socket.data.pending.push(new Uint8Array(chunk));
    else write(socket.data.peer, chunk);
  },
  drain,
  end: finish,
  close: finish,
  error: finish,
};

/** Listens on the wanted port, or on the next free one unless `exact`. */
export function forwardPort(wanted: number, exact: boolean, unix: string): TCPSocketListener<Side> {
  for (let port = wanted; port < wanted + PORT_TRIES; port++) {
    try {
      return Bun.listen<Side>({
        hostname: '127.0.0.1',
        port,
        socket: {
          ...handlers,
          open(client) {
            client.data = side();
            void Bun.connect<Side>({ unix, data: side(), socket: handlers }).then(
              (server) => {
                const early = client.data.pending;
                client.data.pending = [];
                client.data.peer = server;
                server.data.peer = client;
                for (const chunk of early) write(server, chunk);
              },
              () => client.end(), // the API server is restarting: the client sees a closed connection and tries again
            );
          },
        },
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      if (exact)
        throw new ClusterError('PORT_IN_USE', `Port ${port} on 127.0.0.1 is in use. Choose another with --port.`, { cause: error });
    }
  }
  throw new ClusterError(
    'PORT_IN_USE',
    `Ports ${wanted} to ${wanted + PORT_TRIES - 1} on 127.0.0.1 are all in use. Choose another with --port.`,
  );
}
