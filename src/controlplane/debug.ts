import { metricsResponse, type SharedPages } from '../platform/telemetry/index.ts';
import type { ControlPlaneMetrics } from './metrics.ts';
import type { Connection } from './xds/connection.ts';
import type { ScopedStores } from './xds/scoped.ts';
import type { ResourceStore } from './xds/store.ts';

export interface DebugSources {
  readonly isReady: () => boolean;
  /** Why not, for the answer of `/ready`. */
  readonly waitingFor: () => string;
  readonly connections: () => Iterable<Connection>;
  readonly stores: readonly ResourceStore[];
  readonly plans: ScopedStores;
  readonly config: unknown;
  readonly metrics: ControlPlaneMetrics;
  readonly pages: SharedPages;
}

/** What `/debug/syncz` says about a connected proxy. */
export interface SyncStatus {
  readonly proxy: string;
  readonly connection: string;
  readonly node: string;
  readonly connectedAt: string;
  readonly types: Readonly<
    Record<
      string,
      {
        readonly wildcard: boolean;
        readonly subscribed: number;
        readonly nonce: string;
        readonly synced: boolean;
        readonly acknowledged: number;
        readonly current: number;
        readonly rejected: Readonly<Record<string, string>>;
      }
    >
  >;
}

export function syncStatus(connections: Iterable<Connection>): SyncStatus[] {
  return [...connections].map((connection) => ({
    proxy: connection.proxy,
    connection: connection.id,
    node: connection.nodeName,
    connectedAt: new Date(connection.connectedAt).toISOString(),
    types: Object.fromEntries(
      [...connection.subscriptions].map(([typeUrl, subscription]) => {
        const current = subscription.store.generation;
        return [
          typeUrl,
          {
            wildcard: subscription.isWildcard,
            subscribed: subscription.subscribed,
            nonce: subscription.lastNonce,
            synced: subscription.acknowledged === current,
            acknowledged: subscription.acknowledged,
            current,
            rejected: Object.fromEntries(subscription.rejected),
          },
        ];
      }),
    ),
  }));
}

const versions = (store: ResourceStore): Record<string, string> =>
  Object.fromEntries([...store.all()].map((resource) => [resource.name, resource.version]));

/** `/ready`, `/debug/syncz`, `/debug/configz`, `/metrics`. */
export async function answerDebug(request: Request, underWay: number, sources: DebugSources): Promise<Response> {
  const { pathname } = new URL(request.url);
  const page = async (make: () => unknown): Promise<Response> => {
    const body = await sources.pages.get(pathname, underWay, () => JSON.stringify(make()));
    return new Response(body, { headers: { 'content-type': 'application/json;charset=utf-8' } });
  };
  if (request.method !== 'GET' && request.method !== 'HEAD') return new Response('only GET is served here\n', { status: 405 });
  switch (pathname) {
    case '/ready':
      return sources.isReady() ? new Response('ok\n') : new Response(`waiting for ${sources.waitingFor()}\n`, { status: 503 });
    case '/debug/syncz':
      return page(() => syncStatus(sources.connections()));
    case '/debug/configz':
      return page(() => ({
        config: sources.config,
        resources: Object.fromEntries(sources.stores.map((store) => [store.typeUrl, versions(store)])),
        plans: Object.fromEntries([...sources.plans.scopes()].map((waypoint) => [waypoint, versions(sources.plans.scope(waypoint))])),
      }));
    case '/metrics':
      return metricsResponse(() => sources.metrics.registry, request, sources.pages, underWay);
    default:
      return new Response('not found; try /ready, /debug/syncz, /debug/configz or /metrics\n', { status: 404 });
  }
}
