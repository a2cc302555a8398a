/** The node's HTTP API on 10250, for the API server only: logs, exec, port-forward, statistics. */
import crypto from 'node:crypto';
import type { Server } from 'bun';
import { NETWORK } from '../config.ts';
import { messageOf } from '../error.ts';
import { readText } from '../files.ts';
import type { ChannelStream } from './channel-stream.ts';
import { logQuery, readLog } from './container-log.ts';
import { ExecStream } from './exec-stream.ts';
import type { NodeContext } from './node-context.ts';
import type { PodManager } from './pod-manager.ts';
import { PortForwardStream } from './port-forward-stream.ts';
import { summary } from './stats.ts';

/** As the API server's own limit on a frame of a channel protocol. */
const MAX_FRAME = 16 * 1024 * 1024;
const IDLE_LIMIT_S = 0;
const EXEC_PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];
const FORWARD_PROTOCOLS = ['v4.channel.k8s.io'];

class HttpError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function serveKubelet(context: NodeContext, manager: PodManager, tokenFile: string): Server<ChannelStream> {
  return Bun.serve<ChannelStream>({
    hostname: context.nodeIP,
    port: NETWORK.kubeletPort,
    idleTimeout: IDLE_LIMIT_S,
    async fetch(request, server) {
      try {
        if (!isAuthorized(request, tokenFile)) throw new HttpError(401, 'Unauthorized');
        return await route(context, manager, request, server);
      } catch (error) {
        const status = error instanceof HttpError ? error.status : error instanceof RangeError ? 400 : 500;
        return new Response(`${messageOf(error)}\n`, { status });
      }
    },
    websocket: {
      maxPayloadLength: MAX_FRAME,
      idleTimeout: 0,
      open: (socket) => socket.data.open(socket),
      message: (socket, frame) => socket.data.message(socket, typeof frame === 'string' ? Buffer.from(frame) : Buffer.from(frame)),
      drain: (socket) => socket.data.drain(socket),
      close: (socket) => socket.data.close(),
    },
  });
}

function isAuthorized(request: Request, tokenFile: string): boolean {
  const wanted = readText(tokenFile)?.trim() ?? '';
  const given = /^Bearer (.+)$/.exec(request.headers.get('authorization') ?? '')?.[1] ?? '';
  const hash = (text: string) => crypto.createHash('sha256').update(text).digest();
  return wanted !== '' && crypto.timingSafeEqual(hash(wanted), hash(given));
}

async function route(
  context: NodeContext,
  manager: PodManager,
  request: Request,
  server: Server<ChannelStream>,
): Promise<Response | undefined> {
  const url = new URL(request.url);
  const [kind = '', ...rest] = url.pathname.slice(1).split('/').map(decodeURIComponent);
  if (kind === 'healthz') return new Response('ok');
  if (kind === 'stats' && rest[0] === 'summary') return Response.json(summary(context, manager));
  const [namespace = '', podName = '', containerName = ''] = rest;
  const worker = manager.find(namespace, podName);
  if (worker === undefined)
    throw new HttpError(404, `pod "${podName}" in namespace "${namespace}" does not run on node ${context.nodeName}`);
  if (kind === 'portForward') {
    if (worker.sandbox === undefined) throw new HttpError(400, `pod "${podName}" has no network yet`);
    const ports = [...url.searchParams.getAll('port'), ...url.searchParams.getAll('ports')].flatMap((text) => text.split(',')).map(Number);
    if (ports.length === 0 || ports.some((port) => !Number.isInteger(port) || port < 1 || port > 65_535))
      throw new HttpError(400, 'port must be a number from 1 to 65535');
    return upgrade(request, server, FORWARD_PROTOCOLS, () => new PortForwardStream(worker.sandbox!, ports));
  }
  const runner = worker.runner(containerName === '' ? (worker.containers[0]?.spec.name ?? '') : containerName);
  if (runner === undefined) throw new HttpError(404, `container "${containerName}" not found in pod "${podName}"`);
  if (kind === 'containerLogs') {
    const query = logQuery(url.searchParams, Date.now());
    const previous = url.searchParams.get('previous') === 'true';
    const attempt = runner.record.attempt - (previous ? 1 : 0);
    if (attempt < 0) {
      const what = previous ? 'previous terminated container' : 'container';
      throw new HttpError(
        400,
        `${what} "${runner.spec.name}" in pod "${podName}" ${previous ? 'not found' : `is waiting to start: ${runner.record.waiting.reason}`}`,
      );
    }
    const isOver = (): boolean => previous || runner.record.attempt !== attempt || !runner.isRunning;
    return new Response(readLog(runner.logFile(attempt), query, isOver, request.signal) as unknown as ReadableStream, {
      headers: { 'content-type': 'text/plain' },
    });
  }
  if (kind === 'exec') {
    const main = runner.process?.ref;
    if (main === undefined || !runner.isRunning)
      throw new HttpError(400, `container "${runner.spec.name}" in pod "${podName}" is not running`);
    const command = url.searchParams.getAll('command');
    if (command.length === 0) throw new HttpError(400, 'you must specify at least 1 command for the container');
    const wants = (name: string, short: string): boolean =>
      ['true', '1'].includes(url.searchParams.get(name) ?? url.searchParams.get(short) ?? '');
    return upgrade(
      request,
      server,
      EXEC_PROTOCOLS,
      (protocol) => new ExecStream(main, command, wants('tty', 'tty'), protocol.startsWith('v5')),
    );
  }
  throw new HttpError(404, `no such resource: ${url.pathname}`);
}

function upgrade(
  request: Request,
  server: Server<ChannelStream>,
  known: readonly string[],
  make: (protocol: string) => ChannelStream,
): Response | undefined {
  const offered = (request.headers.get('sec-websocket-protocol') ?? '').split(',').map((name) => name.trim());
  const protocol = known.find((name) => offered.includes(name));
  if (protocol === undefined) throw new HttpError(400, `a WebSocket with one of the subprotocols ${known.join(', ')} is needed`);
  return server.upgrade(request, { data: make(protocol), headers: { 'sec-websocket-protocol': protocol } })
    ? undefined
    : new Response('a WebSocket upgrade is needed\n', { status: 400 });
}
