/** Revocation where client and server are pods of one proxy: what is joined ends and is refused as what takes a tunnel. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import path from 'node:path';
import { dial, echo, type Peer, serve } from './apps.ts';
import { Lab, PLACEMENT, type TestProxy, until } from './lab.ts';
import type { Pod } from './network.ts';
import { connectTo, exchangeFile, revocationList } from './revocation-list.ts';
import { serialOf } from './shown-certificates.ts';

const lab = new Lab('zt-crn', '10.66');
let client: Pod;
let other: Pod;
let server: Pod;
let proxy: TestProxy;
const file = (): string => path.join(lab.directory, 'ca-crl.pem');

const publish = (text: string): void => exchangeFile(file(), text);

beforeAll(async () => {
  const node = lab.network.addNode(1);
  client = lab.network.addPod(node, 'client', 10);
  other = lab.network.addPod(node, 'other', 11);
  server = lab.network.addPod(node, 'server', 12);
  await lab.start();
  publish('');
  for (const pod of [client, other, server]) lab.workload(pod, pod.name);
  await lab.push();
  proxy = lab.addProxy(node, { CRL_PATH: file(), CONNECTION_TERMINATION_DEADLINE: '20s' });
  proxy.start();
  for (const pod of [client, other, server]) {
    expect(await proxy.add(pod, pod.name)).toBe('');
    lab.network.capture(pod);
  }
  await proxy.ready();
  serve(server, 8080, echo());
}, 60_000);
afterAll(() => lab.stop());

const connect = (from: Pod): Promise<Peer> => connectTo(server, from);
const isServed = (): Promise<boolean> =>
  connect(client).then(
    (peer) => {
      peer.finish();
      return true;
    },
    () => false,
  );

test.each(['client', 'server'])(
  'when the %s is revoked, open connections end for it, new ones are refused, and come back when it is not',
  async (account) => {
    await until('connections', isServed);
    const joined = proxy.metric('lateen_joined_connections_total');
    const cut = await connect(client);
    const kept = await connect(other);
    expect(proxy.metric('lateen_joined_connections_total') - joined).toBe(PLACEMENT === 'one-node' ? 0 : 2);
    const ended = (reporter: string): number =>
      proxy.metric('istio_tcp_connections_closed_total', { response_flags: 'CERT_REVOKED', reporter });
    const before = ended('source') + ended('destination');
    publish(await revocationList(lab, [serialOf(proxy, account)]));
    await cut.closed.promise;
    if (account === 'server') await kept.closed.promise;
    await until('the reason to be counted', () => ended('source') + ended('destination') > before);
    await until(
      'the line',
      () => proxy.lines('connection complete', 'error="connection closed: peer certificate revoked by CRL"').length > 0,
    );
    const refused = dial(client, server.ip, 8080);
    await refused.closed.promise;
    expect(refused.received).toBe(0);
    if (account === 'client') {
      kept.send('again');
      expect(await kept.bytes(10)).toBe('helloagain');
      kept.finish();
    }
    publish(await revocationList(lab, []));
    await until('mercy', isServed);
  },
  30_000,
);

test('while the proxy winds down, its tunnels closed already, whoever is revoked is cut off all the same', async () => {
  await until('connections', isServed);
  const serial = serialOf(proxy, 'client');
  const cut = await connect(client);
  const kept = await connect(other);
  const lines = (): number => proxy.lines('connection complete', 'error="connection closed: peer certificate revoked by CRL"').length;
  const before = lines();
  proxy.process.kill('SIGTERM');
  await until('the drain', () => proxy.log.includes('draining'));
  cut.send('still');
  await cut.bytes(10);
  publish(await revocationList(lab, [serial]));
  await cut.closed.promise;
  await until('the line', () => lines() > before);
  kept.send('again');
  expect(await kept.bytes(10)).toBe('helloagain');
  kept.finish();
  await kept.closed.promise;
  await proxy.process.exited;
  expect(proxy.log).not.toContain('closing connections at the deadline');
}, 30_000);
