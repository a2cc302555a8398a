/** Into another network: HBONE inside HBONE through an east-west gateway, to pods and to a waypoint. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { Action, Scope } from '../../src/protocol/index.ts';
import { dial, echo, type Peer, type ServerHandle, serve } from './apps.ts';
import { until } from './lab.ts';
import { hostOf, identityOf, THERE, TwoNetworks } from './two-networks.ts';

const MiB = 1024 * 1024;
const mesh = new TwoNetworks('zt-2n', '10.78');
const { lab, client } = mesh;
const ECHO = mesh.vip(1);
const WEB = mesh.vip(2);
let handles: ServerHandle[] = [];

beforeAll(async () => {
  await mesh.start();
  handles = mesh.servers.map((server) => serve(server, 8080, echo(2)));
}, 60_000);
afterAll(() => mesh.stop());

/** A connection to the echo that has been answered once, and is open. */
async function answered(): Promise<Peer> {
  const peer = dial(client, ECHO, 80);
  await peer.connected.promise;
  peer.send('hello world');
  await peer.bytes(22);
  return peer;
}

/** It is answered once more, and ends in order. */
async function goesOnAndEnds(peer: Peer): Promise<void> {
  peer.send('hello again');
  await peer.bytes(44);
  peer.finish();
  await peer.closed.promise;
  expect(peer.received).toBe(44);
}

async function exchange(ip: string): Promise<string> {
  const peer = dial(client, ip, 80);
  await peer.connected.promise;
  peer.send('hello world');
  const text = await peer.bytes(22);
  peer.finish();
  await peer.closed.promise;
  return text;
}

/** A connection that is not to come about; the client's reason. */
async function refusal(ip: string, piece: string): Promise<string> {
  const before = mesh.one.lines(piece).length;
  const peer = dial(client, ip, 80);
  await peer.closed.promise;
  expect(peer.received).toBe(0);
  return until(`a line with ${piece}`, () => mesh.one.lines(piece)[before]);
}

test('a connection reaches a pod of another network, and both ends know whom they spoke with', async () => {
  expect(await exchange(ECHO)).toBe('hello worldhello world');
  const line = await until('the line', () => mesh.one.lines('connection complete', 'direction="outbound"')[0]);
  expect(line).toContain(
    `dst.addr=${mesh.gatewayPod.ip}:15008 dst.hbone_addr=${hostOf('echo')}:80 dst.service="${hostOf('echo')}" dst.workload="server`,
  );
  expect(line).toContain(`dst.identity="${identityOf('server')}"`);
  expect(line).toContain('bytes_sent=11 bytes_recv=22');
  expect(line).not.toContain('error=');
  const inbound = await until('the line', () => mesh.two.lines('connection complete', 'direction="inbound"')[0]);
  expect(inbound).toContain(`src.addr=${mesh.gatewayPod.ip}:`);
  expect(inbound).toContain(`src.workload="client" src.namespace="default" src.identity="${identityOf('client')}"`);
  expect(inbound).toContain(`dst.hbone_addr=${hostOf('echo')}:80 dst.service="${hostOf('echo')}"`);
  for (const [proxy, reporter] of [
    [mesh.one, 'source'],
    [mesh.two, 'destination'],
  ] as const) {
    const labels = {
      reporter,
      source_workload: 'client',
      destination_service: hostOf('echo'),
      destination_principal: identityOf('server'),
    };
    expect(proxy.metric('istio_tcp_connections_opened_total', labels)).toBe(1);
    expect(proxy.metric('istio_tcp_connections_closed_total', { ...labels, response_flags: '-' })).toBe(1);
    expect(proxy.metric('istio_tcp_received_bytes_total', labels)).toBe(11);
    expect(proxy.metric('istio_tcp_sent_bytes_total', labels)).toBe(22);
  }
  expect(mesh.gateway.metric('istio_tcp_connections_opened_total', { reporter: 'waypoint', source_principal: identityOf('client') })).toBe(
    1,
  );
});

test('each connection may reach another pod, while all of them share the tunnel to the gateway', async () => {
  const before = handles.map(({ peers }) => peers.length);
  await Promise.all(Array.from({ length: 40 }, () => exchange(ECHO)));
  for (const [i, { peers }] of handles.entries()) expect(peers.length).toBeGreaterThan(before[i]!);
  expect(mesh.gateway.metric('istio_tcp_sockets_open', { reporter: 'destination' })).toBe(1);
});

test('the configuration dump names both layers', async () => {
  const peer = await answered();
  const dump = JSON.parse(mesh.one.http(15_000, '/config_dump'));
  expect(dump.workloadState['uid-client'].connections.outbound).toContainEqual({
    src: expect.stringContaining(client.ip),
    originalDst: `${ECHO}:80`,
    actualDst: `${mesh.gatewayPod.ip}:15008`,
    protocol: 'DOUBLEHBONE',
  });
  peer.finish();
  await peer.closed.promise;
});

