/** A node with many pods, each with an application that is called from another node and calls there: what its proxies need, be it one for all or one in each pod. */
import fs from 'node:fs';
import path from 'node:path';
import type { Arm } from './arm.ts';
import { answers, type MakeArm, ONE_CORE, origin, PORT } from './arms.ts';
import { envoyBinary, wholeSidecarConfig } from './envoy.ts';
import { localConfig } from './mesh-support.ts';
import { makeAuthority, writeAuthority, writeCredentials } from './pki.ts';
import { type Running, start } from './shell.ts';
import { NODE_1, NODE_2, pod, redirectIn, redirectOut } from './topology.ts';
import { type Flavour, podOf, startProxy } from './ztunnel.ts';

export const PODS_ON_NODE = 15;

interface Place {
  /** The only pod of the other node. */
  readonly peer: string;
  readonly peerIp: string;
  readonly pods: readonly { readonly name: string; readonly netns: string; readonly ip: string }[];
  readonly folder: string;
}

/** Pods with their applications, and the arm around the proxies that `proxiesOf` starts: those of the measured node only. */
const nodeArm =
  (name: string, short: string, about: string, proxiesOf: (place: Place) => Promise<readonly Running[]>): MakeArm =>
  async (work, index): Promise<Arm> => {
    const folder = path.join(work, short);
    fs.mkdirSync(folder);
    fs.chmodSync(work, 0o755);
    const peerIp = `10.71.1.${index}`;
    const peer = pod(`lb-${short}-p`, NODE_1, peerIp, '10.70.0.1');
    const pods = Array.from({ length: PODS_ON_NODE }, (_, i) => {
      const ip = `10.71.2.${index * 20 + i}`;
      return { name: `app-${i}`, ip, netns: pod(`lb-${short}-${i}`, NODE_2, ip, '10.70.0.2') };
    });
    const origins: Running[] = [];
    for (const server of [peer, ...pods.map(({ netns }) => netns)]) origins.push(await origin({ server }, work));
    const proxies = await proxiesOf({ peer, peerIp, pods, folder });
    for (const { netns, ip } of pods) {
      await answers(peer, ip, `the ${name} node`);
      await answers(netns, peerIp, `the ${name} node`);
    }
    const routes = pods.flatMap(({ netns, ip }) => [ip, `${netns}@${peerIp}`]).join(',');
    return { name, about, client: peer, address: peerIp, port: PORT, loadCpus: ONE_CORE.load, routes, origins, proxies };
  };

/** One node proxy for all pods. */
export const proxyNodeArm = (flavour: Flavour): MakeArm =>
  nodeArm(
    flavour.name,
    `${flavour.short}n`,
    `one of ${flavour.about}, for ${PODS_ON_NODE} pods`,
    async ({ peer, peerIp, pods, folder }) => {
      await writeAuthority(await makeAuthority(), folder);
      const everybody = { peer: { ip: peerIp, node: 'n1' }, ...Object.fromEntries(pods.map(({ name, ip }) => [name, { ip, node: 'n2' }])) };
      fs.writeFileSync(path.join(folder, 'config.yaml'), localConfig(everybody, Object.keys(everybody)));
      const short = `${flavour.short}n`;
      startProxy(flavour, short, folder, 'n1', [podOf(short, 'peer', peer)]);
      const own = pods.map(({ name, netns }) => podOf(short, name, netns));
      return [startProxy(flavour, short, folder, 'n2', own)];
    },
  );

/** An Envoy sidecar in each pod. */
export const sidecarNodeArm: MakeArm = nodeArm(
  'envoy-http',
  'ehn',
  `${PODS_ON_NODE} Envoy 1.40 sidecars, one in each pod; a static configuration with one route, far less than Istio gives a sidecar`,
  async ({ peer, pods, folder }) => {
    const binary = envoyBinary(path.join(import.meta.dir, '.cache'));
    const authority = await makeAuthority();
    const sidecar = async (name: string, netns: string) => {
      const files = await writeCredentials(authority, folder, name, [{ type: 'url', value: `spiffe://cluster.local/ns/bench/sa/${name}` }]);
      fs.chmodSync(files.key, 0o644);
      const config = path.join(folder, `${name}.json`);
      fs.writeFileSync(config, JSON.stringify(wholeSidecarConfig(PORT, files)));
      const argv = [binary, '-c', config, '--concurrency', '1', '--disable-hot-restart', '-l', 'warning'];
      const log = path.join(folder, `${name}.log`);
      const running = start(`sidecar-${name}`, argv, { namespace: netns, cpu: ONE_CORE.proxies, uid: 1337, log });
      redirectOut(netns, PORT);
      redirectIn(netns, PORT);
      return running;
    };
    await sidecar('peer', peer);
    const own: Running[] = [];
    for (const { name, netns } of pods) own.push(await sidecar(name, netns));
    return own;
  },
);
