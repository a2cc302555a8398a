/** A waypoint that is told to go: what is under way ends as it would have, and nobody is sent away without having been told. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { ErrorCode } from '../../src/protocol/index.ts';
import { until } from '../ztunnel/lab.ts';
import { H2Peer } from './h2-wire.ts';
import { WaypointLab } from './lab.ts';
import { answering, connect, RawServer, type Wire } from './wire.ts';

const lab = new WaypointLab();
let quick: RawServer;
let streams: RawServer;
let tcp: RawServer;

/** One event each 100 ms, as many as the path says. */
const events = (wire: Wire): void => {
  void (async () => {
    const { start } = await wire.message();
    const count = Number(/\d+/.exec(start)?.[0] ?? 10);
    wire.send('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
    for (let i = 0; i < count && !wire.isEnded; i++) {
      wire.send('9\r\ndata: x\n\n\r\n');
      await Bun.sleep(100);
    }
    wire.send('0\r\n\r\n');
    wire.finish();
  })().catch(() => wire.reset());
};

beforeAll(async () => {
  quick = new RawServer(
    lab,
    '127.0.0.21',
    8080,
    answering(async () => {
      await Bun.sleep(5);
      return 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
    }),
  );
  streams = new RawServer(lab, '127.0.0.22', 8080, events);
  tcp = new RawServer(lab, '127.0.0.23', 8080, (wire) => {
    wire.onChunk = (chunk) => wire.send(Buffer.from(chunk));
    void wire.until('the end', () => wire.isEnded).then(() => wire.finish());
  });
  await lab.start(
    [
      { name: 'quick', ports: [{ port: 80, targetPort: 8080, protocol: 'HTTP11' }], endpoints: ['127.0.0.21'] },
      { name: 'streams', ports: [{ port: 80, targetPort: 8080, protocol: 'HTTP11' }], endpoints: ['127.0.0.22'] },
      { name: 'tcp', ports: [{ port: 80, targetPort: 8080, protocol: 'TCP' }], endpoints: ['127.0.0.23'] },
    ],
    [],
    { CONNECTION_TERMINATION_DEADLINE: '20s', DRAIN_LINGER: '4s' },
  );
}, 30_000);
afterAll(async () => {
  for (const server of [quick, streams, tcp]) server.stop();
  await lab.stop();
});

const GET = 'GET /100 HTTP/1.1\r\nHost: x\r\n\r\n';
const exitOf = async (limit: number): Promise<number | string> =>
  Promise.race([lab.process.exited, Bun.sleep(limit).then(() => 'still there')]);

/** Another one, whatever became of the last. */
async function restart(env: Record<string, string>): Promise<void> {
  lab.process.kill('SIGKILL');
  await lab.process.exited;
  await lab.startWaypoint(env);
}

test('a drain under load loses no request, ends long streams in their own time and then exits', async () => {
  const [toQuick, toStreams, toTcp] = [lab.open('quick', 80), lab.open('streams', 80), lab.open('tcp', 80)];
  // Streams of ten seconds and more, one in each version.
  const one = await connect(lab, toStreams);
  one.send(GET);
  await one.through('\n\n\r\n');
  const two = new H2Peer(await connect(lab, toStreams), 'client');
  const stream = two.get('/100');
  await stream.head();
  const plain = await connect(lab, toTcp);
  plain.send('before');
  expect(await plain.octets(6)).toBe('before');
  const idle = await connect(lab, toQuick);
  idle.send(GET);
  expect((await idle.message()).headers['connection']).toBeUndefined();
  const silent = new H2Peer(await connect(lab, toQuick), 'client');
  expect((await silent.get().ended()).status).toBe(200);

  let isLoading = true;
  let requests = 0;
  let closes = 0;
  const failures: string[] = [];
  const worker = async (): Promise<void> => {
    let wire: Wire | undefined;
    while (isLoading) {
      try {
        wire ??= await connect(lab, toQuick);
        wire.send(GET);
        const answer = await wire.message();
        if (answer.status !== 200) failures.push(answer.head);
        requests++;
        if (answer.headers['connection'] === 'close') {
          closes++;
          wire = undefined;
        }
      } catch (error) {
        failures.push((error as Error).message);
        wire = undefined;
      }
    }
    wire?.close();
  };
  const h2Worker = async (): Promise<void> => {
    let peer: H2Peer | undefined;
    while (isLoading) {
      try {
        if (peer === undefined || peer.http2.isDraining) peer = new H2Peer(await connect(lab, toQuick), 'client');
        const asked = await peer.get().ended();
        requests++;
        if (asked.status !== 200 && asked.code !== ErrorCode.REFUSED_STREAM) failures.push(`status ${asked.status}, code ${asked.code}`);
      } catch (error) {
        failures.push((error as Error).message);
        peer = undefined;
      }
    }
    peer?.wire.close();
  };
  const workers = [...Array.from({ length: 20 }, worker), ...Array.from({ length: 5 }, h2Worker)];
  await Bun.sleep(500);
  const before = requests;
  lab.process.kill('SIGTERM');
  await Bun.sleep(1000);
  expect(lab.http(15_021, '/healthz/ready')).not.toBe('ready\n');
  isLoading = false;
  await Promise.all(workers);
  expect(failures).toEqual([]);
  expect(before).toBeGreaterThan(50);
  expect(requests).toBeGreaterThan(before + 50);
  expect(closes).toBeGreaterThanOrEqual(20);
  expect(silent.goaways).toContain(ErrorCode.NO_ERROR);

  // The second half: no new tunnels, no idle connections; what is under way goes on.
  const tunnel = await lab.tunnel();
  await two.until('GOAWAY on the tunnel', () => tunnel.http2.isDraining).catch(() => expect(tunnel.http2.isDraining).toBe(true));
  expect(await idle.ended()).toBe('');
  plain.send('after');
  expect(await plain.octets(5)).toBe('after');
  plain.finish();
  await plain.ended();
  await one.until('the end of the stream', () => one.text.endsWith('0\r\n\r\n'), 15_000);
  expect(one.text.match(/data: x/g)).toHaveLength(99);
  await stream.ended();
  expect(stream.received).toBe(900);
  expect(stream.code).toBe(-1);
  expect(await exitOf(3000)).toBe(0);
}, 40_000);

test('what does not end by the deadline is cut, and the exit is in order', async () => {
  await restart({ CONNECTION_TERMINATION_DEADLINE: '1500ms', DRAIN_LINGER: '200ms' });
  const wire = await connect(lab, lab.open('streams', 80));
  wire.send('GET /1000 HTTP/1.1\r\nHost: x\r\n\r\n');
  await wire.through('\n\n\r\n');
  const start = performance.now();
  lab.process.kill('SIGTERM');
  expect(await exitOf(5000)).toBe(0);
  expect(performance.now() - start).toBeGreaterThan(1400);
  await wire.closed();
  expect(wire.text).not.toEndWith('0\r\n\r\n');
  await until('the line', () => lab.log.includes('ending requests at the deadline of the drain'));
}, 20_000);

test('an idle waypoint exits as soon as clients can know', async () => {
  await restart({ CONNECTION_TERMINATION_DEADLINE: '10s', DRAIN_LINGER: '200ms' });
  const wire = await connect(lab, lab.open('quick', 80));
  wire.send(GET);
  await wire.message();
  const start = performance.now();
  lab.process.kill('SIGTERM');
  expect(await exitOf(8000)).toBe(0);
  expect(performance.now() - start).toBeLessThan(5000);
  await wire.ended();
}, 20_000);
