/** Connections that say little or nothing, on every listener of the node proxy: each is ended by a named limit or costs next to nothing, and nobody else waits. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { BALLAST_BYTES } from '../../src/platform/net/heap-ballast.ts';
import { dial, type Peer, type ServerHandle, serve } from './apps.ts';
import { besideBystander } from './bystander.ts';
import { Lab, type TestProxy, until } from './lab.ts';
import type { Node, Pod } from './network.ts';
import { startTwoPods, stopTwoPods, type TwoPods } from './two-pods.ts';

const lab = new Lab('zt-fs', '10.92');
let one: TestProxy;
let two: TestProxy;
let client: Pod;
let server: Pod;
let intruder: Pod;
let node2: Node;
let mesh: TwoPods;
const MiB = 1024 * 1024;
const SLACK_MIB = 32;
const CROWD = 300;

beforeAll(async () => {
  mesh = await startTwoPods(lab);
  ({ node2, client, server, one, two } = mesh);
  intruder = lab.network.addPod(mesh.node1, 'intruder', 66);
}, 60_000);

afterAll(() => stopTwoPods(lab, mesh));

const withstand = (limitMib: number, attack: () => Promise<void>): Promise<void> =>
  besideBystander([client, server.ip, 8080], [one, two], limitMib + SLACK_MIB, attack);

const refused = (proxy: TestProxy, reason: string): number => proxy.metric('lateen_refused_total', { reason });

/** Opens many connections; those that were refused at once are closed already. */
async function crowd(from: Pod | Node, ip: string, port: number, count = CROWD): Promise<Peer[]> {
  const peers = Array.from({ length: count }, () => dial(from, ip, port, 5_000));
  await Promise.all(peers.map((peer) => Promise.race([peer.connected.promise.catch(() => {}), peer.closed.promise])));
  return peers;
}

const send = (peer: Peer, text: string | Uint8Array): void => {
  if (peer.socket !== undefined && !peer.isClosed) peer.send(text);
};
const drop = (peers: readonly Peer[]): void => {
  for (const peer of peers) peer.socket?.terminate();
};

/** Sends one byte at a time to each, until all have been ended; how many were not within the limit. */
async function drip(peers: readonly Peer[], text: string, pauseMs: number, limitMs: number): Promise<number> {
  const deadline = performance.now() + limitMs;
  for (let at = 0; performance.now() < deadline && peers.some((peer) => !peer.isEnded); at++) {
    for (const peer of peers) if (!peer.isEnded) send(peer, text[at % text.length]!);
    await Bun.sleep(pauseMs);
  }
  return peers.filter((peer) => !peer.isEnded).length;
}

/** Longer than any limit for clients that say nothing. */
const HALF_CLOSED_MS = 12_000;
let halfClosed: (readonly [closed: Peer, open: Peer])[] = [];
let halfClosedAt = 0;
let held: ServerHandle;

test('a connection can be half closed by either side', async () => {
  held = serve(server, 8073);
  const opened = async (): Promise<readonly [Peer, Peer]> => {
    const before = held.peers.length;
    const peer = dial(client, server.ip, 8073);
    await peer.connected.promise;
    peer.send('a');
    await until('the server to have it', () => held.peers[before]?.text === 'a');
    return [peer, held.peers[before]!];
  };
  halfClosed = [await opened(), [...(await opened())].reverse() as [Peer, Peer]];
  for (const [closed, open] of halfClosed) {
    closed.finish();
    await open.ended.promise;
  }
  halfClosedAt = performance.now();
});

test(
  'clients of the tunnel port that send nothing, the beginning of a ClientHello or a byte now and then are ended by the limit of a handshake',
  () =>
    withstand(0, async () => {
      const before = refused(two, 'handshake-timeout') + refused(two, 'tls-failure');
      const hello = Buffer.from('1603010200010001fc0303', 'hex').toString('latin1');
      const silent = await crowd(intruder, server.ip, 15_008);
      const begun = await crowd(intruder, server.ip, 15_008);
      const slow = await crowd(intruder, server.ip, 15_008, 50);
      for (const peer of begun) send(peer, Buffer.from(hello, 'latin1'));
      expect(await drip(slow, hello.slice(0, 6), 500, 25_000)).toBe(0);
      const all = [...silent, ...begun, ...slow];
      await until('all to be ended', () => all.every((peer) => peer.isEnded), 20_000);
      await until('all to be counted', () => refused(two, 'handshake-timeout') + refused(two, 'tls-failure') >= before + all.length);
      expect(refused(two, 'handshake-timeout')).toBeGreaterThanOrEqual(2 * CROWD);
      await until('the reason in the log', () => two.lines('error="handshake timed out"').length >= 2 * CROWD);
      drop(all);
    }),
  60_000,
);

