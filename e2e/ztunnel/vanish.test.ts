/** Pods that are torn down under the proxy's feet, and a node agent that breaks the protocol: what ends, what stays, and what is given back. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import { dial, echo, serve } from './apps.ts';
import { Lab, type TestProxy, until } from './lab.ts';
import { type Pod, run } from './network.ts';

const lab = new Lab('zt-v', '10.80');
let one: TestProxy;
let two: TestProxy;
let client: Pod;
let bystander: Pod;
let victim: Pod;

beforeAll(async () => {
  const node1 = lab.network.addNode(1);
  const node2 = lab.network.addNode(2);
  client = lab.network.addPod(node1, 'client', 10);
  bystander = lab.network.addPod(node2, 'bystander', 10);
  victim = lab.network.addPod(node2, 'victim', 11);
  await lab.start();
  for (const pod of [client, bystander, victim]) lab.workload(pod, pod.name);
  await lab.push();
  one = lab.addProxy(node1);
  two = lab.addProxy(node2);
  one.start();
  two.start();
  expect(await one.add(client, 'client')).toBe('');
  expect(await two.add(bystander, 'bystander')).toBe('');
  for (const pod of [client, bystander, victim]) {
    lab.network.capture(pod);
    serve(pod, 8080, echo());
  }
  await one.ready();
  await two.ready();
}, 60_000);

afterAll(() => lab.stop());

const descriptors = (proxy: TestProxy): number => fs.readdirSync(`/proc/${proxy.process.pid}/fd`).length;

async function connected(from: Pod, to: Pod) {
  const peer = dial(from, to.ip, 8080);
  await peer.connected.promise;
  peer.send('x');
  await peer.bytes(1);
  return peer;
}

test('a pod whose network is gone before it is deleted: its connections end with their reason, its descriptors are given back, others go on', async () => {
  const kept = await connected(client, bystander);
  const before = descriptors(two);
  expect(await two.add(victim, 'victim')).toBe('');
  await connected(client, victim);
  await connected(victim, client);
  run('ip', '-n', victim.namespace, 'link', 'del', 'eth0');
  run('ip', 'netns', 'del', victim.namespace);
  expect(await two.remove(victim)).toBe('');
  const ended = (direction: string) => two.lines('connection complete', `direction="${direction}"`, 'the workload left the mesh').length;
  await until('the lines', () => ended('inbound') === 1 && ended('outbound') === 1);
  await until('the descriptors', () => descriptors(two) <= before);
  kept.send('y');
  await kept.bytes(2);
  kept.finish();
  await kept.closed.promise;
  expect(
    two.lines('connection complete', 'dst.workload="bystander"', 'error=').filter((line) => line.includes('src.workload="client"')),
  ).toEqual([]);
  await two.ready();
}, 30_000);

test('the proxy ends with 1 when the node agent breaks the order of the protocol, after telling it why', async () => {
  expect(await one.violate()).toBe('second snapshot on one connection');
  expect(await one.process.exited).toBe(1);
  await until('the reason in the log', () => one.log.includes('the proxy cannot go on'));
}, 30_000);
