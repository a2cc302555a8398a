/** Two nodes with a node proxy each, a test control plane, and pods whose applications run in this process. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { create, fromBinary, type JsonValue, type MessageInitShape, toBinary, toJson } from '@bufbuild/protobuf';
import type { Subprocess } from 'bun';
import { inNetworkNamespace, listenSeqpacket, type SeqpacketConnection, type SeqpacketListener } from '../../src/platform/linux/index.ts';
import { TunnelProtocol } from '../../src/protocol/index.ts';
import { AddressSchema, AuthorizationSchema, WorkloadRequestSchema, WorkloadResponseSchema } from '../../src/protocol/messages/index.ts';
import { rememberProcess } from '../support/leftovers.ts';
import { Network, type Node, type Pod } from './network.ts';

const ROOT = path.resolve(import.meta.dir, '../..');
export const LATEEN = process.env['LATEEN_E2E_PROXY'] ?? path.join(ROOT, 'bin/lateen');
const CONTROL_PLANE_PORT = 15_012;
/** Processes per node proxy: the same suites run with one and with several. */
export const WORKERS = Number(process.env['LATEEN_E2E_WORKERS'] ?? 1);

/**
 * Where the tests that do not care put their server: on a second node, or beside its client on one node, where node proxies tunnel to themselves or join
 * (`LATEEN_JOIN_SAME_NODE`). What an application and a policy see must not differ.
 */
export const PLACEMENT = process.env['LATEEN_E2E_PLACEMENT'] ?? 'two-nodes';
export const ON_ONE_NODE = PLACEMENT === 'one-node' || PLACEMENT === 'joined';

export type WorkloadInit = NonNullable<Extract<MessageInitShape<typeof AddressSchema>['type'], { case: 'workload' }>>['value'];
export type ServiceInit = NonNullable<Extract<MessageInitShape<typeof AddressSchema>['type'], { case: 'service' }>>['value'];
export type PolicyInit = MessageInitShape<typeof AuthorizationSchema>;

export const ipBytes = (ip: string): Uint8Array => Uint8Array.from(ip.split('.').map(Number));

/** Calls until it gives something; fails with what was waited for. */
export async function until<T>(
  what: string,
  attempt: () => T | undefined | false | Promise<T | undefined | false>,
  limit = 15_000,
): Promise<T> {
  const deadline = performance.now() + limit;
  let last: unknown;
  while (performance.now() < deadline) {
    try {
      const result = await attempt();
      if (result !== undefined && result !== false) return result;
    } catch (error) {
      last = error;
    }
    await Bun.sleep(25);
  }
  throw new Error(`waited in vain for ${what}${last === undefined ? '' : `: ${(last as Error).message}`}`);
}

/** One node proxy as a process, with the node agent's side of ZDS played by the lab. */
export class TestProxy {
  readonly node: Node;
  readonly pods = new Map<string, Pod>();
  process!: Subprocess<'ignore', 'pipe', 'pipe'>;
  log = '';
  #zds: SeqpacketListener;
  #agent: SeqpacketConnection | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  readonly #env: Record<string, string>;
  readonly socket: string;
  /** The program; Lateen's unless told otherwise. */
  program = LATEEN;

