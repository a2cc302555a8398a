/** Peers that hold a good certificate and misuse HTTP/2: each tunnel ends for its reason, memory stays within its limits, and nobody else notices. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { WorkloadCertificate } from '../../src/dataplane/core/certificate.ts';
import { dial, echo, type ServerHandle, serve } from './apps.ts';
import { besideBystander } from './bystander.ts';
import { issue, openTunnel } from './foreign-client.ts';
import { Lab, type TestProxy, until } from './lab.ts';
import { type Pod, run } from './network.ts';
import { Flag, FrameType, frame, PREFACE, RawTunnel, reset, uint32 } from './raw-tunnel.ts';

const lab = new Lab('zt-fh', '10.91');
const SERVER = 'spiffe://cluster.local/ns/default/sa/server';
let proxy: TestProxy;
let server: Pod;
let bystander: Pod;
let intruder: Pod;
let good: WorkloadCertificate;
const apps: ServerHandle[] = [];
/** Connections to it get no answer at all. */
const SILENT_PORT = 8076;
const MiB = 1024 * 1024;
/** What a proxy needs to do its work at all, beside what the limits allow a peer: garbage not yet collected, buffers being reused. */
const SLACK_MIB = 48;

beforeAll(async () => {
  const node1 = lab.network.addNode(1);
  const node2 = lab.network.addNode(2);
  server = lab.network.addPod(node2, 'server', 10);
  bystander = lab.network.addPod(node1, 'bystander', 11);
  intruder = lab.network.addPod(node1, 'intruder', 66);
  await lab.start();
  lab.workload(server, 'server');
  lab.workload(bystander, 'bystander');
  await lab.push();
  // A line per stream would be more than a test reads in time.
  proxy = lab.addProxy(node2, { RUST_LOG: 'info,access=off' });
  const near = lab.addProxy(node1);
  for (const each of [proxy, near]) each.start();
  expect(await proxy.add(server, 'server')).toBe('');
  expect(await near.add(bystander, 'bystander')).toBe('');
  lab.network.capture(server);
  lab.network.capture(bystander);
  await proxy.ready();
  await near.ready();
  for (const command of ['table inet silent', 'chain inet silent in { type filter hook input priority 0 ; }'])
    run('ip', 'netns', 'exec', server.namespace, 'nft', `add ${command}`);
  run('ip', 'netns', 'exec', server.namespace, 'nft', `add rule inet silent in tcp dport ${SILENT_PORT} drop`);
  apps.push(serve(server, 8080, echo()));
  good = await issue(lab, 'spiffe://cluster.local/ns/default/sa/visitor');
  await until('the pod to be served', async () => (await openTunnel(intruder, server.ip, good, SERVER)).tunnel.isReady);
}, 60_000);

afterAll(() => {
  expect(proxy.process.exitCode).toBeNull();
  for (const app of apps) app.close();
  lab.stop();
});

const refused = (reason: string): number => proxy.metric('lateen_refused_total', { direction: 'inbound', reason });
const authority = (): string => `${server.ip}:8080`;
const raw = (greet = true): Promise<RawTunnel> => new RawTunnel(intruder, server.ip, good).ready(greet);

/** Runs an attack beside a bystander: it may cost this much memory at most, and must not be noticed. */
const withstand = (limitMib: number, attack: () => Promise<void>): Promise<void> =>
  besideBystander([bystander, server.ip, 8080], [proxy], limitMib + SLACK_MIB, attack);

/** An attack that has to end its own tunnel, with this reason in metric and log. */
async function endsWith(reason: string, attack: (tunnel: RawTunnel) => Promise<void> | void, greet = true): Promise<RawTunnel> {
  const before = refused(reason);
  const from = proxy.log.length;
  const tunnel = await raw(greet);
  await attack(tunnel);
  await tunnel.peer.ended.promise;
  await until(`the reason ${reason} in the metric`, () => refused(reason) === before + 1);
  await until('the reason in the log', () => proxy.log.slice(from).includes(`reason="${reason}"`));
  tunnel.peer.socket?.terminate();
  return tunnel;
}

/** Connection attempts to applications that have not been answered. */
const attempts = (): number =>
  run('ip', 'netns', 'exec', server.namespace, 'ss', '-tanH', 'state', 'syn-sent')
    .split('\n')
    .filter((line) => line !== '').length;

test(
  '10 000 streams opened and reset at once end their tunnel, and leave no connection attempt behind',
  () =>
    withstand(0, async () => {
      const tunnel = await endsWith('rapid-reset', (tunnel) => {
        for (let i = 0; i < 10_000; i++) tunnel.send(tunnel.connect(2 * i + 1, `${server.ip}:${SILENT_PORT}`), reset(2 * i + 1));
      });
      expect(tunnel.goaway?.code).toBe(11); // ENHANCE_YOUR_CALM
      await until('the attempts to be given up', () => attempts() === 0, 5_000);
    }),
  60_000,
);

