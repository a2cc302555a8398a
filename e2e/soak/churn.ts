/** What changes all the time: pods come and go, workloads are updated, policies pushed, the control plane restarted. Every cause of an error is told. */
import { echo, serve } from '../ztunnel/apps.ts';
import { type Pod, run } from '../ztunnel/network.ts';
import type { Causes } from './causes.ts';
import { Connection } from './connection.ts';
import { announceServer, deny, type Mesh, Port, redirect, remove, workloadName } from './mesh.ts';

/** Names of applications whose pods come and go; metrics are kept by application. */
const APPLICATIONS = 6;
/** Host parts of the addresses of pods that come and go, used again and again. */
const FIRST_HOST = 100;
const HOSTS = 100;
const POD_PAUSE_MS = 1_000;
const POLICY_PAUSE_MS = 4_000;
const TOGGLE_PAUSE_MS = 20_000;
const UPDATE_PAUSE_MS = 7_000;
/** The first restart comes early enough for a short run to have one. */
const FIRST_RESTART_MS = 45_000;
const RESTART_PAUSE_MS = 600_000;
/** Ends of connections whose pod leaves the mesh or dies, as applications and logs report them. */
const LOST_POD =
  /connection (drained|ended|failed|timed out|refused)|closed with|no (an answer|the connection|the end)|deadline has elapsed|unknown source|io error|http (status|error)|reset|no route|unreachable|no healthy|local workload/i;
const POLICY = /policy (change|rejection)|connection ended|closed with|401|http status|reset/i;
const CONTROL_PLANE = /xds|ca|certificate|grpc|connect/i;

export class Churn {
  readonly done = {
    'pods added': 0,
    'pods removed': 0,
    'namespaces gone': 0,
    'policies pushed': 0,
    'workloads updated': 0,
    'control plane restarts': 0,
  };
  readonly #mesh: Mesh;
  readonly #causes: Causes;
  readonly #signal: AbortSignal;
  readonly #loops: Promise<void>[] = [];
  #pods = 0;
  /** Pods that wait for their certificate: the control plane is not restarted meanwhile. */
  #joining = 0;
  #restarting: Promise<void> = Promise.resolve();

  constructor(mesh: Mesh, causes: Causes, signal: AbortSignal) {
    this.#mesh = mesh;
    this.#causes = causes;
    this.#signal = signal;
  }

