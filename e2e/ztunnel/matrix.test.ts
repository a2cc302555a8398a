import { afterAll, beforeAll, expect, test } from 'bun:test';
import { dial, echo, serve } from './apps.ts';
import { Lab, type Proxy, until } from './lab.ts';
import type { Node, Pod } from './network.ts';

const lab = new Lab('zt-m', '10.71');
let one: Proxy;
let two: Proxy;
let node1: Node;
let node2: Node;
let client: Pod;
let local: Pod;
let remote: Pod;
let outside: Pod;

beforeAll(async () => {
  node1 = lab.network.addNode(1);
  node2 = lab.network.addNode(2);
  client = lab.network.addPod(node1, 'client', 10);
  local = lab.network.addPod(node1, 'local', 11);
  remote = lab.network.addPod(node2, 'remote', 10);
  outside = lab.network.addPod(node2, 'outside', 20);
  await lab.start();
  for (const pod of [client, local, remote]) lab.workload(pod, pod.name);
  await lab.push();
  one = lab.addProxy(node1);
  two = lab.addProxy(node2);
  one.start();
  two.start();
  expect(await one.add(client, 'client')).toBe('');
  expect(await one.add(local, 'local')).toBe('');
  expect(await two.add(remote, 'remote')).toBe('');
  for (const pod of [client, local, remote]) lab.network.capture(pod);
  await one.ready();
  await two.ready();
  for (const pod of [local, remote, outside, client]) serve(pod, 8080, echo(2));
}, 60_000);

afterAll(() => lab.stop());

/** Sends 11 bytes, wants 22 back, closes in order. */
async function exchange(from: Pod, to: Pod): Promise<string> {
  const peer = dial(from, to.ip, 8080);
  await peer.connected.promise;
  peer.send('hello world');
  const text = await peer.bytes(22);
  peer.finish();
  await peer.closed.promise;
  return text;
}

const ANSWER = 'hello worldhello world';

test('a captured client reaches a captured server on another node through a tunnel', async () => {
  expect(await exchange(client, remote)).toBe(ANSWER);
});
