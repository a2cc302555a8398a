import {
  type ConfigMap,
  type Deployment,
  type Gateway,
  type GatewayClass,
  GatewayKind,
  type Informer,
  isConflict,
  isNotFound,
  type KubeClient,
  type KubeObject,
  objectKey,
} from '../../platform/kubernetes/index.ts';
import type { Logger } from '../../platform/telemetry/index.ts';
import { Batch } from '../scheduler.ts';
import { isWaypointClass, maintainClasses } from './gateway-classes.ts';
import { gatewayStatus, isDeployedByHand } from './gateway-status.ts';
import { infrastructureName, isOwnedBy, waypointInfrastructure } from './infrastructure.ts';
import {
  CLASS_DEFAULTS_LABEL,
  CONTROLLER_VERSION,
  CONTROLLER_VERSION_ANNOTATION,
  FIELD_MANAGER,
  MANAGED_LABEL,
  MANAGED_VALUE,
} from './names.ts';
import { GENERATED_KEYS, GENERATED_KINDS, type GeneratedKey, type GeneratedObject, withOverlays } from './overlay.ts';
import type { ParameterMaps } from './parameters.ts';
import type { InfrastructureContext } from './pod-template.ts';

export interface DeployerSources {
  readonly client: KubeClient;
  readonly context: InfrastructureContext;
  readonly gateways: Informer<Gateway>;
  readonly classes: Informer<GatewayClass>;
  /** What is there of our own making, by kind. */
  readonly generated: Readonly<Record<GeneratedKey, Informer<KubeObject>>>;
  /** ConfigMaps of the root namespace with overlays for whole classes. */
  readonly classDefaults: Informer<ConfigMap>;
  readonly parameters: ParameterMaps;
  readonly readyReplicas: (namespace: string, gateway: string) => number;
  readonly attachedRoutes: (gateway: string) => number;
  readonly log: Logger;
}

interface Applied {
  readonly digest: number | bigint;
  readonly uid: string;
  readonly generation: number | undefined;
}

/** Joins what a rollout changes in one moment. */
const DELAY_MS = 5;
/** After a refused or failed write; what was wrong may have been mended where we do not look. */
const RETRY_MS = 3_000;
/** A Service name, and a label's value. */
const NAME_LIMIT = 63;

/** Keeps for every Gateway of a waypoint class its proxies deployed and its status true. */
export class WaypointDeployer {
  readonly #sources: DeployerSources;
  readonly #dirty = new Set<string>();
  /** gateway key → kind → what was applied last. */
  readonly #applied = new Map<string, Map<GeneratedKey, Applied>>();
  readonly #retries = new Set<ReturnType<typeof setTimeout>>();
  readonly #batch: Batch;
  readonly #classBatch: Batch;
  #isOpen = false;

