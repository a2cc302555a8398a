/** Node proxies in shared mode, one per node or one for both pods: Lateen's, or Istio's own where `ZTUNNEL_BIN` names a binary. */
import fs from 'node:fs';
import path from 'node:path';
import type { Arm } from './arm.ts';
import { answers, armOf, type MakeArm, ONE_CORE, origin } from './arms.ts';
import { ambientRedirect, localConfig, type PodOnNode, startZds } from './mesh-support.ts';
import { makeAuthority, writeAuthority } from './pki.ts';
import { BUN, LAUNCHER, namespace, type Running, start } from './shell.ts';
import { makePods, makePodsOnOneNode } from './topology.ts';

export interface Flavour {
  readonly name: string;
  readonly short: string;
  readonly about: string;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A pod of the bench's namespace whose service account has its name. */
export const podOf = (short: string, name: string, netns: string): PodOnNode => ({
  uid: `${short}-${name}`,
  name,
  namespace: 'bench',
  serviceAccount: name,
  netns,
});

/** The node proxy of a node, for the pods given, with its authority; `folder` has its `config.yaml`. */
export function startProxy(
  flavour: Flavour,
  short: string,
  folder: string,
  node: string,
  pods: readonly PodOnNode[],
  layout = ONE_CORE,
): Running {
  const home = namespace(`lb-${short}-${node}`);
  startAuthority(folder, node, home);
  startZds(path.join(folder, `${node}.sock`), pods);
  for (const pod of pods) ambientRedirect(pod.netns);
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
    ZTUNNEL_WORKER_THREADS: String(layout.workers),
    IPV6_ENABLED: 'false',
    ...flavour.env,
  };
  const log = path.join(folder, `${node}.log`);
  return start(`${flavour.name}-${node}`, flavour.command, { namespace: home, cpu: layout.proxies, env, log });
}

/** Two node proxies, one per node, for the pods given; `config` is their `LOCAL_XDS_PATH`. Outbound first. */
export function startPair(
  flavour: Flavour,
  short: string,
  folder: string,
  config: string,
  pods: { readonly client: string; readonly server: string },
  layout = ONE_CORE,
): [Running, Running] {
  fs.writeFileSync(path.join(folder, 'config.yaml'), config);
  const inbound = startProxy(flavour, short, folder, 'n2', [podOf(short, 'server', pods.server)], layout);
  const outbound = startProxy(flavour, short, folder, 'n1', [podOf(short, 'client', pods.client)], layout);
  return [outbound, inbound];
}

export const startAuthority = (folder: string, name: string, home: string): Running =>
  start('authority', [BUN, path.join(import.meta.dir, 'authority.ts'), folder, '15012'], {
    namespace: home,
    cpu: ONE_CORE.load,
    log: path.join(folder, `${name}.authority.log`),
  });

/** Two node proxies of a kind, one per node. */
export const pairArm =
  (flavour: Flavour, layout = ONE_CORE): MakeArm =>
  async (work, index): Promise<Arm> => {
    const pods = makePods(flavour.short, index);
    const application = await origin(pods, work, 'http1', layout);
    const folder = path.join(work, flavour.short);
    fs.mkdirSync(folder);
    await writeAuthority(await makeAuthority(), folder);
    const config = localConfig({ client: { ip: pods.clientIp, node: 'n1' }, server: { ip: pods.serverIp, node: 'n2' } });
    const proxies = startPair(flavour, flavour.short, folder, config, pods, layout);
    await answers(pods.client, pods.serverIp, `the ${flavour.name} pair`);
    const workers = layout.workers === 1 ? 'one worker each' : `${layout.workers} workers each`;
    return armOf(flavour.name, `two ${flavour.about}, HBONE between them; ${workers}`, pods, application, proxies, layout);
  };

/** One node proxy that serves client and server, which are on one node. */
export const oneNodeArm =
  (flavour: Flavour): MakeArm =>
  async (work, index): Promise<Arm> => {
    const pods = makePodsOnOneNode(flavour.short, index);
    const application = await origin(pods, work);
    const folder = path.join(work, flavour.short);
    fs.mkdirSync(folder);
    await writeAuthority(await makeAuthority(), folder);
    const on = (ip: string) => ({ ip, node: 'n1' });
    fs.writeFileSync(path.join(folder, 'config.yaml'), localConfig({ client: on(pods.clientIp), server: on(pods.serverIp) }));
    const both = [podOf(flavour.short, 'client', pods.client), podOf(flavour.short, 'server', pods.server)];
    const proxy = startProxy(flavour, flavour.short, folder, 'n1', both);
    await answers(pods.client, pods.serverIp, `the ${flavour.name} node proxy`);
    return armOf(flavour.name, `one of ${flavour.about}, serving both pods`, pods, application, [proxy]);
  };

export const LATEEN: Flavour = {
  name: 'lateen',
  short: 'lt',
  about: 'Lateen’s node proxies (shared mode; one ALLOW policy, metrics and access log on)',
  command: [LAUNCHER, 'proxy', 'ztunnel'],
};

/** Undefined unless `ZTUNNEL_BIN` is set. */
export const ISTIO: Flavour | undefined = process.env['ZTUNNEL_BIN']
  ? {
      name: 'ztunnel',
      short: 'zt',
      about: 'real ztunnels (`ZTUNNEL_BIN`; the same configuration, access log on)',
      command: [process.env['ZTUNNEL_BIN'], 'proxy', 'ztunnel'],
    }
  : undefined;
