/** Network namespaces for the proxy's tests: a fabric, two nodes, pods with the redirect rules of a mesh. Everything is removed at the end. */
import fs from 'node:fs';
import { rememberNamespace } from '../support/leftovers.ts';

export interface Node {
  readonly name: string;
  readonly namespace: string;
  readonly ip: string;
}

export interface Pod {
  readonly name: string;
  readonly node: Node;
  readonly namespace: string;
  readonly ip: string;
}

export function run(command: string, ...args: string[]): string {
  const result = Bun.spawnSync([command, ...args]);
  if (result.exitCode !== 0) throw new Error(`${command} ${args.join(' ')}: ${result.stderr.toString().trim()}`);
  return result.stdout.toString();
}

/** Several `ip` commands of one namespace in one process. */
export const ipBatch = (namespace: string, ...lines: string[]): void => {
  const result = Bun.spawnSync(['ip', '-n', namespace, '-batch', '-'], { stdin: Buffer.from(`${lines.join('\n')}\n`) });
  if (result.exitCode !== 0) throw new Error(`ip -n ${namespace}: ${result.stderr.toString().trim()}`);
};

const rules = (exempt: string) => `
table inet mesh-mangle {
  chain prerouting { type filter hook prerouting priority mangle; meta mark & 0xfff == 0x539 ct mark set 0x111; }
  chain output { type route hook output priority mangle; ct mark & 0xfff == 0x111 meta mark set ct mark; }
}
table inet mesh-nat {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    meta l4proto tcp ip daddr != 127.0.0.1 tcp dport != 15008 meta mark & 0xfff != 0x539 redirect to :15006
    meta l4proto tcp ip6 daddr != ::1 tcp dport != 15008 meta mark & 0xfff != 0x539 redirect to :15006
  }
  chain output {
    type nat hook output priority -100;
    ${exempt}
    meta mark & 0xfff == 0x111 accept
    oifname "lo" ip daddr != 127.0.0.1 accept
    oifname "lo" ip6 daddr != ::1 accept
    meta l4proto tcp ip daddr != 127.0.0.1 meta mark & 0xfff != 0x539 redirect to :15001
    meta l4proto tcp ip6 daddr != ::1 meta mark & 0xfff != 0x539 redirect to :15001
  }
}`;

/** With an address of its own: otherwise it takes its ports' lowest, and neighbours lose it whenever a pod comes or goes. */
const BRIDGE = 'link add br0 address 02:00:00:00:00:01 type bridge';

export class Network {
  readonly #prefix: string;
  readonly #subnet: string;
  #fabric: string | undefined;
  readonly #namespaces: string[] = [];
  #links = 0;

  /** `subnet` is the first two parts of the addresses used. */
  constructor(prefix: string, subnet: string) {
    // Several runs may share a machine.
    this.#prefix = `${prefix}-${process.pid}`;
    this.#subnet = subnet;
  }

  /** Made when it is first used: suites that are skipped leave nothing behind. */
  get fabric(): string {
    if (this.#fabric === undefined) {
      this.#fabric = this.#namespace('fabric');
      ipBatch(this.#fabric, BRIDGE, 'link set br0 up', 'link set lo up', `addr add ${this.fabricIp}/24 dev br0`);
    }
    return this.#fabric;
  }

  get fabricIp(): string {
    return `${this.#subnet}.0.254`;
  }

  addNode(index: number): Node {
    const name = `node${index}`;
    const namespace = this.#namespace(name);
    const ip = `${this.#subnet}.0.${index}`;
    this.#plug(this.fabric, 'br0', namespace, 'eth0');
    ipBatch(
      namespace,
      'link set lo up',
      `addr add ${ip}/24 dev eth0`,
      'link set eth0 up',
      BRIDGE,
      'link set br0 up',
      `addr add ${this.#subnet}.${index}.1/24 dev br0`,
    );
    run('ip', 'netns', 'exec', namespace, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
    for (let other = 1; other <= 2; other++)
      if (other !== index) run('ip', '-n', namespace, 'route', 'add', `${this.#subnet}.${other}.0/24`, 'via', `${this.#subnet}.0.${other}`);
    ipBatch(this.fabric, `route add ${this.#subnet}.${index}.0/24 via ${ip}`);
    return { name, namespace, ip };
  }

  /** A pod that is not (yet) in the mesh. */
  addPod(node: Node, name: string, host: number): Pod {
    const namespace = this.#namespace(name);
    const index = node.name.slice(-1);
    const ip = `${this.#subnet}.${index}.${host}`;
    this.#plug(node.namespace, 'br0', namespace, 'eth0');
    ipBatch(
      namespace,
      'link set lo up',
      `addr add ${ip}/24 dev eth0`,
      'link set eth0 up',
      `route add default via ${this.#subnet}.${index}.1`,
    );
    return { name, node, namespace, ip };
  }

  /** A second, IPv6 address; pods of one node reach each other by it. */
  addIpv6(pod: Pod, address: string): void {
    run('ip', '-6', '-n', pod.namespace, 'addr', 'add', `${address}/64`, 'dev', 'eth0', 'nodad');
  }

  /** The redirect rules of a pod in the mesh; connections to `exempt` are left alone. */
  capture(pod: Pod, exempt?: string): void {
    ipBatch(pod.namespace, 'rule add fwmark 0x111/0xfff pref 32764 lookup 100', 'route add local 0.0.0.0/0 dev lo table 100');
    run('ip', '-6', '-n', pod.namespace, 'rule', 'add', 'fwmark', '0x111/0xfff', 'pref', '32764', 'lookup', '100');
    run('ip', '-6', '-n', pod.namespace, 'route', 'add', 'local', '::/0', 'dev', 'lo', 'table', '100');
    const result = Bun.spawnSync(['ip', 'netns', 'exec', pod.namespace, 'nft', '-f', '-'], {
      stdin: Buffer.from(rules(exempt === undefined ? '' : `ip daddr ${exempt} accept`)),
    });
    if (result.exitCode !== 0) throw new Error(`nft in ${pod.namespace}: ${result.stderr.toString()}`);
  }

  release(pod: Pod): void {
    run('ip', 'netns', 'exec', pod.namespace, 'nft', 'flush', 'ruleset');
  }

  remove(): void {
    for (const namespace of this.#namespaces) Bun.spawnSync(['ip', 'netns', 'del', namespace]);
  }

  #namespace(name: string): string {
    const namespace = `${this.#prefix}-${name}`;
    if (fs.existsSync(`/run/netns/${namespace}`)) run('ip', 'netns', 'del', namespace);
    run('ip', 'netns', 'add', namespace);
    rememberNamespace(namespace);
    this.#namespaces.push(namespace);
    return namespace;
  }

  #plug(bridgeSide: string, bridge: string, namespace: string, link: string): void {
    const port = `v${this.#links++}`;
    run('ip', '-n', bridgeSide, 'link', 'add', port, 'type', 'veth', 'peer', 'name', link, 'netns', namespace);
    ipBatch(bridgeSide, `link set ${port} master ${bridge}`, `link set ${port} up`);
  }
}
