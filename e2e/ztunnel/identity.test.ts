/** Certificates under way: renewed, signed by another root, not to be had, each with connections that need them at that moment. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import path from 'node:path';
import type { Subprocess } from 'bun';
import { dial, echo, type Peer, serve } from './apps.ts';
import { Lab, type TestProxy, until } from './lab.ts';
import type { Pod } from './network.ts';
import { certificateOf, serialOf } from './shown-certificates.ts';
import { startTwoPods } from './two-pods.ts';

const lab = new Lab('zt-id', '10.88');
const LIFE_SECONDS = 6;
/** Each connection needs a tunnel, and so a handshake, of its own. */
const ENV = { SECRET_TTL: `${LIFE_SECONDS}s`, POOL_MAX_STREAMS_PER_CONNECTION: '1' };
let client: Pod;
let server: Pod;
let outside: Pod;
let one: TestProxy;
let two: TestProxy;

beforeAll(async () => {
  const mesh = await startTwoPods(lab, ENV);
  ({ client, server, one, two } = mesh);
  outside = lab.network.addPod(mesh.node2, 'outside', 20);
  serve(outside, 8080, echo());
}, 60_000);
afterAll(() => lab.stop());

async function exchange(to = server): Promise<void> {
  const peer = dial(client, to.ip, 8080);
  await peer.connected.promise;
  peer.send('hello');
  await peer.bytes(5);
  peer.finish();
  await peer.closed.promise;
}

/** New connections, four at a time, until told to stop; resolves to how many there were. */
function load(): () => Promise<number> {
  let count = 0;
  let isOver = false;
  const worker = async (): Promise<void> => {
    while (!isOver) {
      await exchange();
      count++;
    }
  };
  const workers = Promise.all(Array.from({ length: 4 }, worker));
  return async () => {
    isOver = true;
    await workers;
    return count;
  };
}

const failures = (): number => [one, two].reduce((sum, proxy) => sum + proxy.metric('istio_tcp_connections_failed_total'), 0);
const denials = (): number => [one, two].reduce((sum, proxy) => sum + proxy.lines('connection failed').length, 0);

test('certificates are renewed at half their life, and no handshake fails meanwhile', async () => {
  const lasting = dial(client, server.ip, 8080);
  await lasting.connected.promise;
  const seen = [new Set<string>(), new Set<string>()];
  const stop = load();
  const begin = performance.now();
  while (seen.some((serials) => serials.size < 5)) {
    seen[0]!.add(serialOf(one, 'client'));
    seen[1]!.add(serialOf(two, 'server'));
    await Bun.sleep(200);
  }
  const lives = (performance.now() - begin) / 1000 / LIFE_SECONDS;
  expect(await stop()).toBeGreaterThan(100);
  expect({ failures: failures(), denials: denials() }).toEqual({ failures: 0, denials: 0 });
  // Not sooner than at half life either: that would be a load on the authority. Certificates count in whole seconds, so half of six may be two.
  expect(seen[0]!.size).toBeLessThan(3 * lives + 3);
  // The certificate this one was set up with has long expired.
  lasting.send('still here');
  expect(await lasting.bytes(10)).toBe('still here');
  lasting.finish();
}, 60_000);

test('the root is exchanged while both are trusted, and no handshake fails at any step', async () => {
  const rootsOf = (proxy: TestProxy, account: string) => certificateOf(proxy, account)!.rootCerts.map(({ pem }) => pem);
  const oldRoot = rootsOf(one, 'client')[0];
  const lasting = dial(client, server.ip, 8080);
  await lasting.connected.promise;
  const stop = load();
  const step = async (signer: 'old' | 'new', trusted: ('old' | 'new')[]): Promise<void> => {
    const before = [serialOf(one, 'client'), serialOf(two, 'server')];
    lab.authority = { signer, trusted };
    await lab.push();
    await until('both to have new certificates', async () => {
      await Bun.sleep(200);
      return serialOf(one, 'client') !== before[0] && serialOf(two, 'server') !== before[1];
    });
  };
  // The first renewal after the change may have been asked for before it: each step waits for two.
  for (let i = 0; i < 2; i++) await step('old', ['old', 'new']);
  expect(rootsOf(one, 'client')).toHaveLength(2);
  for (let i = 0; i < 2; i++) await step('new', ['old', 'new']);
  for (let i = 0; i < 2; i++) await step('new', ['new']);
  expect(await stop()).toBeGreaterThan(100);
  expect({ failures: failures(), denials: denials() }).toEqual({ failures: 0, denials: 0 });
  const left = rootsOf(two, 'server');
  expect(left).toHaveLength(1);
  expect(left[0]).not.toBe(oldRoot!);
  lasting.send('still here');
  expect(await lasting.bytes(10)).toBe('still here');
  lasting.finish();
}, 90_000);

test('without the authority the certificates serve until they expire, then connections end for want of one, and recover by themselves', async () => {
  const lasting = dial(client, server.ip, 8080);
  await lasting.connected.promise;
  const held: Peer[] = [];
  const identityErrors = (): number => one.metric('istio_tcp_connections_failed_total', { response_flags: 'IDENTITY_ERROR' });
  await lab.restartControlPlane(async () => {
    await exchange();
    await until(
      'the certificates to expire',
      async () => {
        // Stays open, or its tunnel would serve the next one.
        const peer = dial(client, server.ip, 8080);
        held.push(peer);
        await Promise.race([peer.closed.promise, Bun.sleep(500)]);
        return identityErrors() > 0;
      },
      20_000,
    );
    await until('the line', () => one.lines('connection complete', 'error="identity error: ').length > 0);
    // Plain text needs no certificate.
    await exchange(outside);
    lasting.send('still here');
    expect(await lasting.bytes(10)).toBe('still here');
  });
  await until('recovery', () => exchange().then(() => true), 30_000);
  for (const peer of [lasting, ...held]) peer.socket?.terminate();
}, 90_000);

test('a proxy that starts without the authority serves what needs no certificate, and the rest once there is one', async () => {
  const { fabric, fabricIp } = lab.network;
  await one.stop();
  one.start({ CA_ADDRESS: `https://${fabricIp}:15013` });
  await one.ready();
  await until('the pod', () => one.log.includes('pod joined'));
  await exchange(outside);
  const refused: Peer = dial(client, server.ip, 8080);
  await refused.closed.promise;
  await until('the line', () => one.lines('connection complete', 'error="identity error: ').length > 0);
  const script = path.join(import.meta.dir, 'control-plane.ts');
  const authority: Subprocess = Bun.spawn(['ip', 'netns', 'exec', fabric, process.execPath, script, fabricIp, '15013', lab.directory], {
    stdin: 'pipe',
    stdout: 'ignore',
    stderr: 'inherit',
  });
  try {
    // Its roots are the old ones, as the other proxy's are to be.
    lab.authority = { signer: 'old', trusted: ['old', 'new'] };
    await lab.push();
    await until('the first connection', () => exchange().then(() => true), 30_000);
  } finally {
    authority.kill('SIGKILL');
    await authority.exited;
  }
}, 60_000);
