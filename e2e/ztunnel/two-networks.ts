/** Two networks, a node each, joined by an east-west gateway: what the control plane of each tells its proxies of the other (ambient contract, section 10). */
import { TunnelProtocol } from '../../src/protocol/index.ts';
import { ipBytes, Lab, type ServiceInit, type TestProxy } from './lab.ts';
import { MeshGateway } from './mesh-gateway.ts';
import type { Node, Pod } from './network.ts';

export const HERE = 'net1';
export const THERE = 'net2';
export const hostOf = (service: string): string => `${service}.default.svc.cluster.local`;
export const identityOf = (account: string): string => `spiffe://cluster.local/ns/default/sa/${account}`;

export class TwoNetworks {
  readonly lab: Lab;
  readonly node1: Node;
  readonly node2: Node;
  readonly client: Pod;
  /** In the network the client is not in. */
  readonly servers: readonly Pod[];
  readonly gatewayPod: Pod;
  readonly waypointPod: Pod;
  gateway!: MeshGateway;
  waypoint!: MeshGateway;
  one!: TestProxy;
  two!: TestProxy;

  constructor(prefix: string, subnet: string) {
    this.lab = new Lab(prefix, subnet);
    const { network } = this.lab;
    this.node1 = network.addNode(1);
    this.node2 = network.addNode(2);
    this.client = network.addPod(this.node1, 'client', 10);
    this.servers = [network.addPod(this.node2, 'server1', 10), network.addPod(this.node2, 'server2', 11)];
    this.gatewayPod = network.addPod(this.node2, 'gateway', 20);
    this.waypointPod = network.addPod(this.node2, 'waypoint', 21);
  }

  /** `ours`: the east-west gateway and the waypoint of the other network run as well. */
  async start(programs: { one?: string; two?: string } = {}): Promise<void> {
    const { lab } = this;
    await lab.start();
    this.describe();
    await lab.push();
    this.one = lab.addProxy(this.node1, { NETWORK: HERE });
    this.two = lab.addProxy(this.node2, { NETWORK: THERE });
    if (programs.one) this.one.program = programs.one;
    if (programs.two) this.two.program = programs.two;
    this.one.start();
    this.two.start();
    this.gateway = new MeshGateway(lab, this.gatewayPod, 'gateway', { NETWORK: THERE, GATEWAY_ROLE: 'east-west' });
    this.waypoint = new MeshGateway(lab, this.waypointPod, 'waypoint', { NETWORK: THERE });
    const add = async (proxy: TestProxy, pod: Pod, account: string) => {
      const problem = await proxy.add(pod, account);
      if (problem !== '') throw new Error(problem);
      lab.network.capture(pod);
    };
    await add(this.one, this.client, 'client');
    for (const server of this.servers) await add(this.two, server, 'server');
    await Promise.all([this.gateway.start(), this.waypoint.start(), this.one.ready(), this.two.ready()]);
  }

  describe(): void {
    const { lab } = this;
    lab.workload(this.client, 'client', { network: HERE });
    this.service('echo', 1, { subjectAltNames: [identityOf('server')] });
    this.waypointService();
    this.service('waypoint', 3, { subjectAltNames: [identityOf('waypoint')], ports: [{ servicePort: 15_008, targetPort: 15_008 }] });
    for (const server of this.servers) this.#there(server, 'server', ['echo', 'web']);
    this.#there(this.waypointPod, 'waypoint', ['waypoint']);
    // The gateway itself is known on both sides.
    lab.workload(this.gatewayPod, 'gateway', { network: THERE });
    for (const name of ['echo', 'web', 'waypoint']) this.splitHorizon(name);
  }

  /** `web`, the one behind the waypoint. */
  waypointService(extra: ServiceInit = {}): void {
    const init = { subjectAltNames: [identityOf('server')], waypoint: this.#gatewayAt('waypoint'), ...extra };
    this.service('web', 2, init as ServiceInit);
  }

  service(name: string, index: number, init: ServiceInit): void {
    const vip = (net: string, third: number) => ({ network: net, address: ipBytes(`240.0.${third}.${index}`) });
    this.lab.service(name, {
      addresses: [vip(HERE, 1), vip(THERE, 2)],
      ports: [{ servicePort: 80, targetPort: 8080 }],
      ...init,
    } as ServiceInit);
  }

  /** Address of a service in the client's network. */
  vip(index: number): string {
    return `240.0.1.${index}`;
  }

  /** All endpoints of a service in the other network, as one. */
  splitHorizon(name: string, extra: Parameters<Lab['workload']>[2] = {}): string {
    const uid = `split-horizon/${THERE}/${name}`;
    const stand = { ...this.gatewayPod, name: `split-${name}` };
    this.lab.workload(stand, '', {
      uid,
      addresses: [],
      node: '',
      workloadName: '',
      canonicalName: '',
      canonicalRevision: '',
      clusterId: '',
      network: THERE,
      tunnelProtocol: TunnelProtocol.HBONE,
      networkGateway: {
        destination: { case: 'address', value: { network: THERE, address: ipBytes(this.gatewayPod.ip) } },
        hboneMtlsPort: 15_008,
      },
      services: { [`default/${hostOf(name)}`]: { ports: [] } },
      ...extra,
    });
    // Named by the lab after its pod: the resource is named after its uid.
    const made = `Kubernetes//Pod/default/split-${name}`;
    this.lab.addresses[uid] = this.lab.addresses[made]!;
    delete this.lab.addresses[made];
    for (const pod of ['ztunnel-node2', 'gateway', 'waypoint']) this.#hide(pod, uid);
    return uid;
  }

  /** A pod of the other network, which the client's network is not told of. */
  #there(pod: Pod, account: string, services: readonly string[]): void {
    const memberships = services.map((name) => [`default/${hostOf(name)}`, { ports: [] }]);
    this.lab.workload(pod, account, { network: THERE, services: Object.fromEntries(memberships) });
    this.#hide('ztunnel-node1', `Kubernetes//Pod/default/${pod.name}`);
  }

  #hide(pod: string, resource: string): void {
    this.lab.hidden[pod] = [...(this.lab.hidden[pod] ?? []), resource];
  }

  #gatewayAt(name: string): NonNullable<ServiceInit['waypoint']> {
    return { destination: { case: 'hostname', value: { namespace: 'default', hostname: hostOf(name) } }, hboneMtlsPort: 15_008 };
  }

  async stop(): Promise<void> {
    await Promise.all([this.gateway?.kill(), this.waypoint?.kill()]);
    this.lab.stop();
  }
}
