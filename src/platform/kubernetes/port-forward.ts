import type { Socket } from 'bun';
import type { KubeClient } from './client.ts';
import { openPortForward, type PodTarget, type PortForwardStream } from './streams.ts';

/** A local port whose connections end at a port inside a pod, as `kubectl port-forward` does. */
export interface LocalForward {
  readonly port: number;
  close(): void;
}

interface Link {
  /** Bytes from the pod that the local client has not taken yet. */
  pending: Uint8Array[];
  pendingBytes: number;
  /** Bytes from the local client before the tunnel is open. */
  early: Uint8Array[];
  remote: PortForwardStream | undefined;
  remoteDone: boolean;
  resumeTimer: ReturnType<typeof setTimeout> | undefined;
}

/** A WebSocket cannot be paused: a local reader this far behind is disconnected. */
export const FORWARD_PENDING_LIMIT = 64 * 1024 * 1024;
/** More than this not yet sent towards the pod pauses the local sender. */
const FORWARD_SEND_HIGH = 1024 * 1024;

/** Listens on a free (or the given) port of 127.0.0.1 and forwards each connection; `onError` hears why one failed. */
export function forwardPort(
  client: KubeClient,
  target: PodTarget & { readonly port: number },
  options: { readonly localPort?: number; readonly onError?: (error: Error) => void } = {},
): LocalForward {
  const listener = Bun.listen<Link>({
    hostname: '127.0.0.1',
    port: options.localPort ?? 0,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        socket.data = { pending: [], pendingBytes: 0, early: [], remote: undefined, remoteDone: false, resumeTimer: undefined };
        void connect(client, target, socket, options.onError);
      },
      data(socket, chunk) {
        const link = socket.data;
        if (link.remote === undefined) {
          link.early.push(new Uint8Array(chunk));
          return;
        }
        link.remote.write(chunk);
        holdWhileFull(socket);
      },
      drain: flush,
      end() {
        // The v4 protocol has no half close: the tunnel stays open for the answer.
      },
      close(socket) {
        clearTimeout(socket.data.resumeTimer);
        socket.data.remote?.close();
      },
      error(_socket, error) {
        options.onError?.(error);
      },
    },
  });
  return { port: listener.port, close: () => listener.stop(true) };
}

async function connect(
  client: KubeClient,
  target: PodTarget & { readonly port: number },
  socket: Socket<Link>,
  onError?: (error: Error) => void,
): Promise<void> {
  const link = socket.data;
  try {
    const remote = await openPortForward(client, target, {
      onData: (chunk) => {
        link.pending.push(chunk);
        link.pendingBytes += chunk.length;
        if (link.pendingBytes > FORWARD_PENDING_LIMIT) {
          onError?.(new Error(`port-forward: the local client is more than ${FORWARD_PENDING_LIMIT} bytes behind`));
          socket.terminate();
        } else flush(socket);
      },
      onClose: (error) => {
        if (error !== undefined) onError?.(error);
        link.remoteDone = true;
        flush(socket);
      },
    });
    if (socket.readyState <= 0) return remote.close(); // the local client left meanwhile
    link.remote = remote;
    for (const chunk of link.early.splice(0)) remote.write(chunk);
  } catch (error) {
    onError?.(error as Error);
    socket.terminate();
  }
}

function flush(socket: Socket<Link>): void {
  const link = socket.data;
  while (link.pending.length > 0) {
    const chunk = link.pending[0]!;
    const taken = socket.write(chunk);
    if (taken < 0) return;
    link.pendingBytes -= taken;
    if (taken < chunk.length) {
      link.pending[0] = chunk.subarray(taken);
      return;
    }
    link.pending.shift();
  }
  if (link.remoteDone) socket.end();
}

function holdWhileFull(socket: Socket<Link>): void {
  const link = socket.data;
  if (link.resumeTimer !== undefined || (link.remote?.buffered ?? 0) < FORWARD_SEND_HIGH) return;
  socket.pause();
  const look = () => {
    if ((link.remote?.buffered ?? 0) < FORWARD_SEND_HIGH) {
      link.resumeTimer = undefined;
      socket.resume();
    } else link.resumeTimer = setTimeout(look, 5); // WebSocket has no drain event
  };
  link.resumeTimer = setTimeout(look, 5);
}
