import {
  type AuthorizationPolicy,
  AuthorizationPolicyKind,
  type Informer,
  isConflict,
  isNotFound,
  type KubeClient,
  type KubeObject,
  type Namespace,
  objectKey,
  type PeerAuthentication,
  PeerAuthenticationKind,
  type Resource,
  type Service,
  type ServiceEntry,
  ServiceEntryKind,
  ServiceKind,
} from '../../platform/kubernetes/index.ts';
import type { MeshCompiler } from '../compile/compiler.ts';
import { giveAddresses } from '../compile/entry-addresses.ts';
import { convertedPeerKey } from '../compile/policies.ts';
import { AUTHORIZATION_TYPE, peerAuthenticationConflicts } from '../wire.ts';
import type { Connection } from '../xds/connection.ts';
import type { ResourceStore } from '../xds/store.ts';
import {
  authorizationConditions,
  entryConditions,
  mergeConditions,
  type ProxyState,
  peerConditions,
  type WantedCondition,
} from './conditions.ts';

type Conditions = Parameters<typeof mergeConditions>[0];
interface WithStatus extends KubeObject {
  status?: { conditions?: NonNullable<Conditions>; observedGeneration?: number };
}

export interface StatusSources {
  readonly client: KubeClient;
  readonly compiler: MeshCompiler;
  readonly authorizations: ResourceStore;
  readonly connections: () => Iterable<Connection>;
  readonly policies: Informer<AuthorizationPolicy>;
  readonly peers: Informer<PeerAuthentication>;
  readonly services: Informer<Service>;
  readonly entries: Informer<ServiceEntry>;
  readonly namespaces: Informer<Namespace>;
  readonly rootNamespace: string;
  readonly onWrite: (result: 'written' | 'conflict' | 'failed', error?: Error) => void;
}

/** Writes at once; more would only queue in the API server. */
const PARALLEL = 8;

/** Brings the conditions of every policy, Service and ServiceEntry up to date; writes only those that say something else than before. */
export async function writeStatus(sources: StatusSources, now: () => Date = () => new Date()): Promise<void> {
  const proxies = [...sources.connections()].filter((connection) => connection.isZtunnel);
  const jobs: (() => Promise<void>)[] = [];
  const consider = <T extends WithStatus>(resource: Resource<T>, object: T, wanted: readonly WantedCondition[], more?: object) => {
    const generation = object.metadata?.generation; // Services have none
    const conditions = mergeConditions(
      object.status?.conditions,
      wanted,
      generation,
      now()
        .toISOString()
        .replace(/\.\d+Z$/, 'Z'),
    );
    if (conditions !== undefined || more !== undefined)
      jobs.push(() => write(sources, resource, object, { ...(conditions && { conditions }), ...more }, generation));
  };
  for (const policy of sources.policies.all()) {
    const key = objectKey(policy);
    const compiled = sources.compiler.policy(key);
    if (compiled !== undefined)
      consider<AuthorizationPolicy>(AuthorizationPolicyKind, policy, authorizationConditions(compiled, statesOf(key, sources, proxies)));
  }
  const older = peerAuthenticationConflicts(sources.peers.all());
  for (const policy of sources.peers.all()) {
    const key = convertedPeerKey(objectKey(policy));
    const states = sources.authorizations.get(key) === undefined ? undefined : statesOf(key, sources, proxies);
    consider<PeerAuthentication>(PeerAuthenticationKind, policy, peerConditions(policy, sources.rootNamespace, states, older.get(policy)));
  }
  for (const service of sources.services.all()) {
    const condition = sources.compiler.binding(objectKey(service))?.condition;
    if (condition !== undefined || service.status?.conditions !== undefined)
      consider<Service>(ServiceKind, service, condition === undefined ? [] : [condition]);
  }
  const given = giveAddresses(sources.entries.all(), (name) => sources.namespaces.get('', name));
  for (const entry of sources.entries.all()) {
    const key = objectKey(entry);
    const addresses = given.get(key) ?? [];
    const isNews = !Bun.deepEquals(addresses, entry.status?.addresses ?? []);
    const wanted = entryConditions(entry, sources.compiler.entries.binding(key)?.condition);
    consider<ServiceEntry>(ServiceEntryKind, entry, wanted, isNews ? { addresses } : undefined);
  }
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await job();
    }),
  );
}

function statesOf(key: string, sources: StatusSources, proxies: readonly Connection[]): ProxyState[] {
  const changedAt = sources.authorizations.get(key)?.changedAt ?? 0;
  return proxies
    .map((connection): ProxyState => {
      const subscription = connection.subscriptions.get(AUTHORIZATION_TYPE);
      const reason = subscription?.rejected.get(key) ?? subscription?.rejected.get('*');
      if (reason !== undefined) return { proxy: connection.proxy, state: 'rejected', reason };
      return { proxy: connection.proxy, state: (subscription?.acknowledged ?? -1) >= changedAt ? 'acknowledged' : 'pending' };
    })
    .sort((a, b) => (a.proxy < b.proxy ? -1 : 1));
}

async function write<T extends WithStatus>(
  sources: StatusSources,
  resource: Resource<T>,
  object: T,
  status: object,
  generation: number | undefined,
): Promise<void> {
  const { name, namespace, resourceVersion } = object.metadata ?? {};
  try {
    // The resourceVersion makes it conditional: whoever changed the object meanwhile brings us back here with the new one.
    await sources.client.patchStatus(
      resource,
      name!,
      { metadata: { resourceVersion }, status: { ...status, ...(generation !== undefined && { observedGeneration: generation }) } },
      { namespace: namespace! },
    );
    sources.onWrite('written');
  } catch (error) {
    if (isNotFound(error)) return; // deleted meanwhile
    sources.onWrite(isConflict(error) ? 'conflict' : 'failed', error as Error);
  }
}
