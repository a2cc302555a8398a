/** The controllers of the embedded cluster, all in one process. */
import { Informer, KubeClient, type KubeObject, NodeKind, type Resource } from '../../platform/kubernetes/index.ts';
import { processLogging } from '../../platform/telemetry/index.ts';
import { insideConfig, keysWritten } from '../client-config.ts';
import { clusterName, clusterPaths, readConfig } from '../config.ts';
import { messageOf } from '../error.ts';
import { EventRecorder } from '../events.ts';
import { startAutoscalers } from './autoscaler.ts';
import type { ControllerContext } from './context.ts';
import { startDaemonSets } from './daemon-set.ts';
import { startDeployments } from './deployment.ts';
import { startDisruptionBudgets } from './disruption.ts';
import { startEndpointSlices } from './endpoint-slice.ts';
import { startGarbageCollector } from './garbage-collector.ts';
import { startJobs } from './job.ts';
import { startNodeLifecycle } from './node-lifecycle.ts';
import { startReplicaSets } from './replica-set.ts';
import { startScheduler } from './scheduler.ts';

const KEYS_WAIT_MS = 20_000;

export async function runControllers(env: NodeJS.ProcessEnv): Promise<number> {
  const paths = clusterPaths(env, clusterName(env));
  const log = processLogging().logger('controllers');
  await keysWritten(paths, { kind: 'controllers' }, KEYS_WAIT_MS);
  const client = new KubeClient(insideConfig(paths, { kind: 'controllers' }), 'lateen-controllers');
  const stop = new AbortController();
  const ended = Promise.withResolvers<void>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => ended.resolve());

  const informers = new Map<string, Informer<KubeObject>>();
  const context: ControllerContext = {
    client,
    log,
    signal: stop.signal,
    events: new EventRecorder(client, 'lateen-controllers', 'lateen'),
    informer<T extends KubeObject>(resource: Resource<T>): Informer<T> {
      const key = `${resource.group}/${resource.plural}`;
      let informer = informers.get(key);
      if (informer === undefined) {
        const onError = (error: Error, delayMs: number): void =>
          log.warn('watch interrupted', { what: resource.plural, error: error.message, retryMs: Math.round(delayMs) });
        informer = new Informer<T>(client, resource, { signal: stop.signal, onError }) as unknown as Informer<KubeObject>; // one list per kind, typed by its key
        informers.set(key, informer);
      }
      return informer as unknown as Informer<T>;
    },
  };
  startScheduler(context);
  startReplicaSets(context);
  startDeployments(context);
  startDaemonSets(context);
  startEndpointSlices(context);
  startJobs(context);
  startDisruptionBudgets(context);
  startAutoscalers(context);
  startNodeLifecycle(context);
  startGarbageCollector(context);
  for (const informer of informers.values()) informer.start();
  void dropFormerNodes(client, readConfig(paths)?.nodes ?? 0).catch((error: unknown) =>
    log.warn('former nodes could not be removed', { error: messageOf(error) }),
  );
  log.info('controllers started');
  await ended.promise;
  stop.abort(new Error('the controllers end'));
  return 0;
}

/** A cluster kept over a `down` may come back with fewer nodes. */
async function dropFormerNodes(client: KubeClient, count: number): Promise<void> {
  for (const node of (await client.listAll(NodeKind)).items) {
    const index = Number(/^node(\d+)$/.exec(node.metadata?.name ?? '')?.[1]);
    if (Number.isInteger(index) && index > count) await client.delete(NodeKind, node.metadata?.name ?? '');
  }
}
