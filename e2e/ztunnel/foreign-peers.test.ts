/**
 * Proxies that are neither Lateen nor a ztunnel at the other end of a tunnel: Envoy on either side, haproxy and nghttp as clients.
 * They frame HTTP/2 in their own ways, which is what is tested. Envoy runs where `ENVOY_BIN` or a benchmark's copy is, the others where they are installed.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import fs from 'node:fs';
import path from 'node:path';
import type { Subprocess } from 'bun';
import { findEnvoy, NO_ENVOY } from '../waypoint/differential/envoy.ts';
import { dial, echo, type Peer, serve } from './apps.ts';
import { issuePem } from './foreign-client.ts';
import { envoyTunnelClient, envoyTunnelServer, haproxyTunnelClient } from './foreign-configs.ts';
import { Lab, type TestProxy, until } from './lab.ts';
import type { Pod } from './network.ts';

const MiB = 1024 * 1024;
const ENTRY_PORT = 3128;
const lab = new Lab('zt-fp', '10.79');
const processes: Subprocess[] = [];
let ours: TestProxy;
/** A pod of ours, and one whose tunnels a foreign proxy handles. */
let here: Pod;
let foreign: Pod;
let visitor: { cert: string; key: string; root: string; both: string };

const envoy = findEnvoy();
const haproxy = Bun.which('haproxy');
const nghttp = Bun.which('nghttp');

function spawn(pod: Pod, ...command: string[]): Subprocess {
  const child = Bun.spawn(['ip', 'netns', 'exec', pod.namespace, ...command], { stdin: 'ignore', stdout: 'ignore', stderr: 'inherit' });
  processes.push(child);
  return child;
}

async function stop(child: Subprocess): Promise<void> {
  child.kill('SIGKILL');
  await child.exited;
}

const answersOn = (from: Pod, ip: string, port: number): Promise<boolean> =>
  until(`${ip}:${port} to accept`, async () => {
    const peer = dial(from, ip, port, 1000);
    await peer.connected.promise;
    peer.socket?.terminate();
    return true;
  });

beforeAll(async () => {
  const node1 = lab.network.addNode(1);
  const node2 = lab.network.addNode(2);
  here = lab.network.addPod(node1, 'here', 10);
  foreign = lab.network.addPod(node2, 'foreign', 10);
  await lab.start();
  for (const pod of [here, foreign]) lab.workload(pod, pod.name);
  await lab.push();
  ours = lab.addProxy(node1);
  ours.start();
  expect(await ours.add(here, 'here')).toBe('');
  lab.network.capture(here);
  for (const pod of [here, foreign]) serve(pod, 8080, echo());
  await ours.ready();

  const { certPem, keyPem, rootPem } = await issuePem(lab, 'spiffe://cluster.local/ns/default/sa/foreign');
  const file = (name: string, text: string): string => {
    const at = path.join(lab.directory, name);
    fs.writeFileSync(at, text);
    return at;
  };
  visitor = {
    cert: file('foreign.crt', certPem),
    key: file('foreign.key', keyPem),
    root: file('foreign-root.crt', rootPem),
    both: file('foreign.pem', certPem + keyPem),
  };
}, 60_000);

afterAll(async () => {
  expect(ours.process.exitCode).toBeNull();
  await Promise.all(processes.filter(({ exitCode }) => exitCode === null).map(stop));
  lab.stop();
});

/** Many small exchanges at once, each ended by a half close. */
async function manyConnections(open: () => Peer): Promise<void> {
  await Promise.all(
    Array.from({ length: 40 }, async (_, index) => {
      const peer = open();
      await peer.connected.promise;
      for (let round = 1; round <= 10; round++) {
        peer.send(`message ${index}`.padEnd(100, '-'));
        await peer.bytes(100 * round);
      }
      expect(peer.text).toBe(`message ${index}`.padEnd(100, '-').repeat(10));
      peer.finish();
      await peer.closed.promise;
    }),
  );
}

/** More than every window, in both directions at once. */
async function largeTransfer(peer: Peer): Promise<void> {
  const block = Buffer.alloc(32 * MiB, 'neither ours nor theirs ');
  await peer.connected.promise;
  const digest = new Bun.CryptoHasher('sha256');
  peer.handle = (chunk) => void digest.update(chunk);
  peer.send(block);
  await peer.bytes(block.length);
  peer.finish();
  await peer.closed.promise;
  expect(digest.digest('hex')).toBe(new Bun.CryptoHasher('sha256').update(block).digest('hex'));
}

const openStreams = (): number => ours.metric('istio_tcp_connections_opened_total') - ours.metric('istio_tcp_connections_closed_total');

