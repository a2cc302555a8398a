import { ApiError } from './api-error.ts';
import type { KubeClient } from './client.ts';
import { unreachable } from './transport.ts';
import type { Status } from './types.ts';

export interface PodTarget {
  readonly namespace: string;
  readonly pod: string;
}

export interface LogOptions extends PodTarget {
  readonly container?: string;
  readonly follow?: boolean;
  readonly previous?: boolean;
  readonly tailLines?: number;
  readonly sinceSeconds?: number;
  readonly timestamps?: boolean;
  readonly signal?: AbortSignal;
}

/** A container's log as bytes, as they come. */
export async function streamLogs(client: KubeClient, options: LogOptions): Promise<ReadableStream<Uint8Array>> {
  const { container, follow, previous, tailLines, sinceSeconds, timestamps, signal } = options;
  const response = await client.raw(podPath(options, 'log'), {
    query: { container, follow, previous, tailLines, sinceSeconds, timestamps },
    accept: '*/*',
    context: `logs of pod ${options.namespace}/${options.pod}`,
    ...(signal !== undefined && { signal }),
  });
  return response.body ?? new ReadableStream({ start: (controller) => controller.close() });
}

export interface ExecOptions extends PodTarget {
  readonly container?: string;
  readonly command: readonly string[];
  readonly stdin?: boolean;
  readonly tty?: boolean;
  readonly onStdout?: (chunk: Uint8Array) => void;
  readonly onStderr?: (chunk: Uint8Array) => void;
  readonly signal?: AbortSignal;
}

export interface ExecSession {
  writeStdin(chunk: Uint8Array): void;
  closeStdin(): void;
  resize(columns: number, rows: number): void;
  /** The command's exit code; rejects when it could not run or the connection broke. */
  readonly exit: Promise<number>;
  close(): void;
}

const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;
const EXEC_PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];
const PORT_FORWARD_PROTOCOL = 'v4.channel.k8s.io';

/** Runs a command in a container over `v5.channel.k8s.io` (v4 where the server has no better). */
export async function exec(client: KubeClient, options: ExecOptions): Promise<ExecSession> {
  const query = new URLSearchParams();
  if (options.container !== undefined) query.set('container', options.container);
  for (const word of options.command) query.append('command', word);
  query.set('stdin', String(options.stdin === true));
  query.set('stdout', 'true');
  query.set('stderr', String(options.tty !== true));
  query.set('tty', String(options.tty === true));
  const context = `exec in pod ${options.namespace}/${options.pod}`;
  const socket = await client.transport.webSocket(podPath(options, 'exec'), query, EXEC_PROTOCOLS, options.signal);
  const { promise: exit, resolve, reject } = Promise.withResolvers<number>();
  exit.catch(() => {}); // a caller that only streams need not await it
  socket.onmessage = (event) => {
    const frame = new Uint8Array(event.data as ArrayBuffer);
    const payload = frame.subarray(1);
    if (frame[0] === CHANNEL.stdout) options.onStdout?.(payload);
    else if (frame[0] === CHANNEL.stderr) options.onStderr?.(payload);
    else if (frame[0] === CHANNEL.error) {
      const outcome = exitCodeOf(payload, context);
      if (typeof outcome === 'number') resolve(outcome);
      else reject(outcome);
      socket.close();
    }
  };
  socket.onclose = (event) =>
    reject(
      unreachable(
        context,
        `the connection closed (${event.code}${event.reason ? ` ${event.reason}` : ''}) before the command ended`,
        undefined,
      ),
    );
  const abort = () => {
    reject(options.signal?.reason);
    socket.close();
  };
  options.signal?.addEventListener('abort', abort, { once: true });
  void exit.finally(() => options.signal?.removeEventListener('abort', abort)).catch(() => {}); // reported through `exit`
  return {
    writeStdin: (chunk) => send(socket, CHANNEL.stdin, chunk),
    closeStdin: () => {
      // v4 cannot say "end of input" without ending the connection.
      if (socket.protocol === EXEC_PROTOCOLS[0]) send(socket, CHANNEL.close, new Uint8Array([CHANNEL.stdin]));
    },
    resize: (columns, rows) => send(socket, CHANNEL.resize, new TextEncoder().encode(JSON.stringify({ Width: columns, Height: rows }))),
    exit,
    close: () => socket.close(),
  };
}