test(
  'the same to an application that answers at once is work like any other',
  () =>
    withstand(0, async () => {
      const tunnel = await raw();
      for (let i = 0; i < 10_000; i++) tunnel.send(tunnel.connect(2 * i + 1, authority()), reset(2 * i + 1));
      const last = 2 * 10_000 + 1;
      tunnel.send(tunnel.connect(last, authority()), frame(FrameType.DATA, 0, last, Buffer.from('x')));
      // Where the application was slower than the reset, it counts as unanswered.
      await until('the answer or the end', () => tunnel.count(FrameType.DATA) > 0 || tunnel.goaway?.code === 11);
      tunnel.peer.socket?.terminate();
      await until('its connections to be over', () => proxy.metric('istio_tcp_sockets_open') < 10);
    }),
  60_000,
);

test(
  '10 000 requests at once are refused beyond the streams of a tunnel, and end it',
  () =>
    withstand(0, async () => {
      const tunnel = await endsWith('rapid-reset', (tunnel) => {
        for (let i = 0; i < 10_000; i++) tunnel.send(tunnel.connect(2 * i + 1, `${server.ip}:${SILENT_PORT}`));
      });
      expect(tunnel.goaway?.code).toBe(11);
      await until('the attempts to be given up', () => attempts() === 0, 5_000);
    }),
  60_000,
);

test(
  'a header block that never ends is cut off',
  () =>
    withstand(0, async () => {
      await endsWith('continuation-flood', (tunnel) => {
        tunnel.send(tunnel.headers(1, [[':method', 'CONNECT']], 0));
        for (let i = 0; i < 10_000; i++) tunnel.send(frame(FrameType.CONTINUATION, 0, 1, Buffer.alloc(16)));
      });
    }),
  60_000,
);

test.each([
  ['SETTINGS', 'settings-flood', () => frame(FrameType.SETTINGS, 0, 0)],
  ['acknowledgements of SETTINGS', 'settings-flood', () => frame(FrameType.SETTINGS, Flag.ACK, 0)],
  ['PING', 'ping-flood', () => frame(FrameType.PING, 0, 0, Buffer.alloc(8))],
  ['WINDOW_UPDATE', 'window-update-flood', () => frame(FrameType.WINDOW_UPDATE, 0, 0, uint32(1))],
  ['PRIORITY', 'empty-frames-flood', (i: number) => frame(FrameType.PRIORITY, 0, 2 * i + 1, Buffer.alloc(5))],
  ['frames of an unknown type', 'empty-frames-flood', () => frame(0xee, 0, 0)],
])(
  'a flood of %s ends its tunnel as %s',
  (_, reason, make) =>
    withstand(0, async () => {
      await endsWith(reason, (tunnel) => {
        for (let i = 0; i < 50_000; i++) tunnel.send(make(i));
      });
    }),
  60_000,
);

test(
  'a peer that asks on and on and reads no answer is cut off before its answers fill memory',
  () =>
    withstand(1, async () => {
      await endsWith('output-limit', async (tunnel) => {
        await until('the settings', () => tunnel.count(FrameType.SETTINGS) > 1);
        tunnel.peer.socket!.pause();
        // Each is answered with 400 and forgotten: nothing but the answers piles up.
        for (let i = 0; i < 400_000 && !tunnel.peer.isEnded; i++) {
          tunnel.send(
            tunnel.headers(
              2 * i + 1,
              [
                [':method', 'GET'],
                [':scheme', 'http'],
                [':authority', 'x:1'],
                [':path', '/'],
              ],
              Flag.END_HEADERS | Flag.END_STREAM,
            ),
          );
          if (i % 1_000 === 999) await Bun.sleep(1);
        }
        tunnel.peer.socket!.resume();
      });
    }),
  60_000,
);

test(
  'data beyond the window of a stream resets the stream, beyond that of the tunnel ends it',
  () =>
    withstand(16, async () => {
      const idle = serve(server, 8070);
      const chunk = Buffer.alloc(16_384);
      const tunnel = await raw();
      tunnel.send(tunnel.connect(1, `${server.ip}:8070`));
      await until('the stream', () => tunnel.count(FrameType.HEADERS) === 1);
      for (const peer of idle.peers) peer.socket!.pause();
      for (let sent = 0; sent < 20 * MiB && tunnel.count(FrameType.RST_STREAM) === 0 && !tunnel.peer.isEnded; sent += chunk.length) {
        tunnel.send(frame(FrameType.DATA, 0, 1, chunk));
        if (sent % MiB === 0) await Bun.sleep(1);
      }
      await until('the end of the stream', () => tunnel.count(FrameType.RST_STREAM) > 0);
      tunnel.peer.socket!.terminate();
      await endsWith('flow-control', async (greedy) => {
        for (let i = 0; i < 8; i++) greedy.send(greedy.connect(2 * i + 1, `${server.ip}:8070`));
        await until('the streams', () => greedy.count(FrameType.HEADERS) === 8);
        for (const peer of idle.peers) peer.socket?.pause();
        // No stream is over its own window of 4 MiB when the tunnel's 16 MiB are used up.
        for (let sent = 0; sent < 40 * MiB && !greedy.peer.isEnded; sent += 8 * chunk.length) {
          for (let i = 0; i < 8; i++) greedy.send(frame(FrameType.DATA, 0, 2 * i + 1, chunk));
          await Bun.sleep(0);
        }
      });
      idle.close();
    }),
  60_000,
);