describe.skipIf(envoy === undefined)(`Envoy at the other end${envoy === undefined ? ` (${NO_ENVOY})` : ''}`, () => {
  describe('as the client of our tunnels', () => {
    let child: Subprocess;
    beforeAll(async () => {
      const config = path.join(lab.directory, 'envoy-client.json');
      fs.writeFileSync(config, JSON.stringify(envoyTunnelClient(ENTRY_PORT, here.ip, `${here.ip}:8080`, visitor)));
      child = spawn(foreign, envoy!, '-c', config, '--concurrency', '1', '--disable-hot-restart', '-l', 'error');
      await answersOn(foreign, foreign.ip, ENTRY_PORT);
    }, 30_000);
    afterAll(() => stop(child));

    test('many connections with half closes pass', () => manyConnections(() => dial(foreign, foreign.ip, ENTRY_PORT)));
    test('a transfer larger than every window passes both ways', () => largeTransfer(dial(foreign, foreign.ip, ENTRY_PORT)), 60_000);
    test('its identity is the one policies and logs see, and nothing stays open', async () => {
      await until('the streams to end', () => openStreams() === 0);
      const lines = () => ours.lines('src.identity="spiffe://cluster.local/ns/default/sa/foreign"', 'direction="inbound"');
      await until('their lines', () => lines().length > 40);
    });
  });

  describe('as the server of our tunnels', () => {
    let child: Subprocess;
    beforeAll(async () => {
      const config = path.join(lab.directory, 'envoy-server.json');
      fs.writeFileSync(config, JSON.stringify(envoyTunnelServer(8080, visitor)));
      child = spawn(foreign, envoy!, '-c', config, '--concurrency', '1', '--disable-hot-restart', '-l', 'error');
      await answersOn(foreign, foreign.ip, 15_008);
    }, 30_000);
    afterAll(() => stop(child));

    test('many connections with half closes pass', () => manyConnections(() => dial(here, foreign.ip, 8080)));
    test('a transfer larger than every window passes both ways', () => largeTransfer(dial(here, foreign.ip, 8080)), 60_000);
    test('they were tunnels, and nothing stays open', async () => {
      await until('the streams to end', () => openStreams() === 0);
      const lines = () => ours.lines('direction="outbound"', `dst.addr=${foreign.ip}:15008`, `dst.hbone_addr=${foreign.ip}:8080`);
      await until('their lines', () => lines().length > 40);
    });
    test('when it is killed, its connections end and the reason is told', async () => {
      const peer = dial(here, foreign.ip, 8080);
      await peer.connected.promise;
      peer.send('before');
      await peer.bytes(6);
      expect(ours.lines('direction="outbound"', 'error="')).toEqual([]);
      await stop(child);
      await peer.closed.promise;
      await until('the reason in the log', () => ours.lines('direction="outbound"', 'error="').length === 1);
    });
  });
});

describe.skipIf(haproxy === null)(`haproxy as the client of our tunnels${haproxy === null ? ' (not run: no haproxy here)' : ''}`, () => {
  let child: Subprocess;
  beforeAll(async () => {
    const config = path.join(lab.directory, 'haproxy.cfg');
    fs.writeFileSync(config, haproxyTunnelClient(ENTRY_PORT, here.ip, visitor));
    child = spawn(foreign, haproxy!, '-db', '-f', config);
    await answersOn(foreign, foreign.ip, ENTRY_PORT);
  }, 30_000);
  afterAll(() => stop(child));

  /** An HTTP/1 CONNECT, which haproxy carries on as one of HTTP/2. */
  async function throughHaproxy(authority: string): Promise<{ peer: Peer; head: string }> {
    const peer = dial(foreign, foreign.ip, ENTRY_PORT);
    await peer.connected.promise;
    peer.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
    await until('an answer', () => peer.text.includes('\r\n\r\n'));
    return { peer, head: peer.text.split('\r\n', 1)[0]! };
  }

  test('a CONNECT becomes a connection to the application', async () => {
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const { peer, head } = await throughHaproxy(`${here.ip}:8080`);
        expect(head).toContain(' 200 ');
        const before = peer.received;
        peer.send(`number ${index}`);
        await peer.bytes(before + `number ${index}`.length);
        expect(peer.text.endsWith(`number ${index}`)).toBe(true);
        peer.finish();
        await peer.closed.promise;
      }),
    );
  });

  test('one to somebody else is refused with the status of a real ztunnel', async () => {
    const { peer, head } = await throughHaproxy('10.0.0.1:8080');
    expect(head).toContain(' 400 ');
    peer.socket?.terminate();
  });
});

describe.skipIf(nghttp === null)(`nghttp as a client of the tunnel port${nghttp === null ? ' (not run: no nghttp here)' : ''}`, () => {
  test('requests that are no CONNECT are each answered with 400 on one connection', async () => {
    const { cert, key } = visitor;
    const url = `https://${here.ip}:15008/`;
    const child = Bun.spawn(
      ['ip', 'netns', 'exec', foreign.namespace, nghttp!, '-v', '-n', '-m', '50', `--cert=${cert}`, `--key=${key}`, url],
      {
        stdout: 'pipe',
        stderr: 'ignore',
      },
    );
    const out = await new Response(child.stdout).text();
    expect(out.match(/:status: 400/g)?.length).toBe(50);
    expect(out.match(/negotiated protocol: h2/g)?.length).toBe(1);
  });
});
