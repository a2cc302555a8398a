/** Connections that say little or nothing, on every listener of the node proxy: each is ended by a named limit or costs next to nothing, and nobody else waits. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { dial, type Peer, serve } from './apps.ts';
import { Bystander, growthDuring } from './bystander.ts';
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

async function withstand(limitMib: number, attack: () => Promise<void>): Promise<void> {
  const other = new Bystander(client, server.ip, 8080);
  await until('the bystander to be served', () => other.requests > 3 && other.connections > 3);
  let grownAtOne = 0;
  const grownAtTwo = await growthDuring(two, async () => {
    grownAtOne = await growthDuring(one, attack);
  });
  expect(await other.finish()).toEqual([]);
  expect(Math.max(grownAtOne, grownAtTwo)).toBeLessThan(limitMib + SLACK_MIB);
}

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

test.each([
  ['nothing', ''],
  ['the beginning of a ClientHello', Buffer.from('1603010200010001fc0303', 'hex').toString('latin1')],
])(
  '300 clients of the tunnel port that send %s are ended by the limit of a handshake',
  (_, text) =>
    withstand(0, async () => {
      const before = refused(two, 'handshake-timeout');
      const peers = await crowd(intruder, server.ip, 15_008);
      for (const peer of peers) if (text !== '') send(peer, Buffer.from(text, 'latin1'));
      await until('all to be ended', () => peers.every((peer) => peer.isEnded), 20_000);
      await until('all to be counted', () => refused(two, 'handshake-timeout') === before + CROWD);
      await until('the reason in the log', () => two.lines('error="handshake timed out"').length >= CROWD);
      drop(peers);
    }),
  40_000,
);

test(
  'a handshake that trickles in is ended all the same',
  () =>
    withstand(0, async () => {
      const before = refused(two, 'handshake-timeout');
      const hello = Buffer.from('160301020001', 'hex').toString('latin1');
      const peers = await crowd(intruder, server.ip, 15_008, 50);
      expect(await drip(peers, hello, 500, 25_000)).toBe(0);
      await until('all to be counted', () => refused(two, 'handshake-timeout') + refused(two, 'tls-failure') >= before + 50);
      drop(peers);
    }),
  40_000,
);

for (const [name, port, from] of [
  ['metrics', 15_020, () => intruder],
  ['readiness', 15_021, () => intruder],
  ['admin', 15_000, () => node2],
] as const) {
  const ip = (): string => (port === 15_000 ? '127.0.0.1' : node2.ip);

  test(
    `clients of the ${name} port that say nothing are ended, and its answers keep coming`,
    () =>
      withstand(0, async () => {
        const peers = await crowd(from(), ip(), port);
        expect(two.http(port, port === 15_021 ? '/healthz/ready' : port === 15_020 ? '/metrics' : '/config_dump')).not.toBe('');
        await until('all to be ended', () => peers.every((peer) => peer.isEnded), 30_000);
        drop(peers);
      }),
    60_000,
  );

  test(
    `requests to the ${name} port that trickle in are ended by a limit for their head`,
    () =>
      withstand(0, async () => {
        const peers = await crowd(from(), ip(), port);
        expect(await drip(peers, `GET / HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(200)}`, 500, 30_000)).toBe(0);
        drop(peers);
      }),
    60_000,
  );

  test(
    `clients of the ${name} port that ask and do not read cost little, and others are answered`,
    () =>
      withstand(4, async () => {
        const peers = await crowd(from(), ip(), port, 50);
        for (const peer of peers) {
          peer.socket?.pause();
          send(
            peer,
            `GET /${port === 15_020 ? 'metrics' : port === 15_000 ? 'config_dump' : 'healthz/ready'} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(
              port === 15_000 ? 4 : 200,
            ),
          );
        }
        await Bun.sleep(3_000);
        expect(two.http(port, port === 15_021 ? '/healthz/ready' : port === 15_020 ? '/metrics' : '/config_dump')).not.toBe('');
        drop(peers);
      }),
    60_000,
  );
}

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
    // Each direction of a connection: kernel buffers aside, a stream's window and what was read of its socket once.
    withstand(2 * 16, async () => {
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

test.each(['client', 'server'] as const)(
  'a connection half closed by its %s stays open the other way, however long',
  (who) =>
    withstand(0, async () => {
      const before = mesh.app.peers.length;
      const held = serve(server, 8073);
      const peer = dial(client, server.ip, 8073);
      await peer.connected.promise;
      peer.send('a');
      await until('the server to have it', () => held.peers[0]?.text === 'a');
      const atServer = held.peers[0]!;
      const [first, second] = who === 'client' ? [peer, atServer] : [atServer, peer];
      first.finish();
      await second.ended.promise;
      await Bun.sleep(12_000);
      second.send('still here');
      await until('it to arrive', () => first.text.endsWith('still here'));
      second.finish();
      await Promise.all([peer.closed.promise, atServer.closed.promise]);
      await until('the line', () => one.lines('connection complete', ':8073').length > 0);
      expect(one.lines('connection complete', ':8073', 'error=')).toEqual([]);
      expect(mesh.app.peers.length).toBeGreaterThanOrEqual(before);
      held.close();
    }),
  40_000,
);