/** Faults after which the peer says nothing more: with others behind them in the same packets, and alone. */
const LAST_WORDS: readonly (readonly [reason: string, say: (tunnel: RawTunnel) => void])[] = [
  [
    'settings-flood',
    (tunnel) => {
      for (let i = 0; i < 1_000; i++) tunnel.send(frame(FrameType.SETTINGS, 0, 0));
    },
  ],
  ['protocol-error', (tunnel) => tunnel.send(frame(FrameType.DATA, 0, 0, Buffer.alloc(1)))],
];

test.each(LAST_WORDS)(
  'a peer that neither reads the farewell after a %s nor closes its side is cut off',
  (reason, say) =>
    withstand(0, async () => {
      const before = refused(reason);
      const tunnel = await raw();
      // Where nothing of it was unread the kernel still waits for the peer's FIN, within a limit of its own; what counts is the proxy's descriptor.
      const port = tunnel.peer.socket!.localPort;
      const held = (): boolean =>
        run('ip', 'netns', 'exec', server.namespace, 'ss', '-tanpH', `sport = :15008 and dport = :${port}`).includes('users:');
      await until('the settings', () => tunnel.count(FrameType.SETTINGS) > 1);
      expect(held()).toBe(true);
      tunnel.peer.socket!.pause();
      say(tunnel);
      await until('the end of the tunnel', () => refused(reason) === before + 1);
      await until('its socket to be closed', () => !held(), 10_000);
      tunnel.peer.socket!.terminate();
    }),
  60_000,
);

/** Where a peer falls silent, and whether it has greeted before. */
const SILENCES: readonly (readonly [begin: (tunnel: RawTunnel) => void, greet: boolean])[] = [
  [() => {}, false], // before the preface
  [(tunnel) => tunnel.send(PREFACE.subarray(0, 8)), false],
  [(tunnel) => tunnel.send(Buffer.from([0, 0, 64, 1, 4, 0])), true], // in a frame
  [(tunnel) => tunnel.send(tunnel.headers(1, [[':method', 'CONNECT']], 0)), true], // in a header block
];

test(
  'peers that fall silent anywhere in HTTP/2, or send a byte a second, are dropped',
  () =>
    withstand(0, async () => {
      const before = refused('keepalive-timeout');
      const silent = await Promise.all(
        SILENCES.map(async ([begin, greet]) => {
          const tunnel = await raw(greet);
          tunnel.isPolite = false;
          begin(tunnel);
          return tunnel;
        }),
      );
      const slow = await raw(false);
      for (const byte of PREFACE) {
        if (slow.peer.isEnded) break;
        slow.send(Buffer.from([byte]));
        await Bun.sleep(1_000);
      }
      const all = [slow, ...silent];
      await until('all to be dropped', () => all.every(({ peer }) => peer.isEnded), 40_000);
      await until('all to be counted', () => refused('keepalive-timeout') === before + all.length);
      await until('the reason in the log', () => proxy.log.includes('reason="keepalive-timeout"'));
      for (const { peer } of all) peer.socket?.terminate();
    }),
  90_000,
);

test(
  'what a client says of itself does not fill the metrics',
  () =>
    withstand(0, async () => {
      const tunnel = await raw();
      const size = (): number => proxy.http(15_020, '/metrics').length;
      const before = size();
      // Each with another name of 8 KiB, no more at once than a tunnel takes.
      for (let i = 0; i < 1_500; i++) {
        const name = `${i}-${'x'.repeat(8_000)}`;
        tunnel.send(tunnel.connect(2 * i + 1, `${server.ip}:9`, ['baggage', `k8s.deployment.name=${name}`]));
        if (i % 100 === 99) await until('the answers', () => tunnel.count(FrameType.HEADERS) === i + 1);
      }
      tunnel.peer.socket!.terminate();
      // Nothing of it is kept: names of workloads are not as long.
      expect(size() - before).toBeLessThan(20_000);
    }),
  60_000,
);

test('and an application that was there all the time is still served', async () => {
  const peer = dial(bystander, server.ip, 8080);
  await peer.connected.promise;
  peer.send('x');
  await peer.bytes(1);
  peer.finish();
  await peer.closed.promise;
});