  constructor(node: Node, directory: string, fabricIp: string, env: Record<string, string>) {
    this.node = node;
    this.socket = path.join(directory, `${node.name}.sock`);
    const controlPlane = `https://${fabricIp}:${CONTROL_PLANE_PORT}`;
    this.#env = {
      PATH: process.env['PATH'] ?? '',
      XDS_ADDRESS: controlPlane,
      CA_ADDRESS: controlPlane,
      XDS_ROOT_CA: path.join(directory, 'root.pem'),
      CA_ROOT_CA: path.join(directory, 'root.pem'),
      AUTH_TOKEN: 'test-token',
      NODE_NAME: node.name,
      POD_NAME: `ztunnel-${node.name}`,
      POD_NAMESPACE: 'istio-system',
      SERVICE_ACCOUNT: 'ztunnel',
      INPOD_UDS: this.socket,
      ZTUNNEL_WORKER_THREADS: String(WORKERS),
      RUST_LOG: 'info,access=debug',
      ...(PLACEMENT === 'one-node' && { LATEEN_JOIN_SAME_NODE: 'false' }),
      ...env,
    };
    this.#zds = listenSeqpacket(this.socket);
    void this.#acceptAgents();
  }

  start(extra: Record<string, string> = {}): void {
    this.log = '';
    this.process = Bun.spawn(['ip', 'netns', 'exec', this.node.namespace, this.program, 'proxy', 'ztunnel'], {
      env: { ...this.#env, ...extra },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      cwd: os.tmpdir(),
    });
    rememberProcess(this.process.pid);
    void this.#collect(this.process.stdout);
    void this.#collect(this.process.stderr);
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const text = decoder.decode(chunk, { stream: true });
      this.log += text;
      if (process.env['LATEEN_E2E_LOG']) process.stderr.write(text.replaceAll(/^/gm, `${this.node.name}| `));
    }
  }

  /** Answers `add` with its acknowledgement's error, empty when it is well. */
  async add(pod: Pod, serviceAccount: string): Promise<string> {
    const agent = await until('the proxy to connect over ZDS', () => this.#agent);
    this.pods.set(pod.name, pod);
    return this.#inTurn(() => this.#send(agent, pod, serviceAccount));
  }

  readonly #accounts = new Map<string, string>();

  async #send(agent: SeqpacketConnection, pod: Pod, serviceAccount: string): Promise<string> {
    this.#accounts.set(pod.name, serviceAccount);
    const fd = fs.openSync(`/run/netns/${pod.namespace}`, 'r');
    const workloadInfo = { name: pod.name, namespace: 'default', serviceAccount };
    try {
      return await this.#request(agent, { payload: { case: 'add', value: { uid: `uid-${pod.name}`, workloadInfo } } }, fd);
    } finally {
      fs.closeSync(fd);
    }
  }

  remove(pod: Pod): Promise<string> {
    this.pods.delete(pod.name);
    return this.#inTurn(() => this.#request(this.#agent!, { payload: { case: 'del', value: { uid: `uid-${pod.name}` } } }));
  }

  /** Ends the snapshot a second time; gives the proxy's refusal. */
  violate(): Promise<string> {
    return this.#inTurn(() => this.#request(this.#agent!, { payload: { case: 'snapshotSent', value: {} } }));
  }

  async #request(agent: SeqpacketConnection, init: MessageInitShape<typeof WorkloadRequestSchema>, fd?: number): Promise<string> {
    await agent.send(toBinary(WorkloadRequestSchema, create(WorkloadRequestSchema, init)), fd);
    const message = await agent.receive();
    if (message === null) throw new Error('the proxy closed the ZDS connection');
    const response = fromBinary(WorkloadResponseSchema, message.bytes);
    return response.payload.case === 'ack' ? response.payload.value.error : 'no ack';
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => {});
    return turn;
  }

  async #acceptAgents(): Promise<void> {
    for (;;) {
      const connection = await this.#zds.accept();
      if (connection === null) return;
      await connection.receive();
      await this.#inTurn(async () => {
        for (const pod of this.pods.values())
          if (this.#accounts.has(pod.name)) await this.#send(connection, pod, this.#accounts.get(pod.name)!);
        await this.#request(connection, { payload: { case: 'snapshotSent', value: {} } });
        this.#agent = connection;
      }).catch(() => connection.close());
    }
  }

  /** A request to one of the proxy's own HTTP ports, from the node. */
  http(port: number, url: string, method = 'GET'): string {
    const result = Bun.spawnSync([
      'ip',
      'netns',
      'exec',
      this.node.namespace,
      'curl',
      '-s',
      '-m',
      '20',
      '-X',
      method,
      `http://127.0.0.1:${port}${url}`,
    ]);
    return result.stdout.toString();
  }

  ready(): Promise<true> {
    return until(`${this.node.name} to be ready`, () => this.http(15_021, '/healthz/ready') === 'ready\n');
  }

  /** Sum of a metric's series whose labels contain all of `labels`. */
  metric(name: string, labels: Record<string, string> = {}): number {
    let sum = 0;
    for (const line of this.http(15_020, '/metrics').split('\n')) {
      if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
      if (!Object.entries(labels).every(([key, value]) => line.includes(`${key}="${value}"`))) continue;
      sum += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
    return sum;
  }

  /** Lines of the access log with this message and all of these pieces. */
  lines(...pieces: string[]): string[] {
    return this.log.split('\n').filter((line) => line.includes('\taccess\t') && pieces.every((piece) => line.includes(piece)));
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    this.process.kill(signal);
    return this.process.exited;
  }

  close(): void {
    this.#zds.close();
    this.#agent?.close();
    if (this.process?.exitCode === null) this.process.kill('SIGKILL');
  }
}