/** The error channel's Status: success, a non-zero exit (`NonZeroExitCode`), or a failure to run. */
export function exitCodeOf(payload: Uint8Array, context: string): number | ApiError {
  let status: Status;
  try {
    status = JSON.parse(new TextDecoder().decode(payload)) as Status;
  } catch {
    return new ApiError({ code: 500, reason: 'InternalError', message: new TextDecoder().decode(payload) }, context); // some runtimes send bare text
  }
  if (status.status === 'Success') return 0;
  if (status.reason === 'NonZeroExitCode') {
    const code = Number(status.details?.causes?.find((cause) => cause.reason === 'ExitCode')?.message);
    if (Number.isInteger(code)) return code;
  }
  return new ApiError(status, context);
}

export interface PortForwardHandlers {
  readonly onData: (chunk: Uint8Array) => void;
  /** The far side is done; `error` says why when it was not a normal end. */
  readonly onClose: (error?: Error) => void;
}

/** One TCP connection to a port inside a pod. */
export interface PortForwardStream {
  write(chunk: Uint8Array): void;
  /** Bytes accepted by `write` that have not left yet. */
  readonly buffered: number;
  close(): void;
}

/** Opens one connection to `port` inside the pod, over `v4.channel.k8s.io` (data on channel 0, errors on channel 1). */
export async function openPortForward(
  client: KubeClient,
  target: PodTarget & { readonly port: number; readonly signal?: AbortSignal },
  handlers: PortForwardHandlers,
): Promise<PortForwardStream> {
  const context = `port-forward to pod ${target.namespace}/${target.pod} port ${target.port}`;
  const socket = await client.transport.webSocket(
    podPath(target, 'portforward'),
    new URLSearchParams({ ports: String(target.port) }),
    [PORT_FORWARD_PROTOCOL],
    target.signal,
  );
  const announced = [false, false]; // the first frame of either channel carries only the port number
  let closed = false;
  const finish = (error?: Error) => {
    if (closed) return;
    closed = true;
    handlers.onClose(error);
    socket.close();
  };
  socket.onmessage = (event) => {
    const frame = new Uint8Array(event.data as ArrayBuffer);
    const channel = frame[0];
    if (channel !== 0 && channel !== 1) return finish(unreachable(context, `the server used channel ${channel}`, undefined));
    let payload = frame.subarray(1);
    if (!announced[channel]) {
      announced[channel] = true;
      if (payload.length < 2 || payload[0]! + payload[1]! * 256 !== target.port)
        return finish(unreachable(context, 'the server announced another port', undefined));
      payload = payload.subarray(2);
    }
    if (payload.length === 0) return;
    if (channel === 0) handlers.onData(payload);
    else finish(new ApiError({ code: 502, reason: 'PortForward', message: new TextDecoder().decode(payload) }, context));
  };
  socket.onclose = (event) =>
    finish(
      event.code === 1000 || event.code === 1005
        ? undefined
        : unreachable(context, `the connection closed (${event.code} ${event.reason})`, undefined),
    );
  return {
    write: (chunk) => {
      if (!closed) send(socket, 0, chunk);
    },
    get buffered() {
      return socket.bufferedAmount;
    },
    close: () => {
      closed = true;
      socket.close();
    },
  };
}

function send(socket: WebSocket, channel: number, chunk: Uint8Array): void {
  if (socket.readyState !== WebSocket.OPEN) return;
  const frame = new Uint8Array(chunk.length + 1);
  frame[0] = channel;
  frame.set(chunk, 1);
  socket.send(frame);
}

const podPath = (target: PodTarget, subresource: string): string =>
  `/api/v1/namespaces/${encodeURIComponent(target.namespace)}/pods/${encodeURIComponent(target.pod)}/${subresource}`;
