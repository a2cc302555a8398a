/** The limits of a DestinationRule's connectionPool, per destination as with Envoy's circuit breakers. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import fs from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import path from 'node:path';
import type { ConnectionPoolPolicy, ServicePlan } from '../../src/mesh/http/index.ts';
import { until } from '../ztunnel/lab.ts';
import { keyOf, WaypointLab } from './lab.ts';

/** Holds every request until it is let go, and counts. */
class Held {
  connections = 0;
  requests = 0;
  most = 0;
  readonly #waiting: (() => void)[] = [];

  begin(answer: () => void): void {
    this.requests++;
    this.#waiting.push(answer);
    this.most = Math.max(this.most, this.#waiting.length);
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  release(): void {
    this.#waiting.shift()?.();
  }
}

const lab = new WaypointLab();
const policies: Record<string, ConnectionPoolPolicy> = {
  queue: { maxConnections: 1, maxPendingRequests: 1 },
  abandoned: { maxConnections: 1 },
  requests: { maxRequests: 1 },
  worn: { maxRequestsPerConnection: 2 },
  streams: { maxConcurrentStreams: 1 },
  shared: { maxConnections: 1, maxConcurrentStreams: 1, maxPendingRequests: 5 },
  tcp: { maxConnections: 1 },
  short: { maxConnectionDuration: 1_500 },
  silent: { tcpIdleTimeout: 300 },
  old: { maxConnectionDuration: 1 },
  mute: { connectTimeout: 300 },
};
const held = Object.fromEntries(Object.keys(policies).map((name) => [name, new Held()]));
const ports: Record<string, number> = {};

const http1Server = (name: string, isHeld: boolean): net.Server =>
  net.createServer((socket) => {
    const state = held[name]!;
    state.connections++;
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      for (let at = 0; at < chunk.toString().split('\r\n\r\n').length - 1; at++) {
        const answer = (): void => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
        state.begin(answer);
        if (!isHeld) state.release();
      }
    });
  });

const http2Server = (name: string): http2.Http2Server => {
  const server = http2.createServer((_request, response) => held[name]!.begin(() => response.end('ok')));
  server.on('session', () => held[name]!.connections++);
  return server;
};

beforeAll(async () => {
  const names = Object.keys(policies);
  const plans: ServicePlan[] = [];
  const services = names.map((name, i) => {
    const ip = `127.0.0.${21 + i}`;
    const protocol = ['streams', 'shared'].includes(name) ? 'HTTP2' : ['tcp', 'short', 'silent'].includes(name) ? 'TCP' : 'HTTP11';
    lab.inside(() => {
      if (protocol === 'HTTP2') http2Server(name).listen(8080, ip);
      else if (protocol === 'HTTP11') http1Server(name, !['worn', 'old'].includes(name)).listen(8080, ip);
      else net.createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(8080, ip);
    });
    plans.push({ service: keyOf(name), ports: [], policy: { connectionPool: policies[name]! } });
    return { name, ports: [{ port: 80, targetPort: 8080, protocol: protocol as 'HTTP11' }], endpoints: [ip], tunnelled: name === 'mute' };
  });
  const drop = ['ip', 'daddr', services.find(({ name }) => name === 'mute')!.endpoints[0]!, 'tcp', 'dport', '15008', 'drop'];
  await lab.run('nft', 'add', 'table', 'ip', 'mute');
  await lab.run('nft', 'add', 'chain', 'ip', 'mute', 'in', '{', 'type', 'filter', 'hook', 'input', 'priority', '0', ';', '}');
  await lab.run('nft', 'add', 'rule', 'ip', 'mute', 'in', ...drop);
  await lab.start(services, plans, { ACCESS_LOG_FORMAT: 'json' });
  for (const name of names) ports[name] = lab.open(name, 80);
});
afterAll(() => lab.stop());

const get = (name: string, ...args: string[]): Promise<string> =>
  lab.run('curl', '-s', '-m', '20', '-o', '/dev/null', '-w', '%{http_code}', ...args, `http://127.0.0.1:${ports[name]}/${name}`);
const hits = (limit: string): number => lab.metric('lateen_limit_hit_total', { limit });
const lines = (path: string): { response_flags: string; upstream_transport_failure_reason: string }[] =>
  lab.log
    .split('\n')
    .filter((line) => line.startsWith('{') && line.includes(path))
    .map((line) => JSON.parse(line) as ReturnType<typeof lines>[number]);