  start(): void {
    const { servers } = this.#mesh;
    // In force all the time.
    this.#causes.begin(
      'denied-port',
      servers.map(({ ip }) => `${ip}:${Port.denied}`),
      POLICY,
    );
    this.#loops.push(this.#loop(POD_PAUSE_MS, () => this.#pod(0)));
    this.#loops.push(this.#loop(POD_PAUSE_MS, () => this.#pod(1)));
    this.#loops.push(this.#loop(POLICY_PAUSE_MS, () => this.#policy()));
    this.#loops.push(this.#loop(TOGGLE_PAUSE_MS, () => this.#toggle()));
    this.#loops.push(this.#loop(UPDATE_PAUSE_MS, () => this.#update()));
    this.#loops.push(this.#restarts());
  }

  async finished(): Promise<void> {
    await Promise.all(this.#loops);
  }

  async #loop(pause: number, body: () => Promise<void>): Promise<void> {
    while (await this.#pause(pause)) {
      try {
        await body();
      } catch (error) {
        this.#causes.report('churn', (error as Error).stack ?? String(error));
      }
    }
  }

  /** False when the run is over. */
  async #pause(milliseconds: number): Promise<boolean> {
    const until = performance.now() + milliseconds;
    while (performance.now() < until && !this.#signal.aborted) await Bun.sleep(Math.min(200, Math.max(1, until - performance.now())));
    return !this.#signal.aborted;
  }

  #push(): Promise<void> {
    return this.#mesh.push();
  }

  /** A pod joins, serves and calls, and leaves: in order, with open connections, or with its namespace gone at once. */
  async #pod(side: 0 | 1): Promise<void> {
    const { lab, proxies, nodes } = this.#mesh;
    const number = this.#pods++;
    const host = FIRST_HOST + (number % HOSTS);
    await this.#restarting;
    this.#joining++;
    const pod = lab.network.addPod(nodes[side], `app${number % APPLICATIONS}-${number}`, host);
    const server = serve(pod, Port.echo, echo());
    const open: Connection[] = [];
    try {
      await this.#join(pod, side);
      open.push(...(await this.#use(pod)));
    } finally {
      this.#joining--;
    }
    for (let i = 0; i < 20; i++) {
      for (const connection of open) await connection.request();
      await Bun.sleep(20 + Math.random() * 100);
    }
    const manner = number % 3;
    if (manner === 0) for (const connection of open) await connection.close();
    const touched = [`${pod.ip}:`, `${pod.name} `, `"${pod.name}"`, `/${pod.name}"`];
    const cause = manner === 0 ? undefined : this.#causes.begin(manner === 1 ? 'pod-removal' : 'network-gone', touched, LOST_POD);
    const dropNetwork = (): void => {
      server.close();
      run('ip', 'netns', 'del', pod.namespace);
    };
    if (manner === 2) {
      dropNetwork();
      this.done['namespaces gone']++;
      await Bun.sleep(500);
    }
    const forget = (): Promise<void> => {
      delete lab.addresses[`Kubernetes//Pod/default/${pod.name}`];
      return this.#push();
    };
    // The control plane and the node agent may be either's first.
    if (number % 2 === 0) await forget();
    const error = await proxies[side].remove(pod);
    if (error !== '') throw new Error(`removing ${pod.name}: ${error}`);
    if (number % 2 === 1) await forget();
    for (const connection of open) connection.abort();
    if (manner !== 2) dropNetwork();
    if (cause !== undefined) cause.until = Date.now();
    this.done['pods removed']++;
  }

  async #join(pod: Pod, side: 0 | 1): Promise<void> {
    const { lab, proxies } = this.#mesh;
    const account = workloadName(pod);
    lab.workload(pod, account, { workloadName: account, canonicalName: account });
    await this.#push();
    const error = await proxies[side].add(pod, account);
    if (error !== '') throw new Error(`adding ${pod.name}: ${error}`);
    await redirect(pod);
    this.done['pods added']++;
  }

  /** Connections to the pod and from it. */
  async #use(pod: Pod): Promise<Connection[]> {
    const { clients, servers } = this.#mesh;
    const both = [
      ...clients.map((client) => new Connection(client, pod.ip, Port.echo)),
      ...servers.map(({ ip }) => new Connection(pod, ip, Port.echo)),
    ];
    for (const connection of both) await (await connection.connected()).request();
    return both;
  }

  /** A policy that touches nobody: everything open is evaluated again, nothing may happen. */
  async #policy(): Promise<void> {
    const name = `noise-${this.done['policies pushed'] % 5}`;
    if (`default/${name}` in this.#mesh.lab.policies) remove(this.#mesh.lab, name);
    else deny(this.#mesh.lab, name, 9);
    await this.#push();
    this.done['policies pushed']++;
  }

  /** A policy that ends open connections, for a while. */
  async #toggle(): Promise<void> {
    const { lab, servers } = this.#mesh;
    const cause = this.#causes.begin(
      'policy-push',
      servers.map(({ ip }) => `${ip}:${Port.toggled}`),
      POLICY,
    );
    deny(lab, 'toggled', Port.toggled);
    await this.#push();
    await this.#pause(4_000);
    remove(lab, 'toggled');
    await this.#push();
    // A proxy that lost the control plane meanwhile comes back with a pause.
    while (!this.#signal.aborted && (await this.#isKnown('default/toggled'))) await Bun.sleep(200);
    cause.until = Date.now();
    this.done['policies pushed'] += 2;
  }

  /** Whether a proxy still has this policy. */
  async #isKnown(policy: string): Promise<boolean> {
    const dumps = this.#mesh.proxies.map(async ({ node }) => {
      const curl = ['ip', 'netns', 'exec', node.namespace, 'curl', '-s', '-m', '10', 'http://127.0.0.1:15000/config_dump'];
      return (await new Response(Bun.spawn(curl, { stdout: 'pipe', stderr: 'ignore' }).stdout).text()).includes(`"${policy}"`);
    });
    return (await Promise.all(dumps)).some(Boolean);
  }

  async #update(): Promise<void> {
    const { lab, servers } = this.#mesh;
    const count = ++this.done['workloads updated'];
    announceServer(lab, servers[count % servers.length]!, `v${count % 4}`);
    await this.#push();
  }

  async #restarts(): Promise<void> {
    for (let pause = FIRST_RESTART_MS; await this.#pause(pause); pause = RESTART_PAUSE_MS) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#restarting = promise;
      while (this.#joining > 0) await Bun.sleep(20);
      const cause = this.#causes.begin('control-plane-restart', ['\txds\t', '\tidentity\t'], CONTROL_PLANE);
      await this.#mesh.inTurn(() => this.#mesh.lab.restartControlPlane(() => Bun.sleep(2_000)));
      // Reconnecting backs off.
      await this.#pause(15_000);
      cause.until = Date.now();
      resolve();
      this.done['control plane restarts']++;
    }
  }
}
