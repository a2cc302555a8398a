/** One probe: ask once, say yes or why not. Made from the node's own namespace by an ordinary socket of the node, as kubelet does. */
import * as grpc from '@grpc/grpc-js';
import type { Container, HttpGet, IntOrString, Probe } from '../../platform/kubernetes/index.ts';
import { messageOf } from '../error.ts';

export interface ProbeTarget {
  readonly podIP: string;
  readonly container: Container;
  exec(command: readonly string[], timeoutMs: number): Promise<{ readonly code: number; readonly output: string }>;
}
/** Undefined means success. */
export type ProbeFailure = string | undefined;

/** What is kept of an answer for the event that reports a failure. */
const MAX_BODY = 256;

export async function runProbe(probe: Probe, target: ProbeTarget): Promise<ProbeFailure> {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
  try {
    if (probe.httpGet) return await httpProbe(probe.httpGet, target, timeoutMs);
    if (probe.tcpSocket)
      return await tcpProbe(probe.tcpSocket.host ?? target.podIP, portNumber(probe.tcpSocket.port, target.container), timeoutMs);
    if (probe.grpc) return await grpcProbe(target.podIP, probe.grpc.port, probe.grpc.service ?? '', timeoutMs);
    if (probe.exec) {
      const { code, output } = await target.exec(probe.exec.command ?? [], timeoutMs);
      return code === 0 ? undefined : output.slice(0, MAX_BODY) || `command ended with exit code ${code}`;
    }
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

export function portNumber(port: IntOrString, container: Container): number {
  if (typeof port === 'number') return port;
  const named = container.ports?.find(({ name }) => name === port)?.containerPort;
  const value = named ?? Number(port);
  if (!Number.isInteger(value)) throw new Error(`container "${container.name}" has no port named "${port}"`);
  return value;
}

export async function httpProbe(get: HttpGet, target: Pick<ProbeTarget, 'podIP' | 'container'>, timeoutMs: number): Promise<ProbeFailure> {
  const scheme = (get.scheme ?? 'HTTP').toLowerCase();
  const host = get.host ?? target.podIP;
  const path = get.path ?? '/';
  const url = `${scheme}://${host.includes(':') ? `[${host}]` : host}:${portNumber(get.port, target.container)}${path.startsWith('/') ? '' : '/'}${path}`;
  const headers = new Headers({ 'user-agent': 'kube-probe/1.34', accept: '*/*', connection: 'close' });
  for (const { name, value } of get.httpHeaders ?? []) headers.append(name, value);
  try {
    const response = await fetch(url, {
      headers,
      redirect: 'manual',
      keepalive: false,
      tls: { rejectUnauthorized: false },
      signal: AbortSignal.timeout(timeoutMs),
    });
    const body = response.status >= 400 ? (await response.text()).slice(0, MAX_BODY) : '';
    if (response.status < 400) {
      await response.body?.cancel();
      return undefined;
    }
    return `HTTP probe failed with statuscode: ${response.status}${body === '' ? '' : `: ${body}`}`;
  } catch (error) {
    return `Get "${url}": ${connectProblem(error)}`;
  }
}

/** The words kubelet uses for the two usual problems. */
function connectProblem(error: unknown): string {
  if ((error as Error).name === 'TimeoutError') return 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)';
  return ['ECONNREFUSED', 'ConnectionRefused'].includes(String((error as NodeJS.ErrnoException).code))
    ? 'connect: connection refused'
    : messageOf(error);
}

async function tcpProbe(hostname: string, port: number, timeoutMs: number): Promise<ProbeFailure> {
  const { promise, resolve } = Promise.withResolvers<ProbeFailure>();
  const timer = setTimeout(() => resolve(`dial tcp ${hostname}:${port}: i/o timeout`), timeoutMs);
  const attempt = Bun.connect({
    hostname,
    port,
    socket: { open: () => resolve(undefined), data() {}, close() {}, error() {}, connectError() {} },
  });
  attempt.then(
    (socket) => socket.end(),
    (error: unknown) => resolve(`dial tcp ${hostname}:${port}: ${connectProblem(error)}`),
  );
  const result = await promise;
  clearTimeout(timer);
  return result;
}

const SERVING = 1;
/** grpc.health.v1.Health/Check, by hand: one string field out, one enum field in. */
function grpcProbe(hostname: string, port: number, service: string, timeoutMs: number): Promise<ProbeFailure> {
  const client = new grpc.Client(`${hostname}:${port}`, grpc.credentials.createInsecure(), { 'grpc.enable_http_proxy': 0 });
  const name = Buffer.from(service, 'utf8');
  const request = service === '' ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      '/grpc.health.v1.Health/Check',
      (value: Buffer) => value,
      (value: Buffer) => value,
      request,
      new grpc.Metadata(),
      { deadline: Date.now() + timeoutMs },
      (error, answer) => {
        client.close();
        if (error)
          resolve(
            error.code === grpc.status.UNIMPLEMENTED
              ? 'the server does not implement the gRPC health protocol (grpc.health.v1.Health)'
              : `gRPC probe: ${error.details || error.message}`,
          );
        else
          resolve(
            answer?.[0] === 0x08 && answer[1] === SERVING ? undefined : `service unhealthy (responded with status ${answer?.[1] ?? 0})`,
          );
      },
    );
  });
}
