/** The mesh of the soak: two nodes with a node proxy each, clients and servers on both, and a pod outside the mesh that is also the nameserver. */
import fs from 'node:fs';
import type * as packet from 'dns-packet';
import { applyRedirection } from '../../src/node/redirection.ts';
import { DEFAULT_POD_RULES } from '../../src/node/rules.ts';
import { Action, Scope } from '../../src/protocol/index.ts';
import { Nameserver, reply, withResolvConf } from '../ztunnel/dns-peers.ts';
import { ipBytes, LATEEN, Lab, type TestProxy } from '../ztunnel/lab.ts';
import type { Node, Pod } from '../ztunnel/network.ts';

export const VIP = '10.96.77.1';
export const WEB = 'default/web.default.svc.cluster.local';
export const OUTSIDE_NAME = 'www.example.com';
export const OUTSIDE_ADDRESS = '192.0.2.7';
const CAPTURE = { ...DEFAULT_POD_RULES, captureDns: true };

/** What each port of a server does. */
export const Port = { echo: 8080, denied: 8081, toggled: 8082, source: 8083, sink: 8084 } as const;

export interface Mesh {
  readonly lab: Lab;
  readonly proxies: readonly [TestProxy, TestProxy];
  readonly nodes: readonly [Node, Node];
  readonly clients: readonly Pod[];
  readonly servers: readonly Pod[];
  readonly outside: Pod;
  readonly nameserver: Nameserver;
  /** What is done to the control plane, one after another. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
  push(): Promise<void>;
}

export interface MeshOptions {
  /** Lifetime of certificates, seconds; they are renewed at half of it. */
  readonly certificateSeconds: number;
}

export async function redirect(pod: Pod): Promise<void> {
  const netns = fs.openSync(`/run/netns/${pod.namespace}`, 'r');
  try {
    await applyRedirection(netns, CAPTURE);
  } finally {
    fs.closeSync(netns);
  }
}

export const workloadName = (pod: Pod): string => pod.name.replace(/-\d+$/, '');

/** The workload of a server, `revision` to tell updates apart. */
export function announceServer(lab: Lab, pod: Pod, revision: string): void {
  const services = { [WEB]: { ports: [{ servicePort: 80, targetPort: Port.echo }] } };
  const name = workloadName(pod);
  lab.workload(pod, name, { services, workloadName: name, canonicalName: name, canonicalRevision: revision });
}

const denyPort = (port: number) => ({
  action: Action.DENY,
  scope: Scope.NAMESPACE,
  rules: [{ clauses: [{ matches: [{ destinationPorts: [port] }] }] }],
});

/** A DENY of a port for the whole namespace; `remove` takes it back. Push afterwards. */
export const deny = (lab: Lab, name: string, port: number): void => lab.policy(name, denyPort(port));
export const remove = (lab: Lab, name: string): void => void delete lab.policies[`default/${name}`];

export async function startMesh(options: MeshOptions): Promise<Mesh> {
  const lab = new Lab('zt-soak', '10.77');
  const nodes = [lab.network.addNode(1), lab.network.addNode(2)] as const;
  const clients = [lab.network.addPod(nodes[0], 'client-1', 10), lab.network.addPod(nodes[1], 'client-2', 10)];
  const servers = [lab.network.addPod(nodes[0], 'server-1', 20), lab.network.addPod(nodes[1], 'server-2', 20)];
  const outside = lab.network.addPod(nodes[1], 'outside', 53);
  const nameserver = new Nameserver(outside, [outside.ip]);
  const answer: packet.Answer = { type: 'A', name: OUTSIDE_NAME, ttl: 5, data: OUTSIDE_ADDRESS };
  nameserver.script = ({ bytes }) => [reply(bytes, [answer])];
  await lab.start();
  for (const pod of clients) lab.workload(pod, workloadName(pod), { workloadName: workloadName(pod), canonicalName: workloadName(pod) });
  for (const pod of servers) announceServer(lab, pod, 'v1');
  lab.service('web', { addresses: [{ network: '', address: ipBytes(VIP) }], ports: [{ servicePort: 80, targetPort: Port.echo }] });
  deny(lab, 'denied', Port.denied);
  await lab.push();
  const environment = {
    SECRET_TTL: `${options.certificateSeconds}s`,
    POOL_UNUSED_RELEASE_TIMEOUT: '15s',
    RUST_LOG: 'info',
  };
  const program = withResolvConf(lab.directory, 'soak', `nameserver ${outside.ip}\noptions timeout:1\n`, LATEEN);
  const proxies = [lab.addProxy(nodes[0], environment), lab.addProxy(nodes[1], environment)] as const;
  for (const proxy of proxies) {
    proxy.program = program;
    proxy.start();
  }
  for (const pod of [...clients, ...servers]) {
    const proxy = proxies[pod.node === nodes[0] ? 0 : 1];
    const error = await proxy.add(pod, workloadName(pod));
    if (error !== '') throw new Error(`the proxy of ${pod.node.name} refused ${pod.name}: ${error}`);
    await redirect(pod);
  }
  await Promise.all(proxies.map((proxy) => proxy.ready()));
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const next = turn.then(work);
    turn = next.catch(() => {}); // whoever asked gets the error
    return next;
  };
  return { lab, proxies, nodes, clients, servers, outside, nameserver, inTurn, push: () => inTurn(() => lab.push()) };
}
