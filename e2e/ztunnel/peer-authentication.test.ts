/** PeerAuthentication from the object to the packet: what of plain text a pod still takes, port by port (ambient contract 3.6). */
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { fromBinary, type JsonValue, toJson } from '@bufbuild/protobuf';
import {
  convertPeerAuthentication,
  effectivePeerAuthentication,
  encodeAuthorization,
  inheritedPeerMode,
  type PeerAuthenticationObject,
  staticStrictPolicy,
} from '../../src/mesh/compile/index.ts';
import { type Authorization, policyKey } from '../../src/mesh/index.ts';
import { AuthorizationSchema } from '../../src/protocol/messages/index.ts';
import { dial, echo, serve } from './apps.ts';
import { Lab, type TestProxy, until } from './lab.ts';
import type { Pod } from './network.ts';

const lab = new Lab('zt-p', '10.84');
const ROOT = 'istio-system';
const PORTS = [8080, 8081, 8082] as const;
let proxy: TestProxy;
let client: Pod;
let server: Pod;
let outside: Pod;

beforeAll(async () => {
  const node1 = lab.network.addNode(1);
  client = lab.network.addPod(node1, 'client', 10);
  server = lab.network.addPod(node1, 'server', 11);
  outside = lab.network.addPod(node1, 'outside', 20);
  await lab.start();
  for (const pod of [client, server]) lab.workload(pod, pod.name);
  await lab.push();
  proxy = lab.addProxy(node1);
  proxy.start();
  for (const pod of [client, server]) {
    expect(await proxy.add(pod, pod.name)).toBe('');
    lab.network.capture(pod);
  }
  await proxy.ready();
  for (const port of PORTS) serve(server, port, echo());
}, 60_000);

afterAll(() => lab.stop());

beforeEach(() => {
  lab.policies = {};
});

const peer = (name: string, mode: string | undefined, over: { namespace?: string; app?: string; ports?: Record<string, string> } = {}) =>
  ({
    metadata: { name, namespace: over.namespace ?? 'default', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: {
      ...(over.app !== undefined && { selector: { matchLabels: { app: over.app } } }),
      ...(mode !== undefined && { mtls: { mode } }),
      ...(over.ports && { portLevelMtls: Object.fromEntries(Object.entries(over.ports).map(([port, value]) => [port, { mode: value }])) }),
    },
  }) satisfies PeerAuthenticationObject;

/** What the control plane makes of these objects, in force at the server. */
async function apply(policies: PeerAuthenticationObject[]): Promise<void> {
  const subject = { namespace: 'default', labels: { app: 'server' } };
  const { keys } = effectivePeerAuthentication(policies, subject, ROOT);
  const send = (policy: Authorization | undefined): void => {
    if (policy === undefined) return;
    const json: JsonValue = toJson(AuthorizationSchema, fromBinary(AuthorizationSchema, encodeAuthorization(policy)));
    lab.policies[policyKey(policy)] = json;
  };
  send(staticStrictPolicy(ROOT));
  const inherited = inheritedPeerMode(policies, 'default', ROOT);
  for (const policy of policies) send(convertPeerAuthentication(policy, inherited, ROOT));
  const uid = `marker-${Math.random()}`;
  lab.workload(server, 'server', { authorizationPolicies: [...keys], workloadName: uid });
  await lab.push();
  await until('the workload to be known', () => proxy.http(15_000, '/config_dump').includes(uid));
}

/** Whether an octet comes back. */
async function answers(from: Pod, port: number): Promise<boolean> {
  const peerEnd = dial(from, server.ip, port);
  const over = peerEnd.closed.promise.then(() => '');
  const sent = await Promise.race([peerEnd.connected.promise.then(() => true), over.then(() => false)]).catch(() => false);
  if (!sent) return false;
  peerEnd.send('x');
  const text = await Promise.race([peerEnd.bytes(1).catch(() => ''), over]);
  peerEnd.socket?.terminate();
  return text === 'x';
}

const mesh = (mode: string) => peer('mesh', mode, { namespace: ROOT });
const own = (mode: string | undefined, ports: Record<string, string>) => peer('w', mode, { app: 'server', ports });

test.each<[string, PeerAuthenticationObject[], readonly boolean[]]>([
  ['nothing', [], [true, true, true]],
  ['STRICT in the mesh', [mesh('STRICT')], [false, false, false]],
  ['STRICT in the mesh, PERMISSIVE in the namespace', [mesh('STRICT'), peer('ns', 'PERMISSIVE')], [true, true, true]],
  ['STRICT in the mesh, UNSET in the namespace', [mesh('STRICT'), peer('ns', 'UNSET')], [false, false, false]],
  ['STRICT for other workloads', [peer('w', 'STRICT', { app: 'other' })], [true, true, true]],
  ['STRICT with one port PERMISSIVE', [own('STRICT', { 8080: 'PERMISSIVE' })], [true, false, false]],
  ['STRICT with two ports exempt', [own('STRICT', { 8080: 'PERMISSIVE', 8081: 'DISABLE' })], [true, true, false]],
  ['PERMISSIVE with two ports STRICT', [own('PERMISSIVE', { 8080: 'STRICT', 8082: 'STRICT' })], [false, true, false]],
  ['STRICT inherited, one port PERMISSIVE', [mesh('STRICT'), own(undefined, { 8081: 'PERMISSIVE' })], [false, true, false]],
  ['PERMISSIVE inherited, one port STRICT', [own('UNSET', { 8081: 'STRICT' })], [true, false, true]],
  ['STRICT with all its ports STRICT', [own('STRICT', { 8080: 'STRICT' })], [false, false, false]],
])('%s: plain text reaches these ports, mutual TLS all', async (_title, policies, plain) => {
  await apply(policies);
  const [byPlain, byTls] = await Promise.all([outside, client].map((from) => Promise.all(PORTS.map((port) => answers(from, port)))));
  expect(byPlain).toEqual([...plain]);
  expect(byTls).toEqual([true, true, true]);
});

test('the log names the policy that refused plain text', async () => {
  await apply([own('PERMISSIVE', { 8080: 'STRICT' })]);
  expect(await answers(outside, 8080)).toBe(false);
  const refusal = 'explicitly denied by: default/converted_peer_authentication_w';
  await until('the line', () => proxy.lines(refusal, `dst.addr=${server.ip}:8080`, 'direction="inbound"').length > 0);
});