export class Lab {
  readonly directory = fs.mkdtempSync(path.join(os.tmpdir(), 'zt-lab-'));
  readonly network: Network;
  readonly proxies: TestProxy[] = [];
  readonly addresses: Record<string, JsonValue> = {};
  policies: Record<string, JsonValue> = {};
  /** Sent once after the next push: messages no control plane should send. */
  garbage: Uint8Array[] = [];
  /** Names of addresses a proxy is not told of, by its pod's name. */
  readonly hidden: Record<string, string[]> = {};
  /** Which of the authority's two roots signs, and which are trusted. */
  authority: { signer: 'old' | 'new'; trusted: ('old' | 'new')[] } = { signer: 'old', trusted: ['old'] };
  #controlPlane!: Subprocess<'pipe', 'pipe', 'inherit'>;
  #pushed = 0;
  #output = '';

  constructor(prefix: string, subnet: string) {
    // Placements may be tested at the same time.
    this.network = new Network(PLACEMENT === 'two-nodes' ? prefix : `${prefix}${PLACEMENT[0]}`, subnet);
  }

  async start(): Promise<void> {
    await this.startControlPlane();
  }

  async startControlPlane(): Promise<void> {
    const { fabric, fabricIp } = this.network;
    const script = path.join(import.meta.dir, 'control-plane.ts');
    this.#controlPlane = Bun.spawn(
      ['ip', 'netns', 'exec', fabric, process.execPath, script, fabricIp, String(CONTROL_PLANE_PORT), this.directory],
      { stdin: 'pipe', stdout: 'pipe', stderr: 'inherit', cwd: ROOT },
    );
    rememberProcess(this.#controlPlane.pid);
    void this.#read();
    await until('the control plane', () => this.#output.includes('ready'));
  }

  /** The same authority in a new process; `meanwhile` runs while there is none. */
  async restartControlPlane(meanwhile: () => Promise<void>): Promise<void> {
    this.#controlPlane.kill('SIGKILL');
    await this.#controlPlane.exited;
    this.#output = '';
    this.#pushed = 0;
    await meanwhile();
    await this.startControlPlane();
    await this.push();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#controlPlane.stdout) this.#output += decoder.decode(chunk);
  }

  addProxy(node: Node, env: Record<string, string> = {}): TestProxy {
    const proxy = new TestProxy(node, this.directory, this.network.fabricIp, env);
    this.proxies.push(proxy);
    return proxy;
  }

  /** The server's proxy, beside the client's or the same. */
  addSecondProxy(first: TestProxy, node: Node): TestProxy {
    if (first.node === node) return first;
    const second = this.addProxy(node);
    second.start();
    return second;
  }

  /** Tells the control plane's state to the proxies. */
  async push(): Promise<void> {
    const before = this.#pushed++;
    const { addresses, policies, hidden, authority } = this;
    const garbage = this.garbage.splice(0).map((message) => Buffer.from(message).toString('base64'));
    this.#controlPlane.stdin.write(`${JSON.stringify({ addresses, policies, hidden, authority, garbage })}\n`);
    await this.#controlPlane.stdin.flush();
    await until('the push', () => this.#output.includes(`pushed ${before + 1}`));
  }

  workload(pod: Pod, serviceAccount: string, extra: WorkloadInit | Record<never, never> = {}): void {
    const uid = `Kubernetes//Pod/default/${pod.name}`;
    const message = create(AddressSchema, {
      type: {
        case: 'workload',
        value: {
          uid,
          name: pod.name,
          namespace: 'default',
          serviceAccount,
          addresses: [ipBytes(pod.ip)],
          tunnelProtocol: TunnelProtocol.HBONE,
          node: pod.node.name,
          canonicalName: pod.name,
          canonicalRevision: 'v1',
          workloadName: pod.name,
          clusterId: 'Kubernetes',
          ...extra,
        } as WorkloadInit,
      },
    });
    this.addresses[uid] = toJson(AddressSchema, message);
  }

  service(name: string, init: ServiceInit): void {
    const hostname = `${name}.default.svc.cluster.local`;
    const message = create(AddressSchema, {
      type: { case: 'service', value: { name, namespace: 'default', hostname, ...init } as ServiceInit },
    });
    this.addresses[`default/${hostname}`] = toJson(AddressSchema, message);
  }

  policy(name: string, init: PolicyInit): void {
    const policy = create(AuthorizationSchema, { name, namespace: 'default', ...init });
    this.policies[`${policy.namespace}/${name}`] = toJson(AuthorizationSchema, policy);
  }

  stop(): void {
    for (const proxy of this.proxies) proxy.close();
    this.#controlPlane?.kill('SIGKILL');
    this.network.remove();
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Runs synchronous code inside a pod's network namespace. */
export function inPod<T>(pod: Pod | Node, body: () => T): T {
  const fd = fs.openSync(`/run/netns/${pod.namespace}`, 'r');
  try {
    return inNetworkNamespace(fd, body);
  } finally {
    fs.closeSync(fd);
  }
}
