/**
 * A waypoint as a process in a network namespace of its own, with an authority, a local configuration, backends of the test on loopback, and a way in:
 * `open` gives a local port whose connections go through a tunnel to the waypoint, as a node proxy would send them. So any client can be used.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Subprocess } from 'bun';
import { ByteCounts } from '../../src/dataplane/core/byte-counts.ts';
import type { WorkloadCertificate } from '../../src/dataplane/core/certificate.ts';
import { ClientTunnel } from '../../src/dataplane/core/hbone-client.ts';
import { TunnelBridge } from '../../src/dataplane/core/tunnel-bridge.ts';
import type { ServicePlan } from '../../src/mesh/http/index.ts';
import { inNetworkNamespace } from '../../src/platform/linux/index.ts';
import { type SocketEvents, socketHandlers, type TcpSocket } from '../../src/platform/net/index.ts';
import { CounterHandle } from '../../src/platform/telemetry/index.ts';
import { CLIENT_SETTINGS } from '../../src/protocol/index.ts';
import { rememberNamespace, rememberProcess } from '../support/leftovers.ts';
import { issue } from '../ztunnel/foreign-client.ts';
import { until } from '../ztunnel/lab.ts';
import { ipBatch, run } from '../ztunnel/network.ts';

const ROOT = path.resolve(import.meta.dir, '../..');
const WAYPOINT_IP = '127.0.0.9';
const WAYPOINT_IDENTITY = 'spiffe://cluster.local/ns/default/sa/waypoint';
export const CLIENT_IP = '127.0.0.1';

export interface LabPort {
  readonly port: number;
  readonly targetPort: number;
  readonly protocol?: 'HTTP11' | 'HTTP2' | 'GRPC' | 'TCP' | 'TLS' | 'UNKNOWN';
}

export interface LabService {
  readonly name: string;
  readonly ports: readonly LabPort[];
  /** Addresses of its endpoints, or host names that the waypoint resolves. */
  readonly endpoints: readonly string[];
  /** Behind the waypoint; default true. */
  readonly bound?: boolean;
  /** Its endpoints are behind tunnels; default false. */
  readonly tunnelled?: boolean;
}

export const hostOf = (service: string): string => `${service}.default.svc.cluster.local`;
export const keyOf = (service: string): string => `default/${hostOf(service)}`;

let labs = 0;

export class WaypointLab {
  readonly directory = fs.mkdtempSync(path.join(os.tmpdir(), 'wp-lab-'));
  readonly namespace = `wp-${process.pid}-${labs++}`;
  readonly #services = new Map<string, LabService>();
  readonly #vips = new Map<string, string>();
  readonly #fd: number;
  readonly #listeners: { stop(force?: boolean): void }[] = [];
  readonly #tunnels = new Set<ClientTunnel>();
  #authority!: Subprocess<'pipe', 'pipe', 'inherit'>;
  #certificate!: WorkloadCertificate;
  process!: Subprocess<'ignore', 'pipe', 'pipe'>;
  log = '';
  /** Where the authority listens: reachable for all who need it. */
  authorityIp = '127.0.0.1';

  constructor() {
    run('ip', 'netns', 'add', this.namespace);
    rememberNamespace(this.namespace);
    ipBatch(this.namespace, 'link set lo up');
    this.#fd = fs.openSync(`/run/netns/${this.namespace}`, 'r');
  }

  /** Descriptor of the namespace. */
  get netns(): number {
    return this.#fd;
  }

