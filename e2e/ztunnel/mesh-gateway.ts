/** A waypoint or east-west gateway in a pod of the lab that is not captured, with the lab's authority and control plane. */
import os from 'node:os';
import path from 'node:path';
import type { Subprocess } from 'bun';
import { rememberProcess } from '../support/leftovers.ts';
import { LATEEN, type Lab, until } from './lab.ts';
import type { Pod } from './network.ts';

export class MeshGateway {
  readonly pod: Pod;
  readonly #lab: Lab;
  readonly #account: string;
  readonly #env: Record<string, string>;
  process!: Subprocess<'ignore', 'pipe', 'pipe'>;
  log = '';

  constructor(lab: Lab, pod: Pod, serviceAccount: string, env: Record<string, string> = {}) {
    this.#lab = lab;
    this.pod = pod;
    this.#account = serviceAccount;
    this.#env = env;
  }

  async start(): Promise<void> {
    const { directory, network } = this.#lab;
    const controlPlane = `https://${network.fabricIp}:15012`;
    this.process = Bun.spawn(['ip', 'netns', 'exec', this.pod.namespace, LATEEN, 'proxy', 'waypoint'], {
      env: {
        PATH: process.env['PATH'] ?? '',
        XDS_ADDRESS: controlPlane,
        CA_ADDRESS: controlPlane,
        XDS_ROOT_CA: path.join(directory, 'root.pem'),
        CA_ROOT_CA: path.join(directory, 'root.pem'),
        AUTH_TOKEN: 'test-token',
        NODE_NAME: this.pod.node.name,
        POD_NAME: this.pod.name,
        POD_NAMESPACE: 'default',
        SERVICE_ACCOUNT: this.#account,
        INSTANCE_IP: this.pod.ip,
        RUST_LOG: 'info',
        ...this.#env,
      },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      cwd: os.tmpdir(),
    });
    rememberProcess(this.process.pid);
    void this.#collect(this.process.stdout);
    void this.#collect(this.process.stderr);
    await until(`${this.pod.name} to be ready`, () => this.http(15_021, '/healthz/ready') === 'ready\n');
  }

  http(port: number, url: string): string {
    const command = ['ip', 'netns', 'exec', this.pod.namespace, 'curl', '-s', '-m', '20', `http://127.0.0.1:${port}${url}`];
    return Bun.spawnSync(command).stdout.toString();
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

  async kill(): Promise<void> {
    this.process?.kill('SIGKILL');
    await this.process?.exited;
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const text = decoder.decode(chunk, { stream: true });
      this.log += text;
      if (process.env['LATEEN_E2E_LOG']) process.stderr.write(text.replaceAll(/^/gm, `${this.pod.name}| `));
    }
  }
}