  constructor(sources: DeployerSources) {
    this.#sources = sources;
    this.#batch = new Batch(
      DELAY_MS,
      () => this.#reconcileDirty(),
      (error) => sources.log.error(`waypoints were not reconciled: ${error.message}`),
    );
    this.#classBatch = new Batch(
      DELAY_MS,
      () => maintainClasses(sources.client, sources.classes, timestamp()),
      (error) => {
        sources.log.warn(`the waypoint class was not maintained: ${error.message}`);
        this.#later(() => this.#classBatch.request());
      },
    );
  }

  /** Every watch has its first list: begin. */
  open(): void {
    this.#isOpen = true;
    this.#classBatch.request();
    this.requestAll();
  }

  stop(): void {
    this.#batch.stop();
    this.#classBatch.stop();
    for (const timer of this.#retries) clearTimeout(timer);
  }

  request(gateway: string): void {
    this.#dirty.add(gateway);
    if (this.#isOpen) this.#batch.request();
  }
  requestAll(): void {
    for (const gateway of this.#sources.gateways.all()) this.#dirty.add(objectKey(gateway));
    if (this.#isOpen && this.#dirty.size > 0) this.#batch.request();
  }
  classesChanged(): void {
    if (!this.#isOpen) return;
    this.#classBatch.request();
    this.requestAll();
  }

  async #reconcileDirty(): Promise<void> {
    const keys = [...this.#dirty];
    this.#dirty.clear();
    await Promise.all(
      keys.map(async (key) => {
        try {
          await this.#reconcile(key);
        } catch (error) {
          // A conflict brings its own event; anything else is tried again.
          if (!isConflict(error)) this.#sources.log.warn(`waypoint ${key} was not reconciled: ${(error as Error).message}`);
          this.#later(() => this.request(key));
        }
      }),
    );
  }

  #later(action: () => void): void {
    const timer = setTimeout(() => {
      this.#retries.delete(timer);
      action();
    }, RETRY_MS);
    timer.unref();
    this.#retries.add(timer);
  }

  async #reconcile(key: string): Promise<void> {
    const { gateways, classes, parameters, client, log } = this.#sources;
    const gateway = gateways.getByKey(key);
    if (gateway === undefined || gateway.metadata.deletionTimestamp !== undefined) {
      parameters.release(key);
      this.#applied.delete(key);
      return;
    }
    if (!isWaypointClass(classes.get('', gateway.spec.gatewayClassName))) {
      if (this.#owned(gateway).length > 0) await this.#prune(gateway, []);
      return;
    }
    const version = Number(gateway.metadata.annotations?.[CONTROLLER_VERSION_ANNOTATION] ?? 0);
    if (version > CONTROLLER_VERSION) {
      log.debug(`waypoint ${key} is managed by a controller of version ${version}`);
      return;
    }
    const own = await parameters.of(gateway);
    const defaults = [...this.#sources.classDefaults.all()].filter(
      ({ metadata }) => metadata.labels?.[CLASS_DEFAULTS_LABEL] === gateway.spec.gatewayClassName,
    );
    const maps = [...defaults, ...(own.ok && own.value !== undefined ? [own.value] : [])];
    const wanted = withOverlays(waypointInfrastructure(gateway, this.#sources.context), maps);
    const parameterProblems = [...(own.ok ? [] : [own.error]), ...(wanted.ok ? [] : wanted.error)];
    let applyProblem: string | undefined;
    const isAccepted =
      parameterProblems.length === 0 && this.#status(gateway, parameterProblems, undefined).conditions?.[0]?.status === 'True';
    if (wanted.ok && isAccepted && !isDeployedByHand(gateway)) {
      applyProblem = await this.#apply(gateway, wanted.value.objects, wanted.value.hasFixedReplicas);
      await this.#prune(gateway, wanted.value.objects);
      if (applyProblem === undefined && version !== CONTROLLER_VERSION) {
        const annotations = { [CONTROLLER_VERSION_ANNOTATION]: String(CONTROLLER_VERSION) };
        await client.patch(
          GatewayKind,
          gateway.metadata.name ?? '',
          { metadata: { annotations } },
          { namespace: gateway.metadata.namespace ?? '' },
        );
      }
    } else if (isDeployedByHand(gateway)) await this.#prune(gateway, []);
    await this.#writeStatus(gateway, this.#status(gateway, parameterProblems, applyProblem));
    if (applyProblem !== undefined) this.#later(() => this.request(key));
  }

  #status(gateway: Gateway, parameterProblems: readonly string[], applyProblem: string | undefined): NonNullable<Gateway['status']> {
    const { name = '', namespace = '' } = gateway.metadata;
    return gatewayStatus(
      gateway,
      {
        clusterDomain: this.#sources.context.clusterDomain,
        readyReplicas: this.#sources.readyReplicas(namespace, name),
        attachedRoutes: this.#sources.attachedRoutes(objectKey(gateway)),
        parameterProblems,
        ...(applyProblem !== undefined && { applyProblem }),
      },
      timestamp(),
    );
  }

  async #writeStatus(gateway: Gateway, next: NonNullable<Gateway['status']>): Promise<void> {
    const { addresses, conditions, listeners } = gateway.status ?? {};
    if (Bun.deepEquals(next, { ...(addresses !== undefined && { addresses }), conditions, listeners })) return;
    const { name = '', namespace = '', uid } = gateway.metadata;
    try {
      await this.#sources.client.patchStatus(
        GatewayKind,
        name,
        { metadata: { uid }, status: { ...next, addresses: next.addresses ?? null } },
        { namespace },
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** Applies what differs from what was applied last; answers why something could not be. */
  async #apply(gateway: Gateway, objects: readonly GeneratedObject[], hasFixedReplicas: boolean): Promise<string | undefined> {
    const { generated, client } = this.#sources;
    const name = infrastructureName(gateway);
    if (name.length > NAME_LIMIT || (gateway.metadata.name ?? '').length > NAME_LIMIT)
      return `the name is longer than ${NAME_LIMIT} characters, more than a Service's name or a label may have`;
    const applied = this.#applied.get(objectKey(gateway)) ?? new Map<GeneratedKey, Applied>();
    this.#applied.set(objectKey(gateway), applied);
    for (const { key, object } of objects) {
      const { name: own = '', namespace = '' } = object.metadata ?? {};
      const live = generated[key].get(namespace, own);
      const wanted =
        key === 'deployment' && !hasFixedReplicas ? withReplicasOf(object as Deployment, live as Deployment | undefined) : object;
      const digest = Bun.hash(JSON.stringify(wanted));
      const last = applied.get(key);
      if (live !== undefined && last?.digest === digest && last.uid === live.metadata?.uid && last.generation === live.metadata.generation)
        continue;
      if (live === undefined || !isOwnedBy(live, gateway)) {
        const other = await this.#foreign(gateway, key, namespace, own);
        // An account somebody made is used as it is.
        if (other !== undefined && key === 'serviceAccount') continue;
        if (other !== undefined) return other;
      }
      try {
        const after = await client.apply<KubeObject>(GENERATED_KINDS[key], wanted, { fieldManager: FIELD_MANAGER, force: true });
        applied.set(key, { digest, uid: after.metadata?.uid ?? '', generation: after.metadata?.generation });
      } catch (error) {
        return `${GENERATED_KINDS[key].kind} ${namespace}/${own} could not be applied: ${(error as Error).message}`;
      }
    }
    return undefined;
  }

  /** Says so when an object of this name is not of our making for this Gateway. */
  async #foreign(gateway: Gateway, key: GeneratedKey, namespace: string, name: string): Promise<string | undefined> {
    const { kind } = GENERATED_KINDS[key];
    try {
      const found = await this.#sources.client.get(GENERATED_KINDS[key], name, { namespace });
      if (isOwnedBy(found, gateway)) return undefined;
      const owner = found.metadata?.ownerReferences?.find((candidate) => candidate.kind === 'Gateway');
      // What a Gateway of this name that was deleted and made again left behind is about to be collected; it is taken over.
      if (owner?.name === gateway.metadata.name && found.metadata?.labels?.[MANAGED_LABEL] === MANAGED_VALUE) return undefined;
      return `${kind} ${namespace}/${name} exists and was not made for this Gateway; rename the Gateway or set the annotation gateway.istio.io/name-override`;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  #owned(gateway: Gateway): { readonly key: GeneratedKey; readonly object: KubeObject }[] {
    return GENERATED_KEYS.flatMap((key) =>
      [...this.#sources.generated[key].inNamespace(gateway.metadata.namespace ?? '')]
        .filter((object) => isOwnedBy(object, gateway))
        .map((object) => ({ key, object })),
    );
  }

  /** Removes what was made for this Gateway and is not wanted any more. */
  async #prune(gateway: Gateway, wanted: readonly GeneratedObject[]): Promise<void> {
    for (const { key, object } of this.#owned(gateway)) {
      if (wanted.some((candidate) => candidate.key === key && candidate.object.metadata?.name === object.metadata?.name)) continue;
      const { name = '', namespace = '', uid = '' } = object.metadata ?? {};
      await this.#sources.client
        .delete(GENERATED_KINDS[key], name, { namespace, propagationPolicy: 'Background', preconditions: { uid } })
        .catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
      this.#applied.get(objectKey(gateway))?.delete(key);
    }
  }
}

/** Whoever scales the Deployment (its autoscaler, a person) is not overruled. */
function withReplicasOf(wanted: Deployment, live: Deployment | undefined): Deployment {
  const replicas = live?.spec?.replicas;
  return replicas === undefined ? wanted : { ...wanted, spec: { ...wanted.spec, replicas } };
}

const timestamp = (): string => new Date().toISOString().replace(/\.\d+Z$/, 'Z');