  /** Runs synchronous code inside the namespace: sockets it makes belong there. */
  inside<T>(body: () => T): T {
    return inNetworkNamespace(this.#fd, body);
  }

  /** The command line of a program that runs inside. */
  command(...argv: string[]): string[] {
    return ['ip', 'netns', 'exec', this.namespace, ...argv];
  }

  /** Standard output of a program that runs inside. Never blocking: backends and the way in live in this process. */
  async run(...argv: string[]): Promise<string> {
    const child = Bun.spawn(this.command(...argv), { stdout: 'pipe', stderr: 'pipe' });
    const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    if (code !== 0) throw new Error(`${argv.join(' ')}: exit code ${code}: ${err.trim()}`);
    return out;
  }

  /** Starts everything; `env` goes to the waypoint. */
  async start(services: readonly LabService[], plans: readonly ServicePlan[] = [], env: Record<string, string> = {}): Promise<void> {
    for (const service of services) {
      this.#services.set(service.name, service);
      this.#vips.set(service.name, `240.0.0.${this.#vips.size + 1}`);
    }
    fs.writeFileSync(path.join(this.directory, 'xds.yaml'), this.#localConfig());
    fs.writeFileSync(path.join(this.directory, 'plans.json'), JSON.stringify(plans));
    this.#authority = Bun.spawn(
      this.command(process.execPath, path.join(ROOT, 'e2e/ztunnel/control-plane.ts'), this.authorityIp, '15012', this.directory),
      { stdin: 'pipe', stdout: 'pipe', stderr: 'inherit', cwd: ROOT },
    );
    rememberProcess(this.#authority.pid);
    await this.#authority.stdout.getReader().read();
    this.#certificate = await issue(this, 'spiffe://cluster.local/ns/clients/sa/client');
    await this.startWaypoint(env);
  }

  async startWaypoint(env: Record<string, string> = {}): Promise<void> {
    this.process = Bun.spawn(this.command(process.execPath, path.join(ROOT, 'src/cli/main.ts'), 'proxy', 'waypoint'), {
      env: {
        PATH: process.env['PATH'] ?? '',
        XDS_ADDRESS: '',
        LOCAL_XDS_PATH: path.join(this.directory, 'xds.yaml'),
        LOCAL_PLANS_PATH: path.join(this.directory, 'plans.json'),
        CA_ADDRESS: `https://${this.authorityIp}:15012`,
        CA_ROOT_CA: path.join(this.directory, 'root.pem'),
        AUTH_TOKEN: 'test-token',
        POD_NAME: 'waypoint-1',
        POD_NAMESPACE: 'default',
        SERVICE_ACCOUNT: 'waypoint',
        INSTANCE_IP: WAYPOINT_IP,
        RUST_LOG: 'info',
        ...env,
      },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      cwd: os.tmpdir(),
    });
    rememberProcess(this.process.pid);
    void this.#collect(this.process.stdout);
    void this.#collect(this.process.stderr);
    await until('the waypoint to be ready', () => this.http(15_021, '/healthz/ready') === 'ready\n');
  }

  /**
   * A local TCP port whose connections are tunnelled to this port of the service: in the namespace, or in the network of the test itself (`outside`), for
   * clients that run in this process.
   */
  open(service: string, port: number, where: 'inside' | 'outside' = 'inside'): number {
    const authority = `${this.#vips.get(service)}:${port}`;
    const listen = () =>
      Bun.listen<SocketEvents>({
        hostname: '127.0.0.1',
        port: 0,
        allowHalfOpen: true,
        data: deaf,
        socket: {
          ...socketHandlers,
          open: (socket) => {
            socket.data = deaf;
            socket.pause();
            this.#join(socket, authority);
          },
        },
      });
    const listener = where === 'inside' ? this.inside(listen) : listen();
    this.#listeners.push(listener);
    return listener.port;
  }

  #tunnel: Promise<ClientTunnel> | undefined;

  /** One tunnel for all, renewed when it is gone. */
  tunnel(): Promise<ClientTunnel> {
    this.#tunnel ??= new Promise<ClientTunnel>((resolve, reject) => {
      const tunnel = new ClientTunnel({ ...CLIENT_SETTINGS, maxConcurrentStreams: 1000 }, [WAYPOINT_IDENTITY], {
        onTunnelReady: resolve,
        onTunnelFailed: (_tunnel, end) => {
          this.#tunnel = undefined;
          reject(new Error(end.message));
        },
        onTunnelClosed: (closed) => {
          this.#tunnels.delete(closed);
          this.#tunnel = undefined;
        },
      });
      this.#tunnels.add(tunnel);
      tunnel.dial({ address: WAYPOINT_IP, port: 15_008, networkNamespace: this.#fd, timeout: 5000, tls: this.#certificate.clientTls });
    });
    return this.#tunnel;
  }

  #join(socket: TcpSocket, authority: string): void {
    this.tunnel().then(
      (tunnel) => {
        const streamId = tunnel.http2.request(
          [
            [':method', 'CONNECT'],
            [':authority', authority],
          ],
          false,
        );
        if (streamId === undefined) {
          this.#tunnel = undefined;
          this.#join(socket, authority);
          return;
        }
        const counts = new ByteCounts(new CounterHandle([]), new CounterHandle([]));
        const bridge = new TunnelBridge(tunnel, streamId, counts, true, () => {});
        bridge.attachSocket(socket);
        socket.resume();
      },
      () => socket.terminate(),
    );
  }

  /** A request to one of the waypoint's own HTTP ports. */
  http(port: number, url: string, method = 'GET'): string {
    return Bun.spawnSync(this.command('curl', '-s', '-m', '20', '-X', method, `http://127.0.0.1:${port}${url}`)).stdout.toString();
  }

  /** Sum of a metric's series whose labels contain all of `labels`. */
  metric(name: string, labels: Record<string, string> = {}): number {
    let sum = 0;
    for (const line of this.http(15_020, '/metrics').split('\n')) {
      if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
      if (Object.entries(labels).every(([key, value]) => line.includes(`${key}="${value}"`)))
        sum += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
    return sum;
  }

  async stop(): Promise<void> {
    for (const listener of this.#listeners) listener.stop(true);
    for (const tunnel of this.#tunnels) tunnel.fail('over');
    for (const child of [this.process, this.#authority]) {
      if (child === undefined) continue;
      child.kill('SIGKILL');
      await child.exited;
    }
    fs.closeSync(this.#fd);
    run('ip', 'netns', 'del', this.namespace);
    fs.rmSync(this.directory, { recursive: true, force: true });
    // Whatever a test looked at: an exception that reached a socket is one too many.
    const fault = this.log.split('\n').find((line) => line.includes('ended by a bug'));
    if (fault !== undefined) throw new Error(fault);
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const text = decoder.decode(chunk, { stream: true });
      this.log += text;
      if (process.env['LATEEN_E2E_LOG']) process.stderr.write(text);
    }
  }

  #localConfig(): string {
    const services = [...this.#services.values()];
    const lines = ['workloads:'];
    const workload = (name: string, ip: string, account: string, protocol: string, memberships: string): void => {
      lines.push(
        `- {uid: Kubernetes//Pod/default/${name}, name: ${name}, namespace: ${account === 'client' ? 'clients' : 'default'}, serviceAccount: ${account}, ${/^[0-9.]+$/.test(ip) ? `workloadIps: [${ip}]` : `hostname: ${ip}`}, protocol: ${protocol}, node: n1, network: "", canonicalName: ${name}, canonicalRevision: v1, workloadName: ${name}, workloadType: pod, status: Healthy, clusterId: Kubernetes, services: {${memberships}}}`,
      );
    };
    workload('waypoint-1', WAYPOINT_IP, 'waypoint', 'HBONE', `"default/waypoint.default.svc.cluster.local": {15008: 15008}`);
    workload('client', CLIENT_IP, 'client', 'HBONE', '');
    const byIp = new Map<string, string[]>();
    for (const service of services)
      for (const ip of service.endpoints) {
        const ports = service.ports.map(({ port, targetPort }) => `${port}: ${targetPort}`).join(', ');
        byIp.set(ip, [...(byIp.get(ip) ?? []), `"${keyOf(service.name)}": {${ports}}`]);
      }
    const tunnelled = new Set(services.flatMap((service) => (service.tunnelled ? service.endpoints : [])));
    for (const [ip, memberships] of byIp)
      workload(`backend-${ip.replaceAll('.', '-')}`, ip, 'backend', tunnelled.has(ip) ? 'HBONE' : 'TCP', memberships.join(', '));
    lines.push('services:');
    lines.push(
      `- {name: waypoint, namespace: default, hostname: waypoint.default.svc.cluster.local, vips: ["/240.0.0.254"], ports: {15008: 15008}}`,
    );
    for (const service of services) {
      const ports = service.ports.map(({ port, targetPort }) => `${port}: ${targetPort}`).join(', ');
      const protocols = service.ports.map(({ port, protocol }) => `${port}: ${protocol ?? 'UNKNOWN'}`).join(', ');
      const waypoint =
        service.bound === false ? '' : ', waypoint: {destination: "default/waypoint.default.svc.cluster.local", hboneMtlsPort: 15008}';
      lines.push(
        `- {name: ${service.name}, namespace: default, hostname: ${hostOf(service.name)}, vips: ["/${this.#vips.get(service.name)}"], ports: {${ports}}, appProtocols: {${protocols}}${waypoint}}`,
      );
    }
    lines.push('policies: []');
    return `${lines.join('\n')}\n`;
  }
}

const deaf: SocketEvents = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };
