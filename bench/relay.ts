/** The null arm: one plain TCP relay on the same runtime, no TLS, no policy. Takes redirected connections on 15001 and forwards each to where it was going. */
import { ptr } from 'bun:ffi';
import { libc } from '../src/platform/linux/index.ts';

interface End {
  peer: Bun.Socket<End> | undefined;
  waiting: Buffer[];
}

const address = Buffer.alloc(16);
const length = new Uint32Array(1);

function originalDestination(fd: number): { hostname: string; port: number } {
  length[0] = 16;
  if (libc.getsockopt(fd, 0, 80, ptr(address), ptr(length)) < 0)
    throw new Error('no original destination: the connection was not redirected');
  return { hostname: address.subarray(4, 8).join('.'), port: address.readUInt16BE(2) };
}

/** Sends what the peer takes and keeps the rest; the source waits while something is kept. */
function forward(to: Bun.Socket<End>, from: Bun.Socket<End>, data: Buffer): void {
  const taken = to.data.waiting.length > 0 ? 0 : Math.max(to.write(data), 0);
  if (taken === data.length) return;
  to.data.waiting.push(Buffer.from(data.subarray(taken)));
  from.pause();
}

function drain(socket: Bun.Socket<End>): void {
  const { waiting, peer } = socket.data;
  while (waiting.length > 0) {
    const first = waiting[0]!;
    const taken = Math.max(socket.write(first), 0);
    if (taken < first.length) {
      waiting[0] = first.subarray(taken);
      return;
    }
    waiting.shift();
  }
  peer?.resume();
}

const handlers = {
  data(socket: Bun.Socket<End>, data: Buffer) {
    if (socket.data.peer) forward(socket.data.peer, socket, data);
    else socket.data.waiting.push(Buffer.from(data));
  },
  drain,
  close(socket: Bun.Socket<End>) {
    socket.data.peer?.end();
  },
  error() {
    // close follows and ends the other side
  },
};

Bun.listen<End>({
  hostname: '0.0.0.0',
  port: 15001,
  socket: {
    ...handlers,
    open(socket) {
      socket.setNoDelay(true);
      socket.data = { peer: undefined, waiting: [] };
      const target = originalDestination((socket as unknown as { fd: number }).fd); // `fd` is there at run time and missing in Bun's types
      void Bun.connect<End>({
        ...target,
        data: { peer: socket, waiting: [] },
        socket: {
          ...handlers,
          open(upstream) {
            upstream.setNoDelay(true);
            socket.data.peer = upstream;
            const early = socket.data.waiting.splice(0);
            for (const chunk of early) forward(upstream, socket, chunk);
          },
        },
      }).catch(() => socket.end());
    },
  },
});
