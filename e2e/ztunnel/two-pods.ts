/** The smallest mesh: a client's pod on one node, a server's with an echo on the other; on the same one where the placement says so. */
import { expect } from 'bun:test';
import { echo, type ServerHandle, serve } from './apps.ts';
import { type Lab, ON_ONE_NODE, type TestProxy } from './lab.ts';
import type { Node, Pod } from './network.ts';

export interface TwoPods {
  readonly node1: Node;
  readonly node2: Node;
  readonly client: Pod;
  readonly server: Pod;
  /** The proxies of the client's node and of the server's. */
  readonly one: TestProxy;
  readonly two: TestProxy;
  readonly app: ServerHandle;
}

/** `env`: more environment for both proxies. */
export async function startTwoPods(lab: Lab, env: Record<string, string> = {}): Promise<TwoPods> {
  const node1 = lab.network.addNode(1);
  const node2 = ON_ONE_NODE ? node1 : lab.network.addNode(2);
  const client = lab.network.addPod(node1, 'client', 10);
  const server = lab.network.addPod(node2, 'server', 11);
  await lab.start();
  for (const pod of [client, server]) lab.workload(pod, pod.name);
  await lab.push();
  const one = lab.addProxy(node1, env);
  const two = ON_ONE_NODE ? one : lab.addProxy(node2, env);
  for (const proxy of new Set([one, two])) proxy.start();
  expect(await one.add(client, 'client')).toBe('');
  expect(await two.add(server, 'server')).toBe('');
  for (const pod of [client, server]) lab.network.capture(pod);
  await one.ready();
  await two.ready();
  return { node1, node2, client, server, one, two, app: serve(server, 8080, echo()) };
}

/** Whatever was done to them, they are still the same processes. */
export function stopTwoPods(lab: Lab, { one, two, app }: TwoPods): void {
  for (const proxy of [one, two]) expect(proxy.process.exitCode).toBeNull();
  app.close();
  lab.stop();
}
