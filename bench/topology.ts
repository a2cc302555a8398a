/**
 * Where an arm runs: a client pod and a server pod on two nodes, each pod and node a network namespace, joined by veth pairs with MTU 1500.
 * Every arm has pods of its own (its redirect rules differ) and shares the two nodes.
 */
import { namespace, nft, sh } from './shell.ts';

export interface Pods {
  readonly client: string;
  readonly server: string;
  readonly clientIp: string;
  readonly serverIp: string;
}

export const NODE_1 = 'lb-n1';
export const NODE_2 = 'lb-n2';

function link(a: string, aName: string, b: string, bName: string): void {
  sh('ip', '-n', a, 'link', 'add', aName, 'mtu', '1500', 'type', 'veth', 'peer', 'name', bName, 'mtu', '1500', 'netns', b);
  sh('ip', '-n', a, 'link', 'set', aName, 'up');
  sh('ip', '-n', b, 'link', 'set', bName, 'up');
}

/** Two nodes with a link between them; pods of node 1 are 10.71.1.0/24, of node 2 10.71.2.0/24. */
export function makeNodes(): void {
  namespace(NODE_1);
  namespace(NODE_2);
  link(NODE_1, 'wire', NODE_2, 'wire');
  sh('ip', '-n', NODE_1, 'addr', 'add', '10.70.0.1/24', 'dev', 'wire');
  sh('ip', '-n', NODE_2, 'addr', 'add', '10.70.0.2/24', 'dev', 'wire');
  sh('ip', '-n', NODE_1, 'route', 'add', '10.71.2.0/24', 'via', '10.70.0.2');
  sh('ip', '-n', NODE_2, 'route', 'add', '10.71.1.0/24', 'via', '10.70.0.1');
  for (const node of [NODE_1, NODE_2]) sh('ip', 'netns', 'exec', node, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
}

/** A pod's namespace. Its name begins with `lb-`. */
export function pod(name: string, node: string, ip: string, gateway: string): string {
  namespace(name);
  link(node, `v${name.slice(3)}`.slice(0, 15), name, 'eth0');
  sh('ip', '-n', name, 'addr', 'add', `${ip}/32`, 'dev', 'eth0');
  sh('ip', '-n', name, 'route', 'add', gateway, 'dev', 'eth0', 'scope', 'link');
  sh('ip', '-n', name, 'route', 'add', 'default', 'via', gateway);
  sh('ip', '-n', node, 'route', 'add', `${ip}/32`, 'dev', `v${name.slice(3)}`.slice(0, 15));
  sh('ip', 'netns', 'exec', name, 'sysctl', '-qw', 'net.ipv4.tcp_tw_reuse=1');
  return name;
}

/** The pods of arm number `index` (1 to 200). */
export function makePods(arm: string, index: number): Pods {
  const clientIp = `10.71.1.${index}`;
  const serverIp = `10.71.2.${index}`;
  return {
    client: pod(`lb-${arm}-c`, NODE_1, clientIp, '10.70.0.1'),
    server: pod(`lb-${arm}-s`, NODE_2, serverIp, '10.70.0.2'),
    clientIp,
    serverIp,
  };
}

/** The same on one node: nothing passes the link. */
export function makePodsOnOneNode(arm: string, index: number): Pods {
  const clientIp = `10.71.1.${index}`;
  const serverIp = `10.71.1.${100 + index}`;
  return {
    client: pod(`lb-${arm}-c`, NODE_1, clientIp, '10.70.0.1'),
    server: pod(`lb-${arm}-s`, NODE_1, serverIp, '10.70.0.1'),
    clientIp,
    serverIp,
  };
}

/** Redirect rule of a sidecar that runs as user 1337: everything an application sends to `port` goes to 15001. */
export const redirectOut = (namespace: string, port: number): void =>
  nft(
    namespace,
    `table inet sidecar-out { chain output { type nat hook output priority -100; meta skuid != 1337 tcp dport ${port} redirect to :15001; }\n}\n`,
  );

/** Everything that arrives for `port` goes to 15006. */
export const redirectIn = (namespace: string, port: number): void =>
  nft(
    namespace,
    `table inet sidecar-in { chain prerouting { type nat hook prerouting priority -100; tcp dport ${port} redirect to :15006; }\n}\n`,
  );