test('large transfers arrive whole, both ways at once', async () => {
  const digests = await Promise.all(
    [1, 2].map(async (salt) => {
      const block = Buffer.alloc(16 * MiB, `network ${salt}`);
      const peer = dial(client, ECHO, 80);
      await peer.connected.promise;
      const digest = new Bun.CryptoHasher('sha256');
      peer.handle = (chunk) => void digest.update(chunk);
      peer.send(block);
      await peer.bytes(2 * block.length);
      peer.finish();
      await peer.closed.promise;
      return peer.received === 2 * block.length;
    }),
  );
  expect(digests).toEqual([true, true]);
}, 60_000);

test('either side may finish first, and the other still be heard', async () => {
  const port = serve(mesh.servers[0]!, 8081);
  const other = serve(mesh.servers[1]!, 8081);
  mesh.service('late', 4, { subjectAltNames: [identityOf('server')], ports: [{ servicePort: 80, targetPort: 8081 }] });
  mesh.splitHorizon('late');
  for (const server of mesh.servers)
    lab.workload(server, 'server', {
      network: THERE,
      services: Object.fromEntries(['echo', 'web', 'late'].map((name) => [`default/${hostOf(name)}`, { ports: [] }])),
    });
  await lab.push();
  const next = async (): Promise<Peer> => {
    const count = port.peers.length + other.peers.length;
    return until('the server’s side', () =>
      port.peers.length + other.peers.length > count - 1 ? [...port.peers, ...other.peers].at(-1) : undefined,
    );
  };
  const peer = await until('the service', async () => {
    const attempt = dial(client, mesh.vip(4), 80);
    await attempt.connected.promise;
    attempt.send('request');
    return Promise.race([
      attempt.closed.promise.then(() => undefined),
      until('it', () => port.peers.length + other.peers.length > 0 && attempt),
    ]);
  });
  const server = await next();
  await server.bytes(7);
  peer.finish();
  await server.ended.promise;
  server.send('answer');
  expect(await peer.bytes(6)).toBe('answer');
  server.finish();
  await peer.closed.promise;
  port.close();
  other.close();
});

test('a peer that does not read holds back its own connection only', async () => {
  const stuck: Peer[] = [];
  for (const handle of handles) handle.close();
  handles = mesh.servers.map((server) =>
    serve(server, 8080, (peer) => {
      stuck.push(peer);
      peer.socket!.pause();
    }),
  );
  const writer = dial(client, ECHO, 80);
  await writer.connected.promise;
  const block = new Uint8Array(MiB);
  for (let i = 0; i < 64; i++) writer.send(block);
  await until('the server', () => stuck.length === 1);
  let queued = writer.queued;
  await until('the writer to be held back', async () => {
    await Bun.sleep(500);
    const isStill = writer.queued === queued && queued > 0;
    queued = writer.queued;
    return isStill;
  });
  // Two windows of 4 MiB and the sockets between: far from all of it.
  expect(queued).toBeGreaterThan(24 * MiB);
  for (const handle of handles) handle.close();
  handles = mesh.servers.map((server) => serve(server, 8080, echo(2)));
  expect(await exchange(ECHO)).toBe('hello worldhello world');
  stuck[0]!.socket!.resume();
  await until('everything to arrive', () => stuck[0]!.received === 64 * MiB, 30_000);
  writer.socket!.terminate();
  await stuck[0]!.ended.promise;
}, 60_000);

test('a service behind a waypoint is reached through the waypoint of the other network', async () => {
  const bodies = mesh.servers.map((server) =>
    serve(server, 8082, (peer) => {
      peer.handle = (chunk) => {
        if (chunk.includes('\r\n\r\n')) peer.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      };
    }),
  );
  mesh.waypointService({ ports: [{ servicePort: 80, targetPort: 8082 }] });
  await lab.push();
  const peer = dial(client, WEB, 80);
  await peer.connected.promise;
  peer.send('GET /through HTTP/1.1\r\nHost: web\r\n\r\n');
  await until('the answer', () => peer.text.includes('\r\n\r\nok'));
  peer.socket!.terminate();
  await until('the waypoint’s line', () => mesh.waypoint.log.includes('GET /through HTTP/1.1'));
  const line = await until('the line', () => mesh.one.lines(`dst.hbone_addr=${hostOf('web')}:80`)[0]);
  expect(line).toContain(`dst.identity="${identityOf('waypoint')}"`);
  for (const body of bodies) body.close();
});