/** The listeners that speak HTTP/1: port, path of an answer, and who may reach it where. */
const HTTP_LISTENERS = [
  { name: 'metrics', port: 15_020, path: '/metrics', from: () => intruder, ip: () => node2.ip },
  { name: 'readiness', port: 15_021, path: '/healthz/ready', from: () => intruder, ip: () => node2.ip },
  { name: 'admin', port: 15_000, path: '/config_dump', from: () => node2, ip: () => '127.0.0.1' },
] as const;

/** Half a crowd at each of them. */
async function crowdsOfOperators(): Promise<Peer[][]> {
  const crowds: Peer[][] = [];
  for (const { from, ip, port } of HTTP_LISTENERS) crowds.push(await crowd(from(), ip(), port, CROWD / 2));
  return crowds;
}

test(
  'clients of the ports for operators that say nothing, or trickle in, are ended by a limit for the head of a request, and answers keep coming',
  () =>
    withstand(0, async () => {
      const silent = await crowdsOfOperators();
      const slow = await crowdsOfOperators();
      for (const { port, path } of HTTP_LISTENERS) expect(two.http(port, path)).not.toBe('');
      const left = slow.map((peers) => drip(peers, `GET / HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(200)}`, 500, 30_000));
      for (const [i, peers] of silent.entries())
        await until(`all of ${HTTP_LISTENERS[i]!.name} to be ended`, () => peers.every((peer) => peer.isEnded), 30_000);
      expect(await Promise.all(left)).toEqual([0, 0, 0]);
      drop([...silent, ...slow].flat());
    }),
  60_000,
);

test.each(HTTP_LISTENERS)(
  'clients of the $name port that ask and do not read cost little, and others are answered',
  ({ port, path, from, ip }) =>
    withstand(4, async () => {
      const peers = await crowd(from(), ip(), port, 50);
      for (const peer of peers) {
        peer.socket?.pause();
        send(peer, `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(port === 15_000 ? 4 : 200));
      }
      await Bun.sleep(3_000);
      expect(two.http(port, path)).not.toBe('');
      drop(peers);
    }),
  60_000,
);

test(
  '400 connections of an application that say nothing cost next to nothing, and end when it does',
  () =>
    withstand(16, async () => {
      const peers = await crowd(client, server.ip, 8080, 400);
      await until('them to be open', () => peers.filter((peer) => !peer.isEnded).length === 400);
      drop(peers);
      await until('the gauge to fall', () => one.metric('istio_tcp_sockets_open') < 20);
    }),
  60_000,
);

test(
  'an application that never reads holds back its sender, and 50 of them cost their windows',
  () =>
    // Kernel buffers aside: what the window of a tunnel lets in, what was read of each socket once, and the garbage there may be while much is read.
    withstand(2 * 16 + BALLAST_BYTES / MiB, async () => {
      const block = Buffer.alloc(8 * MiB, 'x');
      const source = serve(server, 8071, (peer) => peer.send(block));
      const peers = await crowd(client, server.ip, 8071, 50);
      for (const peer of peers) peer.socket!.pause();
      await Bun.sleep(4_000);
      drop(peers);
      source.close();
    }),
  60_000,
);

test(
  'an application that reads one byte a second gets what it reads, in order',
  () =>
    withstand(4, async () => {
      const text = Buffer.from(Array.from({ length: 256 * 1024 }, (_, i) => i % 251));
      const source = serve(server, 8072, (peer) => peer.send(text));
      const peer = dial(client, server.ip, 8072);
      await peer.connected.promise;
      let received = 0;
      let intact = true;
      peer.handle = (chunk) => {
        for (const byte of chunk) intact &&= byte === received++ % 251;
        peer.socket!.pause();
      };
      for (let second = 0; second < 5; second++) {
        await Bun.sleep(1_000);
        peer.socket!.resume();
      }
      expect(intact).toBe(true);
      expect(received).toBeGreaterThan(0);
      peer.socket!.terminate();
      source.close();
    }),
  30_000,
);

test('one that was half closed long ago is still open the other way', async () => {
  await Bun.sleep(Math.max(0, halfClosedAt + HALF_CLOSED_MS - performance.now()));
  for (const [closed, open] of halfClosed) {
    open.send('still here');
    await until('it to arrive', () => closed.text.endsWith('still here'));
    open.finish();
    await Promise.all([closed.closed.promise, open.closed.promise]);
  }
  await until('the lines', () => one.lines('connection complete', ':8073').length === 2);
  expect(one.lines('connection complete', ':8073', 'error=')).toEqual([]);
  held.close();
}, 40_000);
