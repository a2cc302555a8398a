/** The arms of a measurement without a mesh, and with Envoy sidecars. Each has pods of its own. */
import fs from 'node:fs';
import path from 'node:path';
import type { Arm } from './arm.ts';
import { envoyBinary, sidecarConfig } from './envoy.ts';
import { makeAuthority, writeCredentials } from './pki.ts';
import { BUN, type Running, start } from './shell.ts';
import { makePods, type Pods, redirectIn, redirectOut } from './topology.ts';

export const PORT = 8080;
export const BODY = 1024;

/** Who runs where. */
export interface Layout {
  readonly load: string;
  readonly proxies: string;
  /** Workers of each proxy. */
  readonly workers: number;
}

/** Client and application on core 0, every proxy on core 1: what one core gives. */
export const ONE_CORE: Layout = { load: '0', proxies: '1', workers: 1 };
/** Everything on both cores. Where a proxy has only one, a second worker can gain nothing; here it can, at the price that client and application take their part. */
export const BOTH_CORES: Layout = { load: '0,1', proxies: '0,1', workers: 2 };

export type MakeArm = (work: string, index: number) => Promise<Arm>;

/** What the application speaks: HTTP/1.1, or gRPC over HTTP/2 without TLS. */
export type Speaks = 'http1' | 'grpc';

/** Starts the measured application in the server pod and waits for it. */
export async function origin(pods: Pick<Pods, 'server'>, work: string, speaks: Speaks = 'http1', layout = ONE_CORE): Promise<Running> {
  const program = speaks === 'grpc' ? ['grpc-origin.ts', String(PORT)] : ['origin.ts', String(PORT), String(BODY)];
  const running = start('origin', [BUN, path.join(import.meta.dir, program[0]!), ...program.slice(1)], {
    namespace: pods.server,
    cpu: layout.load,
    log: path.join(work, `${pods.server}.origin.log`),
  });
  await answers(pods.server, '127.0.0.1', 'the origin', speaks);
  return running;
}

/** Waits until a request from inside a namespace is answered; a fixed limit, then an error that names what is missing. */
export async function answers(from: string, address: string, what: string, speaks: Speaks = 'http1'): Promise<void> {
  const version = speaks === 'grpc' ? '--http2-prior-knowledge' : '--http1.1';
  const url = `http://${address}:${PORT}/`;
  for (let attempt = 0; attempt < 300; attempt++) {
    const tried = Bun.spawnSync(['nsenter', `--net=/run/netns/${from}`, 'curl', '-sf', version, '-m', '1', '-o', '/dev/null', url]);
    if (tried.success) return;
    await Bun.sleep(100);
  }
  throw new Error(`${what} did not answer ${url} from ${from} within 30 s`);
}

export const armOf = (
  name: string,
  about: string,
  pods: Pods,
  application: Running,
  proxies: readonly Running[],
  layout = ONE_CORE,
): Arm => ({
  name,
  about,
  client: pods.client,
  address: pods.serverIp,
  port: PORT,
  loadCpus: layout.load,
  origins: [application],
  proxies,
});

export const directArm =
  (speaks: Speaks = 'http1', layout = ONE_CORE, pods: (index: number) => Pods = (index) => makePods('direct', index)): MakeArm =>
  async (work, index) => {
    const own = pods(index);
    return armOf('direct', 'no proxy', own, await origin(own, work, speaks, layout), [], layout);
  };

export const relayArm: MakeArm = async (work, index) => {
  const pods = makePods('relay', index);
  const application = await origin(pods, work);
  const relay = start('relay', [BUN, path.join(import.meta.dir, 'relay.ts')], {
    namespace: pods.client,
    cpu: ONE_CORE.proxies,
    uid: 1337,
    log: path.join(work, 'relay.log'),
  });
  redirectOut(pods.client, PORT);
  await answers(pods.client, pods.serverIp, 'the relay');
  return armOf('relay', 'one plain TCP relay on the same runtime: the floor for a single hop', pods, application, [relay]);
};

/** Two Envoy sidecars with mutual TLS between them; `http` parses requests as Istio does by default, `tcp` only copies bytes. */
export const envoyArm =
  (mode: 'http' | 'tcp', speaks: Speaks = 'http1', layout = ONE_CORE): MakeArm =>
  async (work, index) => {
    const name = `envoy-${mode}`;
    const binary = envoyBinary(path.join(import.meta.dir, '.cache'));
    const pods = makePods(mode === 'http' ? 'eh' : 'et', index);
    const application = await origin(pods, work, speaks, layout);
    const folder = path.join(work, name);
    fs.mkdirSync(folder);
    fs.chmodSync(work, 0o755);
    const authority = await makeAuthority();
    const sidecar = async (side: 'outbound' | 'inbound', namespace: string, listen: number, next: { address: string; port: number }) => {
      const files = await writeCredentials(authority, folder, side, [{ type: 'url', value: `spiffe://cluster.local/ns/bench/sa/${side}` }]);
      fs.chmodSync(files.key, 0o644);
      const config = path.join(folder, `${side}.json`);
      fs.writeFileSync(config, JSON.stringify(sidecarConfig(side, mode, listen, next, files, speaks)));
      const argv = [binary, '-c', config, '--concurrency', String(layout.workers), '--disable-hot-restart', '-l', 'warning'];
      return start(`${name}-${side}`, argv, { namespace, cpu: layout.proxies, uid: 1337, log: path.join(folder, `${side}.log`) });
    };
    const inbound = await sidecar('inbound', pods.server, 15006, { address: '127.0.0.1', port: PORT });
    const outbound = await sidecar('outbound', pods.client, 15001, { address: pods.serverIp, port: PORT });
    redirectOut(pods.client, PORT);
    redirectIn(pods.server, PORT);
    await answers(pods.client, pods.serverIp, `the Envoy ${mode} sidecar pair`, speaks);
    const about =
      mode === 'http'
        ? 'two Envoy 1.40 sidecars as Istio injects them: HTTP parsed on both sides'
        : 'two Envoy 1.40 sidecars that only copy TCP';
    const workers = layout.workers === 1 ? 'one worker each' : `${layout.workers} workers each`;
    return armOf(name, `${about}, mutual TLS 1.3 between them, ${workers}`, pods, application, [outbound, inbound], layout);
  };