test('the client’s own identity meets the policies of the other network', async () => {
  lab.policy('no-client', {
    action: Action.DENY,
    scope: Scope.NAMESPACE,
    rules: [{ clauses: [{ matches: [{ principals: [{ matchType: { case: 'suffix', value: '/sa/client' } }] }] }] }],
  });
  await lab.push();
  await until('the policy', () => mesh.two.http(15_000, '/config_dump').includes('no-client'));
  expect(await refusal(ECHO, 'http status: 401 Unauthorized')).toContain(`dst.hbone_addr=${hostOf('echo')}:80`);
  await until('the server’s line', () => mesh.two.lines('explicitly denied by: default/no-client').length > 0);
  lab.policies = {};
  await lab.push();
  await until('the policy to be gone', async () => (await exchange(ECHO).catch(() => '')) !== '');
});

test('a peer with another identity than the service’s is refused, and so is everybody where the service lists none', async () => {
  mesh.service('echo', 1, { subjectAltNames: [identityOf('other')] });
  await lab.push();
  const failed = mesh.one.metric('istio_tcp_connections_failed_total', { response_flags: 'TLS_FAILURE' });
  await until('the change', async () => (await refusal(ECHO, 'error=').catch(() => '')).includes(`peer is none of ${identityOf('other')}`));
  mesh.service('echo', 1, {});
  await lab.push();
  await until('the change', async () => (await refusal(ECHO, 'error=').catch(() => '')).includes('lists no identities'));
  expect(mesh.one.metric('istio_tcp_connections_failed_total', { response_flags: 'TLS_FAILURE' })).toBeGreaterThanOrEqual(failed + 2);
  mesh.service('echo', 1, { subjectAltNames: [identityOf('server')] });
  await lab.push();
  await until('the change', async () => (await exchange(ECHO).catch(() => '')) !== '');
});

test('a name the gateway has no endpoint for is refused there', async () => {
  mesh.service('nowhere', 9, { subjectAltNames: [identityOf('server')] });
  mesh.splitHorizon('nowhere');
  await lab.push();
  await until('the service', async () => (await refusal(mesh.vip(9), 'error=').catch(() => '')).includes('http status: 503'));
  await until('the gateway’s line', () => mesh.gateway.log.includes('no healthy upstream: nowhere.default.svc.cluster.local:80'));
});

test('an application that goes before the other network has answered leaves nothing behind', async () => {
  const peers = Array.from({ length: 20 }, () => dial(client, ECHO, 80));
  await Promise.all(peers.map((peer) => peer.connected.promise));
  for (const peer of peers) peer.socket!.terminate();
  await until('the connections to be over', () => {
    const dump = JSON.parse(mesh.one.http(15_000, '/config_dump'));
    return dump.workloadState['uid-client'].connections.outbound.length === 0;
  });
  await until('the gateway to be rid of them', () => mesh.gateway.metric('lateen_waypoint_client_connections') === 0);
  const fds = () => Number(mesh.one.http(15_020, '/metrics').match(/^process_open_fds (\d+)/m)?.[1]);
  const before = fds();
  for (let i = 0; i < 20; i++) await exchange(ECHO);
  await until('the descriptors to be closed', () => fds() <= before);
});

test('when the gateway dies, its connections end at both sides with a reason', async () => {
  const peer = await answered();
  await mesh.gateway.kill();
  await peer.closed.promise;
  await until('the line', () => mesh.one.lines('connection complete', 'the tunnel was closed').length > 0);
  await refusal(ECHO, 'connection failed: connection refused');
  await mesh.gateway.start();
  await until('recovery', async () => (await exchange(ECHO).catch(() => '')) !== '');
});

test('a proxy that is told to end lets a connection into another network finish', async () => {
  const peer = await answered();
  mesh.one.process.kill('SIGTERM');
  await until('the drain', () => mesh.one.log.includes('\tdraining\t'));
  await goesOnAndEnds(peer);
  expect(await mesh.one.process.exited).toBe(0);
  mesh.one.start();
  await mesh.one.ready();
  await until('service again', async () => (await exchange(ECHO).catch(() => '')) !== '');
}, 30_000);

test('a gateway that is told to end lets the connections through it finish', async () => {
  const peer = await answered();
  mesh.gateway.process.kill('SIGTERM');
  await until('the drain', () => mesh.gateway.log.includes('draining'));
  await goesOnAndEnds(peer);
  expect(await mesh.gateway.process.exited).toBe(0);
  await mesh.gateway.start();
  await until('recovery', async () => (await exchange(ECHO).catch(() => '')) !== '');
}, 30_000);

test('a pod that leaves the mesh takes its connections into other networks along', async () => {
  const peer = await answered();
  await mesh.one.remove(client);
  await peer.closed.promise;
  await until('the line', () => mesh.one.lines('the workload left the mesh').length > 0);
});
