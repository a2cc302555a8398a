/** Revoked certificates: refused at the handshake and cut off later, at either end, by what the file of `CRL_PATH` says now. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import path from 'node:path';
import { dial, echo, type Peer, serve } from './apps.ts';
import { Lab, type TestProxy, until } from './lab.ts';
import type { Node, Pod } from './network.ts';
import { connectTo, exchangeFile, revocationList } from './revocation-list.ts';
import { serialOf } from './shown-certificates.ts';

const lab = new Lab('zt-crl', '10.87');
let node2: Node;
let client: Pod;
let other: Pod;
let server: Pod;
let one: TestProxy;
let two: TestProxy;
const fileOf = (side: string): string => path.join(lab.directory, `crl-${side}`, 'ca-crl.pem');

const publish = (side: string, text: string): void => exchangeFile(fileOf(side), text);
const REJECTIONS = 'istio_crl_policy_rejections_total';

beforeAll(async () => {
  const node1 = lab.network.addNode(1);
  node2 = lab.network.addNode(2);
  client = lab.network.addPod(node1, 'client', 10);
  other = lab.network.addPod(node1, 'other', 11);
  server = lab.network.addPod(node2, 'server', 10);
  await lab.start();
  for (const side of ['one', 'two', 'bad']) fs.mkdirSync(path.dirname(fileOf(side)));
  publish('one', '');
  for (const pod of [client, other, server]) lab.workload(pod, pod.name);
  await lab.push();
  one = lab.addProxy(node1, { CRL_PATH: fileOf('one') });
  // This one's file comes later.
  two = lab.addProxy(node2, { CRL_PATH: fileOf('two') });
  one.start();
  two.start();
  for (const pod of [client, other]) expect(await one.add(pod, pod.name)).toBe('');
  expect(await two.add(server, 'server')).toBe('');
  for (const pod of [client, other, server]) lab.network.capture(pod);
  await one.ready();
  await two.ready();
  serve(server, 8080, echo());
}, 60_000);
afterAll(() => lab.stop());

const connect = (from: Pod): Promise<Peer> => connectTo(server, from);
async function refused(from: Pod): Promise<void> {
  const peer = dial(from, server.ip, 8080);
  await peer.closed.promise;
  expect(peer.received).toBe(0);
}

test('a proxy starts without the file, says so, and takes it once it is there', async () => {
  await until('the warning', () => two.log.includes('there is no revocation list yet'));
  (await connect(client)).finish();
  publish('two', await revocationList(lab, ['999999']));
  await until('the list', () => two.log.includes('revocation lists are in force'));
  (await connect(client)).finish();
});

test('a client that is revoked is cut off and refused by the server’s proxy, others are not', async () => {
  const cut = await connect(client);
  const kept = await connect(other);
  publish('two', await revocationList(lab, [serialOf(one, 'client')]));
  await cut.closed.promise;
  await until(
    'the line',
    () => two.lines('connection complete', 'error="connection closed: peer certificate revoked by CRL"').length === 1,
  );
  expect(two.metric('istio_tcp_connections_closed_total', { response_flags: 'CERT_REVOKED', reporter: 'destination' })).toBe(1);
  const cutOff = two.metric(REJECTIONS, { reporter: 'destination' });
  await refused(client);
  await until(
    'the early denial',
    () => two.lines('connection failed', 'direction="inbound"', 'tls error: peer certificate revoked by CRL').length > 0,
  );
  expect(two.metric(REJECTIONS, { reporter: 'destination' })).toBe(cutOff + 1);
  kept.send('again');
  expect(await kept.bytes(10)).toBe('helloagain');
  kept.finish();
  (await connect(other)).finish();
}, 20_000);

test('a file that cannot be read leaves the lists from before in force, and is reported', async () => {
  publish('two', '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n');
  await until('the report', () => two.log.includes('those from before stay in force'));
  expect(two.metric('lateen_crl_reload_failures_total')).toBe(1);
  await refused(client);
  fs.rmSync(fileOf('two'));
  await until('the second report', () => two.metric('lateen_crl_reload_failures_total') === 2);
  await refused(client);
  publish('two', await revocationList(lab, []));
  await until('mercy', async () => {
    const peer = await connect(client).catch(() => undefined);
    peer?.finish();
    return peer !== undefined;
  });
}, 20_000);

test('a server that is revoked is cut off and refused by the client’s proxy', async () => {
  const cut = await connect(client);
  publish('one', await revocationList(lab, [serialOf(two, 'server')]));
  await cut.closed.promise;
  await until(
    'the line',
    () => one.lines('connection complete', 'error="connection closed: peer certificate revoked by CRL"').length === 1,
  );
  expect(one.metric('istio_tcp_connections_closed_total', { response_flags: 'CERT_REVOKED', reporter: 'source' })).toBe(1);
  expect(one.metric(REJECTIONS, { reporter: 'source' })).toBeGreaterThan(0);
  await refused(client);
  await until('the line', () => one.lines('connection complete', 'error="tls error: peer certificate revoked by CRL').length > 0);
  expect(one.metric('istio_tcp_connections_failed_total', { response_flags: 'TLS_FAILURE' })).toBeGreaterThan(0);
  publish('one', '');
  await until('mercy', async () => {
    const peer = await connect(client).catch(() => undefined);
    peer?.finish();
    return peer !== undefined;
  });
}, 20_000);

test('a proxy does not start with lists it cannot read: it would take revoked peers for good', async () => {
  publish('bad', 'nonsense');
  await two.stop();
  two.start({ CRL_PATH: fileOf('bad') });
  expect(await two.process.exited).toBe(1);
  await until(
    'the reason',
    () => two.log.includes(`CRL_PATH \\"${fileOf('bad')}\\"`) && two.log.includes('correct the file or unset the variable'),
  );
});
