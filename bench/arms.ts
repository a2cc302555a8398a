/** The arms of the L4 measurement. Each has pods of its own; load and origin on core 0, every proxy on core 1. */
import fs from 'node:fs';
import path from 'node:path';
import type { Arm } from './arm.ts';
import { envoyBinary, sidecarConfig } from './envoy.ts';
import { makeAuthority, writeCredentials } from './pki.ts';
import { BUN, type Running, start } from './shell.ts';
import { makePods, type Pods, sidecarRedirect } from './topology.ts';

export const PORT = 8080;
const BODY = 1024;
export const PROXY_CPU = 1;

export type MakeArm = (work: string, index: number) => Promise<Arm>;

/** What the application speaks: HTTP/1.1, or gRPC over HTTP/2 without TLS. */
export type Speaks = 'http1' | 'grpc';

/** Starts the measured application in the server pod and waits for it. */
export async function origin(pods: Pods, work: string, speaks: Speaks = 'http1'): Promise<Running> {
  const program = speaks === 'grpc' ? ['grpc-origin.ts', String(PORT)] : ['origin.ts', String(PORT), String(BODY)];
  const running = start('origin', [BUN, path.join(import.meta.dir, program[0]!), ...program.slice(1)], {
    namespace: pods.server,
    cpu: 0,
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

export const armOf = (name: string, about: string, pods: Pods, application: Running, proxies: readonly Running[]): Arm => ({
  name,
  about,
  client: pods.client,
  address: pods.serverIp,
  port: PORT,
  origin: application,
  proxies,
});

export const directArm =
  (speaks: Speaks = 'http1'): MakeArm =>
  async (work, index) => {
    const pods = makePods('direct', index);
    return armOf('direct', 'no proxy', pods, await origin(pods, work, speaks), []);
  };

export const relayArm: MakeArm = async (work, index) => {
  const pods = makePods('relay', index);
  const application = await origin(pods, work);
  const relay = start('relay', [BUN, path.join(import.meta.dir, 'relay.ts')], {
    namespace: pods.client,
    cpu: PROXY_CPU,
    uid: 1337,
    log: path.join(work, 'relay.log'),
  });
  sidecarRedirect(pods, PORT, undefined);
  await answers(pods.client, pods.serverIp, 'the relay');
  return armOf('relay', 'one plain TCP relay on the same runtime: the floor for a single hop', pods, application, [relay]);
};

/** Two Envoy sidecars with mutual TLS between them; `http` parses requests as Istio does by default, `tcp` only copies bytes. */
export const envoyArm =
  (mode: 'http' | 'tcp', speaks: Speaks = 'http1'): MakeArm =>
  async (work, index) => {
    const name = `envoy-${mode}`;
    const binary = envoyBinary(path.join(import.meta.dir, '.cache'));
    const pods = makePods(mode === 'http' ? 'eh' : 'et', index);
    const application = await origin(pods, work, speaks);
    const folder = path.join(work, name);
    fs.mkdirSync(folder);
    fs.chmodSync(work, 0o755);
    const authority = await makeAuthority();
    const sidecar = async (side: 'outbound' | 'inbound', namespace: string, listen: number, next: { address: string; port: number }) => {
      const files = await writeCredentials(authority, folder, side, [{ type: 'url', value: `spiffe://cluster.local/ns/bench/sa/${side}` }]);
      fs.chmodSync(files.key, 0o644);
      const config = path.join(folder, `${side}.json`);
      fs.writeFileSync(config, JSON.stringify(sidecarConfig(side, mode, listen, next, files, speaks)));
      const argv = [binary, '-c', config, '--concurrency', '1', '--disable-hot-restart', '-l', 'warning'];
      return start(`${name}-${side}`, argv, { namespace, cpu: PROXY_CPU, uid: 1337, log: path.join(folder, `${side}.log`) });
    };
    const inbound = await sidecar('inbound', pods.server, 15006, { address: '127.0.0.1', port: PORT });
    const outbound = await sidecar('outbound', pods.client, 15001, { address: pods.serverIp, port: PORT });
    sidecarRedirect(pods, PORT, 15006);
    await answers(pods.client, pods.serverIp, `the Envoy ${mode} sidecar pair`, speaks);
    const about =
      mode === 'http'
        ? 'two Envoy 1.40 sidecars as Istio injects them: HTTP parsed on both sides'
        : 'two Envoy 1.40 sidecars that only copy TCP';
    return armOf(name, `${about}, mutual TLS 1.3 between them`, pods, application, [outbound, inbound]);
  };
