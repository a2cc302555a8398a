/** The node runtime: what kubelet, kube-proxy and the cluster DNS are to a real node, in one process inside the node's network namespace. */
import fs from 'node:fs';
import path from 'node:path';
import {
  ConfigMapKind,
  EndpointSliceKind,
  Informer,
  KubeClient,
  type KubeObject,
  PodKind,
  type Resource,
  SecretKind,
  ServiceKind,
} from '../../platform/kubernetes/index.ts';
import { processLogging } from '../../platform/telemetry/index.ts';
import { insideConfig, keysWritten } from '../client-config.ts';
import { clusterName, clusterPaths, NETWORK, readConfig } from '../config.ts';
import { EventRecorder } from '../events.ts';
import { INSTALL_DIR } from '../program.ts';
import { systemPath } from '../supervisor/preflight.ts';
import { DnsServer } from './dns/server.ts';
import { AddressPool } from './ipam.ts';
import { LogKeeper } from './log-keeper.ts';
import type { NodeContext } from './node-context.ts';
import { PodManager } from './pod-manager.ts';
import { ServiceProxy } from './proxy/service-proxy.ts';
import { keepRegistered } from './registration.ts';
import { serveKubelet } from './server.ts';

const KEYS_WAIT_MS = 20_000;

export async function runNode(env: NodeJS.ProcessEnv): Promise<number> {
  const paths = clusterPaths(env, clusterName(env));
  const name = env['LATEEN_NODE_NAME'] ?? '';
  const index = Number(env['LATEEN_NODE_INDEX']);
  const runDir = env['LATEEN_NODE_RUN_DIR'] ?? '';
  const hostDir = env['LATEEN_NODE_HOST_DIR'] ?? '';
  if (name === '' || runDir === '' || hostDir === '' || !Number.isInteger(index)) {
    console.error(
      'The node runtime is started by the cluster supervisor (LATEEN_NODE_NAME, LATEEN_NODE_INDEX, LATEEN_NODE_RUN_DIR and LATEEN_NODE_HOST_DIR are not set). Use: lateen up',
    );
    return 2;
  }
  const log = processLogging().logger('node');
  const component = { kind: 'node', node: name } as const;
  await keysWritten(paths, component, KEYS_WAIT_MS);
  const config = insideConfig(paths, component);
  const client = new KubeClient(config, `lateen-node/${name}`);
  const stop = new AbortController();
  const ended = Promise.withResolvers<void>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => ended.resolve());

  const address = NETWORK.nodeAddress(index);
  const podCidr = NETWORK.nodePodCidr(index);
  const onError = (what: string) => (error: Error, delayMs: number) =>
    log.warn('watch interrupted', { what, error: error.message, retryMs: Math.round(delayMs) });
  const informer = <T extends KubeObject>(resource: Resource<T>, fieldSelector?: string) =>
    new Informer(client, resource, {
      signal: stop.signal,
      onError: onError(resource.plural),
      ...(fieldSelector !== undefined && { fieldSelector }),
    });
  const pods = informer(PodKind, `spec.nodeName=${name}`);
  const configMaps = informer(ConfigMapKind);
  const secrets = informer(SecretKind);
  const services = informer(ServiceKind);
  const slices = informer(EndpointSliceKind);

  fs.mkdirSync(path.join(runDir, 'pods'), { recursive: true });
  const PATH = systemPath(env);
  const context: NodeContext = {
    client,
    nodeName: name,
    nodeIP: address,
    gateway: NETWORK.nodeGateway(index),
    runDir,
    hostDir,
    podsDir: path.join(paths.pods, name),
    addresses: new AddressPool(podCidr, path.join(runDir, 'addresses.json')),
    sources: {
      configMap: (namespace, object) => configMaps.get(namespace, object),
      secret: (namespace, object) => secrets.get(namespace, object),
      token: ({ namespace, serviceAccount, audience, expirationSeconds, pod }) =>
        client.requestToken(namespace, serviceAccount, {
          audiences: audience === undefined ? [] : [audience],
          expirationSeconds,
          boundPod: pod,
        }),
      caPem: config.caPem ?? '',
    },
    events: new EventRecorder(client, 'kubelet', name),
    log,
    env: { PATH },
    // The user's variables stay outside, but programs a manifest names are found as the user would find them.
    containerEnv: { PATH: `${PATH}:${path.join(INSTALL_DIR, 'node_modules/.bin')}`, HOME: env['HOME'] ?? '/' },
    images: () => readConfig(paths)?.images ?? {},
  };

  const manager = new PodManager(context, pods);
  manager.adopt();
  const dns = new DnsServer(services, slices, log);
  const proxy = new ServiceProxy(services, slices, name, context.env, log);
  await dns.listen(NETWORK.dnsService);
  for (const kind of [configMaps, secrets])
    kind.addHandlers({ onAdd: () => manager.sourcesChanged(), onUpdate: () => manager.sourcesChanged() });
  proxy.start();
  manager.start();
  const server = serveKubelet(context, manager, env['KUBELET_TOKEN_FILE'] ?? '');
  const logs = new LogKeeper(manager);
  for (const each of [configMaps, secrets, services, slices]) each.start();
  // A pod that is seen before its ConfigMaps would be told that they do not exist.
  void Promise.all([configMaps.synced, secrets.synced]).then(
    () => pods.start(),
    () => {}, // stopped before
  );
  // Ready means that pods are taken up and services work, not only that the process runs.
  const ready = Promise.all([pods.synced, configMaps.synced, secrets.synced, proxy.written]);
  void ready
    .then(() => keepRegistered(client, { name, index, address, podCidr }, stop.signal, log))
    .then(
      () => log.info('node registered', { node: name }),
      () => {},
    ); // stopped before it was ready

  await ended.promise;
  stop.abort(new Error('the node runtime ends'));
  await server.stop(true);
  logs.stop();
  dns.close();
  proxy.stop();
  await manager.abandon();
  return 0;
}
