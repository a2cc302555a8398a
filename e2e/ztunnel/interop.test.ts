/** Against Istio's own ztunnel as the other node's proxy: `ZTUNNEL_BIN=<path> bun test ./e2e/ztunnel/interop.test.ts`. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { Action, Scope } from '../../src/protocol/index.ts';
import { dial, echo, serve } from './apps.ts';
import { Lab, type TestProxy, until } from './lab.ts';
import type { Pod } from './network.ts';

const binary = process.env['ZTUNNEL_BIN'] ?? '';
const MiB = 1024 * 1024;

const settings = [
  ['', 'zt-i', {}],
  [', under COMPLIANCE_POLICY=pqc', 'zt-iq', { COMPLIANCE_POLICY: 'pqc' }],
] as const;

describe.skipIf(binary === '').each(settings)("with Istio's ztunnel on the other node%s", (_, name, env) => {
  const lab = new Lab(name, '10.77');
  let ours: TestProxy;
  let theirs: TestProxy;
  let here: Pod;
  let there: Pod;

  beforeAll(async () => {
    const node1 = lab.network.addNode(1);
    const node2 = lab.network.addNode(2);
    here = lab.network.addPod(node1, 'here', 10);
    there = lab.network.addPod(node2, 'there', 10);
    await lab.start();
    for (const pod of [here, there]) lab.workload(pod, pod.name);
    await lab.push();
    ours = lab.addProxy(node1, env);
    theirs = lab.addProxy(node2, env);
    theirs.program = binary;
    ours.start();
    theirs.start();
    expect(await ours.add(here, 'here')).toBe('');
    expect(await theirs.add(there, 'there')).toBe('');
    for (const pod of [here, there]) {
      lab.network.capture(pod);
      serve(pod, 8080, echo());
    }
    await ours.ready();
    await theirs.ready();
  }, 60_000);

  afterAll(() => lab.stop());

  const ways = [
    ['from ours to theirs', () => [here, there] as const],
    ['from theirs to ours', () => [there, here] as const],
  ] as const;

  for (const [name, pods] of ways) {
    test(`${name}: many connections with half closes`, async () => {
      const [from, to] = pods();
      await Promise.all(
        Array.from({ length: 40 }, async (_, index) => {
          const peer = dial(from, to.ip, 8080);
          await peer.connected.promise;
          for (let i = 1; i <= 10; i++) {
            peer.send(`message ${index}`.padEnd(100, '-'));
            await peer.bytes(100 * i);
          }
          peer.finish();
          await peer.closed.promise;
        }),
      );
    });

    test(`${name}: a large transfer both ways`, async () => {
      const [from, to] = pods();
      const size = 32 * MiB;
      const block = Buffer.alloc(size, 'interop');
      const peer = dial(from, to.ip, 8080);
      await peer.connected.promise;
      const digest = new Bun.CryptoHasher('sha256');
      peer.handle = (chunk) => void digest.update(chunk);
      peer.send(block);
      await peer.bytes(size);
      peer.finish();
      await peer.closed.promise;
      expect(digest.digest('hex')).toBe(new Bun.CryptoHasher('sha256').update(block).digest('hex'));
    }, 60_000);

    test(`${name}: an application that does not listen`, async () => {
      const [from, to] = pods();
      const peer = dial(from, to.ip, 9);
      // Theirs ends the connection in order, ours resets it.
      await Promise.race([peer.ended.promise, peer.closed.promise]);
      peer.socket?.terminate();
      expect(peer.received).toBe(0);
    });
  }

  test('both count the same bytes under the same names and labels', async () => {
    const labels = {
      source_workload: 'here',
      destination_workload: 'there',
      connection_security_policy: 'mutual_tls',
      response_flags: '-',
    };
    for (const name of ['istio_tcp_received_bytes_total', 'istio_tcp_sent_bytes_total', 'istio_tcp_connections_closed_total'])
      await until(`${name} to agree`, () => {
        const mine = ours.metric(name, { ...labels, reporter: 'source' });
        return mine > 0 && mine === theirs.metric(name, { ...labels, reporter: 'destination' });
      });
    const labelNames = (proxy: TestProxy) =>
      proxy
        .http(15_020, '/metrics')
        .split('\n')
        .find((line) => line.startsWith('istio_tcp_received_bytes_total{') && line.includes('destination_workload="there"'))
        ?.match(/[a-z_]+(?==")/g);
    expect(labelNames(ours)).toEqual(labelNames(theirs));
  });

  test('a policy is enforced by either', async () => {
    lab.policy('nobody', {
      action: Action.DENY,
      scope: Scope.NAMESPACE,
      rules: [{ clauses: [{ matches: [{ destinationPorts: [8080] }] }] }],
    });
    await lab.push();
    for (const [, pods] of ways) {
      const [from, to] = pods();
      await until('the denial', async () => {
        const peer = dial(from, to.ip, 8080);
        peer.connected.promise.then(
          () => peer.send('x'),
          () => {},
        );
        const outcome = await Promise.race([
          peer.closed.promise.then(() => 'closed'),
          peer.ended.promise.then(() => 'closed'),
          peer.bytes(1).then(
            () => 'open',
            () => 'closed',
          ),
        ]);
        peer.socket?.terminate();
        return outcome === 'closed';
      });
    }
    await until('our line about their refusal', () => ours.lines('error="http status: 401 Unauthorized"').length > 0);
    await until('their line about ours', () => theirs.log.includes('http status: 401 Unauthorized'));
    lab.policies = {};
    await lab.push();
  });
});
