import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import type { EndpointSlice, Service } from '../../../platform/kubernetes/index.ts';
import { NETWORK } from '../../config.ts';
import { changeScript, EMPTY_TABLE, fullScript, proxyTable } from './rules.ts';

const service = (name: string, clusterIP: string, spec: Partial<NonNullable<Service['spec']>> = {}): Service => ({
  metadata: { namespace: 'n', name },
  spec: { clusterIP, ports: [{ name: 'http', port: 80 }], ...spec },
});
type State = 'ready' | 'leaving' | 'down';
const slice = (...endpoints: (readonly [ip: string, node: string, state: State])[]): EndpointSlice => ({
  metadata: { namespace: 'n', name: 'slice' },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  endpoints: endpoints.map(([ip, nodeName, state]) => ({
    addresses: [ip],
    nodeName,
    conditions: { ready: state === 'ready', serving: state !== 'down', terminating: state === 'leaving' },
  })),
});
const table = (services: Service[], slices: Record<string, EndpointSlice[]>, node = 'node1') =>
  proxyTable(services, (_, name) => slices[name] ?? [], node);
const only = (map: ReadonlyMap<string, string>): string => [...map.values()].join();

test('spreads over the ready endpoints by chance', () => {
  const result = table([service('a', '10.96.0.5')], {
    a: [slice(['10.244.1.2', 'node1', 'ready'], ['10.244.2.2', 'node2', 'ready'], ['10.244.2.3', 'node2', 'down'])],
  });
  expect(only(result.chains)).toBe('meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.244.1.2 . 8080, 1 : 10.244.2.2 . 8080 }');
  expect([...result.verdicts.keys()]).toEqual(['10.96.0.5 . tcp . 80']);
});

test('keeps a client on one endpoint when the service asks for it', () => {
  const result = table([service('a', '10.96.0.5', { sessionAffinity: 'ClientIP' })], {
    a: [slice(['10.244.1.2', 'node1', 'ready'], ['10.244.2.2', 'node2', 'ready'])],
  });
  expect(only(result.chains)).toContain('jhash ip saddr mod 2');
});

test('uses terminating endpoints that still serve only when there is no other', () => {
  const leaving = slice(['10.244.1.2', 'node1', 'leaving']);
  expect(only(table([service('a', '10.96.0.5')], { a: [leaving] }).chains)).toContain('10.244.1.2:8080');
  expect(only(table([service('a', '10.96.0.5')], { a: [leaving, slice(['10.244.1.3', 'node1', 'ready'])] }).chains)).toBe(
    'meta l4proto tcp dnat to 10.244.1.3:8080',
  );
});

test('internalTrafficPolicy Local stays on the node, and refuses when nobody is there', () => {
  const local = service('a', '10.96.0.5', { internalTrafficPolicy: 'Local' });
  const slices = { a: [slice(['10.244.1.2', 'node1', 'ready'], ['10.244.2.2', 'node2', 'ready'])] };
  expect(only(table([local], slices, 'node2').chains)).toContain('10.244.2.2:8080');
  expect([...table([local], slices, 'node3').rejected]).toEqual(['10.96.0.5 . tcp . 80']);
});

test('leaves out headless and external services', () => {
  const result = table([service('h', 'None'), service('e', '', { type: 'ExternalName' })], {});
  expect([result.chains.size, result.rejected.size]).toEqual([0, 0]);
});

test('a change writes only what differs, and nothing when nothing does', () => {
  const before = table([service('a', '10.96.0.5'), service('b', '10.96.0.6')], {
    a: [slice(['10.244.1.2', 'node1', 'ready'])],
    b: [slice(['10.244.1.3', 'node1', 'ready'])],
  });
  const after = table([service('a', '10.96.0.5'), service('b', '10.96.0.6')], {
    a: [slice(['10.244.1.4', 'node1', 'ready'])],
    b: [slice(['10.244.1.3', 'node1', 'ready'])],
  });
  expect(changeScript(before, before)).toBe('');
  const script = changeScript(before, after);
  expect(script).toContain('10.244.1.4:8080');
  expect(script).not.toContain('10.244.1.3');
});

const UNSHARE = 'unshare';
const canUseNft = spawnSync(UNSHARE, ['-n', 'nft', 'list', 'ruleset']).status === 0;
test.skipIf(!canUseNft)('nft accepts the table and every change of it (needs root and nft)', () => {
  const one = table([service('a', '10.96.0.5'), service('b', '10.96.0.6', { sessionAffinity: 'ClientIP' }), service('c', '10.96.0.7')], {
    a: [slice(['10.244.1.2', 'node1', 'ready'], ['10.244.2.2', 'node2', 'ready'])],
    b: [slice(['10.244.1.3', 'node1', 'ready'], ['10.244.2.3', 'node2', 'ready'])],
  });
  const two = table([service('a', '10.96.0.5'), service('c', '10.96.0.7')], { c: [slice(['10.244.1.9', 'node1', 'ready'])] });
  const steps = [
    fullScript(EMPTY_TABLE),
    changeScript(EMPTY_TABLE, one),
    changeScript(one, two),
    changeScript(two, one),
    fullScript(one),
    changeScript(one, EMPTY_TABLE),
  ];
  const run = spawnSync(UNSHARE, ['-n', 'sh', '-e'], {
    input: steps.map((step) => `nft -f - <<'E'\n${step}E\n`).join(''),
    encoding: 'utf8',
  });
  expect(run.stderr).toBe('');
  expect(run.status).toBe(0);
});

test.skipIf(!canUseNft)(
  'a resolver whose query meets no nameserver is not refused, and is answered when it asks again (needs root and nft)',
  () => {
    const program = `
    const socket = await Bun.udpSocket({
      connect: { hostname: '${NETWORK.dnsService}', port: 53 },
      socket: { data: (_, data) => { console.log(String(data)); process.exit(0); }, error: (_, error) => { console.log(error.code); process.exit(1); } },
    });
    socket.send('first');
    await Bun.sleep(200);
    await Bun.udpSocket({ hostname: '${NETWORK.dnsService}', port: 53, socket: { data: (server, query, port, address) => { server.send('answer to ' + query, port, address); } } });
    socket.send('second');
  `;
    const run = spawnSync(UNSHARE, ['-n', 'sh', '-e'], {
      input: `ip link set lo up\nip addr add ${NETWORK.dnsService}/32 dev lo\nnft -f - <<'E'\n${fullScript(EMPTY_TABLE)}E\nexec "$BUN" -e "$PROGRAM"`,
      env: { ...process.env, BUN: process.execPath, PROGRAM: program },
      encoding: 'utf8',
      timeout: 20_000,
    });
    expect(run.stdout).toBe('answer to second\n');
  },
);
