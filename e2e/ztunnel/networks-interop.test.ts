/** Into another network with Istio's ztunnel at either end and our gateway between: `ZTUNNEL_BIN=<path> bun test ./e2e/ztunnel/networks-interop.test.ts`. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { dial, echo, serve } from './apps.ts';
import { until } from './lab.ts';
import { hostOf, TwoNetworks } from './two-networks.ts';

const binary = process.env['ZTUNNEL_BIN'] ?? '';
const MiB = 1024 * 1024;

const sides = [
  ['as the client', 'zt-2c', '10.79', { one: binary }],
  ['as the server', 'zt-2s', '10.86', { two: binary }],
] as const;

for (const [side, prefix, subnet, programs] of sides) {
  describe.skipIf(binary === '')(`with Istio's ztunnel ${side}`, () => {
    let mesh: TwoNetworks;
    beforeAll(async () => {
      mesh = new TwoNetworks(prefix, subnet);
      await mesh.start(programs);
      for (const server of mesh.servers) serve(server, 8080, echo());
    }, 60_000);
    afterAll(() => mesh.stop());

    test('many connections with half closes', async () => {
      await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          const peer = dial(mesh.client, mesh.vip(1), 80);
          await peer.connected.promise;
          for (let i = 1; i <= 10; i++) {
            peer.send(`message ${index}`.padEnd(100, '-'));
            await peer.bytes(100 * i);
          }
          peer.finish();
          await peer.closed.promise;
        }),
      );
    }, 20_000);

    test('a large transfer both ways', async () => {
      const block = Buffer.alloc(16 * MiB, 'interop');
      const peer = dial(mesh.client, mesh.vip(1), 80);
      await peer.connected.promise;
      const digest = new Bun.CryptoHasher('sha256');
      peer.handle = (chunk) => void digest.update(chunk);
      peer.send(block);
      await peer.bytes(block.length);
      peer.finish();
      await peer.closed.promise;
      expect(digest.digest('hex')).toBe(new Bun.CryptoHasher('sha256').update(block).digest('hex'));
    }, 60_000);

    test('both ends count the same bytes, under the names each has for the other', async () => {
      const labels = { source_workload: 'client', destination_service: hostOf('echo'), response_flags: '-' };
      for (const name of ['istio_tcp_received_bytes_total', 'istio_tcp_sent_bytes_total', 'istio_tcp_connections_closed_total'])
        for (const server of mesh.servers)
          await until(`${name} of ${server.name} to agree`, () => {
            const told = { ...labels, destination_workload: server.name };
            const sent = mesh.one.metric(name, { ...told, reporter: 'source' });
            return sent > 0 && sent === mesh.two.metric(name, { ...told, reporter: 'destination' });
          });
    }, 30_000);

    test('a service behind a waypoint', async () => {
      for (const server of mesh.servers)
        serve(server, 8082, (peer) => {
          peer.handle = (chunk) => {
            if (chunk.includes('\r\n\r\n')) peer.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
          };
        });
      mesh.waypointService({ ports: [{ servicePort: 80, targetPort: 8082 }] });
      await mesh.lab.push();
      const peer = dial(mesh.client, mesh.vip(2), 80);
      await peer.connected.promise;
      peer.send('GET /through HTTP/1.1\r\nHost: web\r\n\r\n');
      await until('the answer', () => peer.text.includes('\r\n\r\nok'));
      peer.socket!.terminate();
      await until('the waypoint’s line', () => mesh.waypoint.log.includes('GET /through HTTP/1.1'));
    }, 20_000);
  });
}
