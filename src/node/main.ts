/** `lateen node-agent`: istio-cni's job on one node. */
import { KubeClient, loadKubeConfig } from '../platform/kubernetes/index.ts';
import { metricsResponse, processLogging, Registry, SharedPages } from '../platform/telemetry/index.ts';
import { Agent } from './agent.ts';
import { agentMetrics } from './agent-metrics.ts';
import { KubePodWriter } from './annotate.ts';
import { type AgentConfig, readConfig } from './config.ts';
import { NetnsFinder } from './netns-finder.ts';
import { startPluginServer } from './plugin-server.ts';
import { PodWatch } from './pod-watch.ts';
import { HostProbeRules } from './probe-rules.ts';
import { ZdsServer } from './zds-server.ts';

/**
 * Runs until SIGTERM or SIGINT; the exit code. Rules, annotations and the proxy's pods stay when the agent ends, however it ends: the next one
 * finds them again.
 */
export async function runNodeAgent(env: NodeJS.ProcessEnv): Promise<number> {
  const log = processLogging().logger('node');
  const config = readConfig(env);
  if (!config.ok) {
    for (const problem of config.error) log.error(`configuration: ${problem}`);
    return 2;
  }
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  try {
    const running = await startNodeAgent(config.value, env, stop.signal);
    if (!stop.signal.aborted) await new Promise((resolve) => stop.signal.addEventListener('abort', resolve, { once: true }));
    await running.stop();
    return 0;
  } catch (error) {
    if (stop.signal.aborted) return 0;
    log.error('the node agent ends', { error: (error as Error).message });
    return 1;
  }
}

async function startNodeAgent(
  config: AgentConfig,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<{ readonly stop: () => Promise<void> }> {
  const logging = processLogging();
  const log = logging.logger('node');
  const metrics = agentMetrics(new Registry());
  const client = new KubeClient(loadKubeConfig(env), 'lateen-node-agent');
  const writer = new KubePodWriter(client, config.node, log);
  const finder = new NetnsFinder();
  const agent = new Agent({
    log,
    metrics,
    writer,
    probes: new HostProbeRules(config.probes),
    rules: config.rules,
    findNamespace: (uid, ips) => finder.find(uid, ips),
    drainLimitMs: config.drainLimitMs,
  });
  const watch = new PodWatch({ client, node: config.node, agent, writer, rules: config, log, signal });
  let zds: ZdsServer | undefined;
  const pages = new SharedPages();
  const http = Bun.serve({
    port: config.port,
    fetch: (request, server) => {
      const { pathname } = new URL(request.url);
      if (pathname === '/healthz') return new Response('ok\n');
      if (pathname === '/readyz')
        return watch.isSynced && zds
          ? new Response('ready\n')
          : new Response('not ready: the first lists are not complete\n', { status: 503 });
      if (pathname === '/metrics') return metricsResponse(() => metrics.registry, request, pages, server.pendingRequests);
      return new Response('not found\n', { status: 404 });
    },
  });
  // Only now may proxies connect: a snapshot without all known pods would make them drop the missing ones.
  await watch.recover();
  zds = new ZdsServer({
    path: config.zdsPath,
    log: logging.logger('zds'),
    snapshot: () => agent.snapshot(),
    onSynced: (refused) => agent.proxySynced(refused),
    onConnectedChange: (connected) => agent.proxiesChanged(connected),
  });
  agent.start(zds);
  const handlers = {
    add: (event: Parameters<PodWatch['admit']>[0]) => watch.admit(event),
    del: (event: { uid: string }) => agent.dismiss(event.uid),
  };
  const plugin = startPluginServer({ path: config.pluginPath, handlers, metrics, log: logging.logger('plugin') });
  log.info('node agent is running', { node: config.node, zds: config.zdsPath, plugin: config.pluginPath, port: config.port });
  return {
    async stop() {
      await plugin.stop();
      agent.stop();
      zds.close();
      await http.stop(true);
      log.info('node agent ends; redirect rules and annotations stay');
    },
  };
}
