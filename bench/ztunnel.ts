/** A pair of node proxies in shared mode, one per node: Lateen's, or Istio's own where `ZTUNNEL_BIN` names a binary. */
import fs from 'node:fs';
import path from 'node:path';
import type { Arm } from './arm.ts';
import { answers, armOf, type MakeArm, origin, PROXY_CPU } from './arms.ts';
import { ambientRedirect, localConfig, type PodOnNode, startZds } from './mesh-support.ts';
import { makeAuthority, writeAuthority } from './pki.ts';
import { BUN, LAUNCHER, namespace, type Running, start } from './shell.ts';
import { makePods } from './topology.ts';

export interface Flavour {
  readonly name: string;
  readonly short: string;
  readonly about: string;
  readonly command: readonly string[];
}

/** Two node proxies, one per node, for the pods given, with their authority; `config` is their `LOCAL_XDS_PATH`. Outbound first. */
export function startPair(
  flavour: Flavour,
  short: string,
  folder: string,
  config: string,
  pods: { readonly client: string; readonly server: string },
): [Running, Running] {
  fs.writeFileSync(path.join(folder, 'config.yaml'), config);
  const proxy = (node: string, pod: PodOnNode): Running => {
    const home = namespace(`lb-${short}-${node}`);
    startAuthority(folder, node, home);
    startZds(path.join(folder, `${node}.sock`), [pod]);
    ambientRedirect(pod.netns);
    const env = {
      XDS_ADDRESS: '',
      LOCAL_XDS_PATH: path.join(folder, 'config.yaml'),
      CA_ADDRESS: 'https://localhost:15012',
      CA_ROOT_CA: path.join(folder, 'root.crt'),
      AUTH_TOKEN: 'bench-token',
      CLUSTER_ID: 'Kubernetes',
      NODE_NAME: node,
      POD_NAME: `zt-${node}`,
      POD_NAMESPACE: 'istio-system',
      SERVICE_ACCOUNT: 'ztunnel',
      INSTANCE_IP: '127.0.0.1',
      PROXY_MODE: 'shared',
      INPOD_UDS: path.join(folder, `${node}.sock`),
      ISTIO_META_DNS_CAPTURE: 'false',
      RUST_LOG: 'info',
      ZTUNNEL_WORKER_THREADS: '1',
      IPV6_ENABLED: 'false',
    };
    return start(`${flavour.name}-${node}`, flavour.command, {
      namespace: home,
      cpu: PROXY_CPU,
      env,
      log: path.join(folder, `${node}.log`),
    });
  };
  const pod = (role: string, netns: string): PodOnNode => ({
    uid: `${short}-${role}`,
    name: role,
    namespace: 'bench',
    serviceAccount: role,
    netns,
  });
  const inbound = proxy('n2', pod('server', pods.server));
  const outbound = proxy('n1', pod('client', pods.client));
  return [outbound, inbound];
}

export const startAuthority = (folder: string, name: string, home: string): Running =>
  start('authority', [BUN, path.join(import.meta.dir, 'authority.ts'), folder, '15012'], {
    namespace: home,
    cpu: 0,
    log: path.join(folder, `${name}.authority.log`),
  });

function ztunnelArm(flavour: Flavour): MakeArm {
  return async (work, index): Promise<Arm> => {
    const pods = makePods(flavour.short, index);
    const application = await origin(pods, work);
    const folder = path.join(work, flavour.short);
    fs.mkdirSync(folder);
    await writeAuthority(await makeAuthority(), folder);
    const config = localConfig({ ip: pods.clientIp, node: 'n1' }, { ip: pods.serverIp, node: 'n2' });
    const proxies = startPair(flavour, flavour.short, folder, config, pods);
    await answers(pods.client, pods.serverIp, `the ${flavour.name} pair`);
    return armOf(flavour.name, flavour.about, pods, application, proxies);
  };
}

export const LATEEN: Flavour = {
  name: 'lateen',
  short: 'lt',
  about: 'two Lateen node proxies (shared mode), HBONE between them; one ALLOW policy, metrics and access log on',
  command: [LAUNCHER, 'proxy', 'ztunnel'],
};

export const lateenArm = ztunnelArm(LATEEN);

/** Undefined unless `ZTUNNEL_BIN` is set. */
export const ISTIO: Flavour | undefined = process.env['ZTUNNEL_BIN']
  ? {
      name: 'ztunnel',
      short: 'zt',
      about: 'two real ztunnels (`ZTUNNEL_BIN`), the same configuration, access log on, one worker',
      command: [process.env['ZTUNNEL_BIN'], 'proxy', 'ztunnel'],
    }
  : undefined;

export const istioArm: MakeArm | undefined = ISTIO && ztunnelArm(ISTIO);
