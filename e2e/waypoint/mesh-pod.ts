/** A pod of the mesh beside a lab's namespace: its own network, in which its node proxy takes the tunnels of the waypoint and the test plays the application. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Subprocess } from 'bun';
import { LATEEN, until } from '../ztunnel/lab.ts';
import { ipBatch, run } from '../ztunnel/network.ts';
import type { WaypointLab } from './lab.ts';

export class MeshPod {
  readonly ip: string;
  readonly namespace: string;
  /** Descriptor of its network namespace. */
  readonly netns: number;
  readonly #lab: WaypointLab;
  process: Subprocess<'ignore', 'inherit', 'inherit'> | undefined;

  /** Before the lab starts: the authority moves to an address that the pod reaches. */
  constructor(lab: WaypointLab, index: number) {
    this.#lab = lab;
    this.ip = `10.99.${index}.2`;
    this.namespace = `${lab.namespace}-p${index}`;
    const outside = `10.99.${index}.1`;
    run('ip', 'netns', 'add', this.namespace);
    run('ip', 'link', 'add', `wpv${index}`, 'netns', lab.namespace, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', this.namespace);
    ipBatch(lab.namespace, `addr add ${outside}/24 dev wpv${index}`, `link set wpv${index} up`);
    ipBatch(this.namespace, 'link set lo up', `addr add ${this.ip}/24 dev eth0`, 'link set eth0 up', `route add default via ${outside}`);
    this.netns = fs.openSync(`/run/netns/${this.namespace}`, 'r');
    lab.authorityIp = outside;
  }

  /** After the lab has started: it shares its configuration. */
  async start(): Promise<void> {
    const command = ['ip', 'netns', 'exec', this.namespace];
    this.process = Bun.spawn([...command, LATEEN, 'proxy', 'ztunnel'], {
      env: {
        PATH: process.env['PATH'] ?? '',
        XDS_ADDRESS: '',
        LOCAL_XDS_PATH: path.join(this.#lab.directory, 'xds.yaml'),
        CA_ADDRESS: `https://${this.#lab.authorityIp}:15012`,
        CA_ROOT_CA: path.join(this.#lab.directory, 'root.pem'),
        AUTH_TOKEN: 'test-token',
        PROXY_MODE: 'dedicated',
        // The client's address would need the redirect rules of a pod.
        ENABLE_ORIG_SRC: 'false',
        PROXY_WORKLOAD_INFO: `default/backend-${this.ip.replaceAll('.', '-')}/backend`,
        NODE_NAME: 'n1',
        POD_NAME: 'ztunnel',
        POD_NAMESPACE: 'istio-system',
        SERVICE_ACCOUNT: 'ztunnel',
        RUST_LOG: process.env['LATEEN_E2E_LOG'] ? 'info,access=debug' : 'off',
      },
      stdin: 'ignore',
      stdout: 'inherit',
      stderr: 'inherit',
      cwd: os.tmpdir(),
    });
    await until(
      'the node proxy of the pod',
      () => Bun.spawnSync([...command, 'curl', '-s', '-m', '2', 'http://127.0.0.1:15021/healthz/ready']).stdout.toString() === 'ready\n',
    );
  }

  async stop(): Promise<void> {
    this.process?.kill('SIGKILL');
    await this.process?.exited;
    fs.closeSync(this.netns);
    run('ip', 'netns', 'del', this.namespace);
  }
}