describe('HTTP/1.1', () => {
  test('past maxConnections requests wait for a connection, past maxPendingRequests they are refused with UO', async () => {
    const backend = held['queue']!;
    const first = get('queue');
    await until('the first request at the backend', () => backend.waiting === 1);
    const second = get('queue');
    await until('the second request to wait', () => hits('max_connections') === 1);
    expect(await get('queue')).toBe('503');
    expect(hits('max_pending_requests')).toBe(1);
    await until('the line of the refused one', () => lines('/queue').length === 1);
    expect(lines('/queue')[0]!.response_flags).toBe('UO');
    backend.release();
    expect(await first).toBe('200');
    await until('the second request at the backend', () => backend.waiting === 1);
    backend.release();
    expect(await second).toBe('200');
    expect(backend).toMatchObject({ connections: 1, requests: 2, most: 1 });
  });

  test('a request that waits and is given up leaves the queue', async () => {
    const backend = held['abandoned']!;
    const first = get('abandoned');
    await until('the first request at the backend', () => backend.waiting === 1);
    const before = hits('max_connections');
    // HTTP/2, where the end of the connection cannot be the mere end of a request.
    const url = `http://127.0.0.1:${ports['abandoned']}/abandoned`;
    const child = Bun.spawn(lab.command('curl', '-s', '-m', '20', '--http2-prior-knowledge', url));
    await until('the second request to wait', () => hits('max_connections') === before + 1);
    child.kill('SIGKILL');
    await until('the second request to be given up', () => lines('/abandoned').some(({ response_flags }) => response_flags === 'DC'));
    const third = get('abandoned');
    await until('the third request to wait', () => hits('max_connections') === before + 2);
    backend.release();
    expect(await first).toBe('200');
    await until('the third request at the backend', () => backend.waiting === 1);
    backend.release();
    expect(await third).toBe('200');
    expect(backend.requests).toBe(2);
  });

  test('past maxRequests requests are refused at once', async () => {
    const backend = held['requests']!;
    const first = get('requests');
    await until('the first request at the backend', () => backend.waiting === 1);
    expect(await get('requests')).toBe('503');
    expect(hits('max_requests')).toBe(1);
    backend.release();
    expect(await first).toBe('200');
  });

  test('a connection carries maxRequestsPerConnection requests and no more', async () => {
    for (let i = 0; i < 5; i++) expect(await get('worn')).toBe('200');
    expect(held['worn']).toMatchObject({ requests: 5, connections: 3 });
  });

  test('a connection older than maxConnectionDuration is not used again', async () => {
    for (let i = 0; i < 3; i++) {
      expect(await get('old')).toBe('200');
      await Bun.sleep(2);
    }
    expect(held['old']!.connections).toBeGreaterThanOrEqual(2);
  });
});

test('an endpoint whose tunnel does not come about is given up after connectTimeout', async () => {
  expect(await get('mute')).toBe('503');
  await until('the line', () => lines('/mute').length === 1);
  const [line] = lines('/mute');
  expect(line!.response_flags).toStartWith('URX,UF');
  expect(line!.upstream_transport_failure_reason).toContain('no tunnel to the endpoint within the connect timeout');
});

describe('HTTP/2', () => {
  test('a connection carries maxConcurrentStreams at once, further ones get another', async () => {
    const backend = held['streams']!;
    const both = [get('streams', '--http2-prior-knowledge'), get('streams', '--http2-prior-knowledge')];
    await until('both at the backend', () => backend.waiting === 2);
    expect(backend.connections).toBe(2);
    backend.release();
    backend.release();
    expect(await Promise.all(both)).toEqual(['200', '200']);
  });

  test('with maxConnections they wait for a stream', async () => {
    const backend = held['shared']!;
    const all = [1, 2, 3].map(() => get('shared', '--http2-prior-knowledge'));
    for (let i = 0; i < 3; i++) {
      await until('one at the backend', () => backend.waiting === 1);
      backend.release();
    }
    expect(await Promise.all(all)).toEqual(['200', '200', '200']);
    expect(backend).toMatchObject({ connections: 1, most: 1 });
  });
});

describe('TCP', () => {
  const talk = (name: string, script: string): Promise<string> =>
    lab.run('bash', '-c', `exec 3<>/dev/tcp/127.0.0.1/${ports[name]}; ${script}`);
  const flags = (target: string): string[] =>
    lab.log
      .split('\n')
      .filter((line) => line.includes(`|tcp|${target}.`))
      .map((line) => (JSON.parse(line) as { response_flags: string }).response_flags);

  test('past maxConnections connections are refused with UO', async () => {
    const go = path.join(lab.directory, 'go');
    const first = talk('tcp', `echo one >&3; head -n1 <&3; until [ -e ${go} ]; do sleep 0.05; done`);
    await until('the first connection', () => lab.metric('istio_tcp_connections_opened_total', { destination_service_name: 'tcp' }) === 1);
    expect(await talk('tcp', 'cat <&3 || true')).toBe('');
    fs.writeFileSync(go, '');
    expect(await first).toBe('one\n');
    await until('both lines', () => flags('tcp').length === 2);
    expect(flags('tcp').filter((flag) => flag === 'UO')).toHaveLength(1);
  });

  test('a connection ends after maxConnectionDuration, busy or not', async () => {
    const out = await talk('short', 'while echo x >&3; do head -n1 <&3 || break; sleep 0.05; done; true');
    expect(out.split('\n').length).toBeGreaterThan(2);
    await until('the line', () => flags('short').length === 1);
    expect(flags('short')).toEqual(['DT']);
  });

  test('a connection ends when nothing moves for the idleTimeout of TCP', async () => {
    expect(await talk('silent', 'echo x >&3; cat <&3 || true')).toBe('x\n');
    await until('the line', () => flags('silent').length === 1);
    expect(flags('silent')).toEqual(['SI']);
  });
});
