import type * as grpc from '@grpc/grpc-js';
import {
  type AuthorizationPolicy,
  AuthorizationPolicyKind,
  EndpointSliceKind,
  GatewayClassKind,
  GatewayKind,
  Informer,
  type KubeClient,
  type KubeObject,
  type Namespace,
  NamespaceKind,
  NetworkPolicyKind,
  NodeKind,
  objectKey,
  type PeerAuthentication,
  PeerAuthenticationKind,
  type Pod,
  PodKind,
  type Resource,
  type Service,
  type ServiceEntry,
  ServiceEntryKind,
  ServiceKind,
  WorkloadEntryKind,
} from '../platform/kubernetes/index.ts';
import { type Logger, type Logging, SharedPages } from '../platform/telemetry/index.ts';
import { Authenticator } from './ca/authenticate.ts';
import { CurrentAuthority } from './ca/current-authority.ts';
import { PodIndex } from './ca/pods.ts';
import { certificateService } from './ca/service.ts';
import { MeshCompiler } from './compile/compiler.ts';
import type { CompiledKind, CompiledKinds } from './compile/kinds.ts';
import { slimEndpointSlice, slimNamespace, slimNode, slimPod, slimService, withoutManagedFields } from './compile/slim.ts';
import type { ControlPlaneConfig } from './config.ts';
import { answerDebug } from './debug.ts';
import { bindGrpc, grpcServer, type HttpHandler, serveHttp } from './listen.ts';
import { ControlPlaneMetrics } from './metrics.ts';
import { Routing } from './plan/routing.ts';
import { Batch } from './scheduler.ts';
import { ExtensionStatus } from './status/extensions.ts';
import { NetworkPolicyProblems } from './status/network-policies.ts';
import { writeStatus } from './status/writer.ts';
import type { WaypointDeployer } from './waypoint/deployer.ts';
import { watchWaypoints } from './waypoint/watch.ts';
import { Distribution } from './xds/distribution.ts';

/** Long enough to compile a rollout's burst once, short against what a push costs. */
const COMPILE_DELAY_MS = 3;
/** Conditions are for people; acknowledgements of many proxies are written together. */
const STATUS_DELAY_MS = 100;

/** istiod's job in one object: watch, compile, push, sign, report. */
export class ControlPlane {
  readonly metrics = new ControlPlaneMetrics();
  readonly #config: ControlPlaneConfig;
  readonly #client: KubeClient;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  readonly #compiler: MeshCompiler;
  readonly #pods = new PodIndex();
  readonly #authenticator: Authenticator;
  readonly #authority: CurrentAuthority;
  readonly #distribution: Distribution;
  readonly #informers: Informer<KubeObject>[] = [];
  readonly #namespaces: Informer<Namespace>;
  readonly #policies: Informer<AuthorizationPolicy>;
  readonly #peers: Informer<PeerAuthentication>;
  /** Undefined where NetworkPolicies are not looked at. */
  readonly #networkPolicyProblems: NetworkPolicyProblems | undefined;
  readonly #services: Informer<Service>;
  readonly #entries: Informer<ServiceEntry>;
  readonly #waypoints: WaypointDeployer;
  readonly #routing: Routing;
  readonly #extensions: ExtensionStatus;
  readonly #compile: Batch;
  readonly #status: Batch;
  #isReady = false;
  #grpc: grpc.Server | undefined;
  #http: Bun.Server<undefined>[] = [];

  constructor(config: ControlPlaneConfig, client: KubeClient, logging: Logging) {
    this.#config = config;
    this.#client = client;
    this.#log = logging.logger('controlplane');
    this.#compiler = new MeshCompiler(config, (kind, key, error) =>
      this.#log.error(`${kind} ${key} cannot be compiled and keeps its last state: ${error.message}`),
    );
    this.#authenticator = new Authenticator(client);
    const failed = (what: string) => (error: Error) => this.#log.error(`${what}: ${error.message}`);
    this.#compile = new Batch(COMPILE_DELAY_MS, () => this.#compileNow(), failed('compilation failed'));
    this.#status = new Batch(STATUS_DELAY_MS, () => this.#writeStatus(), failed('status conditions were not written'));
    this.#distribution = new Distribution({
      authenticator: this.#authenticator,
      metrics: this.metrics,
      onProxiesChanged: () => this.#statusChanged(),
      log: this.#log,
      xdsLog: logging.logger('controlplane::xds'),
    });
    const pods = this.#watchPods();
    this.#namespaces = this.#watch('Namespace', NamespaceKind, slimNamespace);
    this.#watch('Node', NodeKind, slimNode);
    this.#services = this.#watch('Service', ServiceKind, slimService);
    this.#watch('EndpointSlice', EndpointSliceKind, slimEndpointSlice);
    this.#policies = this.#watch('AuthorizationPolicy', AuthorizationPolicyKind, withoutManagedFields, true);
    this.#peers = this.#watch('PeerAuthentication', PeerAuthenticationKind, withoutManagedFields, true);
    if (config.networkPolicies)
      this.#networkPolicyProblems = new NetworkPolicyProblems({
        client,
        policies: this.#watch('NetworkPolicy', NetworkPolicyKind, withoutManagedFields),
        problemsOf: (key) => this.#compiler.networkPolicy(key)?.problems,
        count: this.metrics.networkPolicyProblems,
        log: logging.logger('controlplane::networkpolicy'),
      });
    this.#entries = this.#watch('ServiceEntry', ServiceEntryKind, withoutManagedFields, true);
    this.#watch('WorkloadEntry', WorkloadEntryKind, withoutManagedFields, true);
    this.#routing = new Routing({
      client,
      view: this.#compiler.view,
      plans: this.#distribution.plans,
      connections: () => this.#distribution.server.connections,
      informer: (resource) => this.#informer(resource, withoutManagedFields, { optional: true }),
      onChange: (kind, event) => this.#changed(kind, event),
      onWrite: (result, error) => this.#statusWritten(result, error),
      onAttachedRoutes: (waypoint) => this.#waypoints.request(waypoint),
      log: logging.logger('controlplane::routing'),
    });
    const gateways = this.#watch('Gateway', GatewayKind, withoutManagedFields, true);
    const classes = this.#watch('GatewayClass', GatewayClassKind, withoutManagedFields, true);
    this.#extensions = new ExtensionStatus({
      client,
      rootNamespace: config.rootNamespace,
      gateways,
      classes,
      pods,
      informer: (resource) => this.#informer(resource, withoutManagedFields, { optional: true }),
      onWrite: (result, error) => this.#statusWritten(result, error),
      log: logging.logger('controlplane::extensions'),
    });
    this.#waypoints = watchWaypoints({
      client,
      context: { ...config, image: config.waypointImage },
      gateways,
      classes,
      pods,
      signal: this.#abort.signal,
      informer: (resource, transform, scope) => this.#informer(resource, transform, scope),
      attachedRoutes: (waypoint) => this.#routing.attachedRoutes(waypoint),
      log: logging.logger('controlplane::waypoint'),
    });
    this.#authority = new CurrentAuthority({
      client,
      config,
      namespaces: this.#namespaces,
      informer: (resource, scope) => this.#informer(resource, withoutManagedFields, scope),
      rootExpiry: this.metrics.rootExpiry,
      log: this.#log,
    });
  }

  get isReady(): boolean {
    return this.#isReady;
  }
  get rootPem(): string {
    return this.#authority.rootPem;
  }
  /** The gRPC port in use, once started. */
  xdsPort = 0;
  /** The debug port in use, once started. */
  httpPort = 0;

  /** Loads or makes the CA, listens, watches; resolves when listening. Streams wait for the first compilation. */
  async start(): Promise<void> {
    await this.#authority.load();
    await this.#listen();
    for (const informer of this.#informers) informer.start();
    void Promise.all(this.#informers.map((informer) => informer.synced)).then(
      () => this.#open(),
      () => {}, // stopped before it was ready
    );
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error('the control plane is stopping'));
    for (const batch of [this.#compile, this.#status]) batch.stop();
    this.#waypoints.stop();
    this.#routing.stop();
    this.#extensions.stop();
    this.#authority.stop();
    for (const server of this.#http) await server.stop(true);
    this.#grpc?.forceShutdown();
  }

  #informer<T extends KubeObject>(
    resource: Resource<T>,
    transform: (object: T) => T,
    scope: { namespace?: string; fieldSelector?: string; labelSelector?: string; optional?: boolean } = {},
  ): Informer<T> {
    const informer = new Informer<T>(this.#client, resource, {
      ...scope,
      signal: this.#abort.signal,
      transform,
      onError: (error, delayMs) => this.#log.warn(`watching ${resource.plural}: ${error.message}`, { retry_ms: Math.round(delayMs) }),
    });
    this.#informers.push(informer as unknown as Informer<KubeObject>); // only started and awaited there
    return informer;
  }

  #watch<K extends CompiledKind>(
    kind: K,
    resource: Resource<CompiledKinds[K]>,
    transform: (object: CompiledKinds[K]) => CompiledKinds[K],
    optional = false,
  ): Informer<CompiledKinds[K]> {
    const changed = (event: string) => this.#changed(kind, event);
    return this.#informer<CompiledKinds[K]>(resource, transform, { optional }).addHandlers({
      onAdd: (object) => {
        this.#compiler.upsert(kind, object);
        changed('add');
      },
      onUpdate: (object) => {
        this.#compiler.upsert(kind, object);
        changed('update');
      },
      onDelete: (object) => {
        this.#compiler.remove(kind, objectKey(object));
        changed('delete');
      },
    });
  }

  #changed(kind: string, event: string): void {
    this.metrics.events.labels({ type: kind, event }).inc();
    if (this.#isReady) this.#compile.request();
  }

  #watchPods(): Informer<Pod> {
    const upsert = (pod: Pod) => this.#pods.upsert(pod);
    return this.#watch('Pod', PodKind, slimPod).addHandlers({
      onAdd: upsert,
      onUpdate: upsert,
      onDelete: (pod) => this.#pods.remove(objectKey(pod)),
    });
  }

  #open(): void {
    this.#compileNow();
    this.#isReady = true;
    this.#distribution.server.open();
    this.#waypoints.open();
    this.#routing.open();
    this.#extensions.open();
    this.#authority.open();
    this.#status.request();
    const { addresses, authorizations } = this.#distribution;
    this.#log.info('ready', { addresses: addresses.size, policies: authorizations.size });
    if (this.#compiler.isDirty || this.#routing.isDirty) this.#compile.request();
  }

  #compileNow(): void {
    if (!this.#compiler.isDirty && !this.#routing.isDirty) return;
    const started = performance.now();
    const { addresses, authorizations, networkPolicies, ...changed } = this.#compiler.flush();
    const plans = this.#routing.flush(changed);
    const changes = this.#distribution.apply({ addresses, authorizations, networkPolicies, plans }, started);
    this.#networkPolicyProblems?.update(networkPolicies.keys());
    this.metrics.compileTime.observe((performance.now() - started) / 1000);
    if (this.#isReady) this.#status.request();
    this.#extensions.request();
    this.#log.debug(`compiled ${changes} changed resources`);
    // What pods are to policies that are gone is dropped in a second step.
    if (this.#isReady && this.#compiler.isDirty) this.#compile.request();
  }

  #statusChanged(): void {
    this.#status.request();
    this.#routing.requestStatus();
  }

  async #writeStatus(): Promise<void> {
    if (!this.#isReady) return;
    await writeStatus({
      client: this.#client,
      compiler: this.#compiler,
      authorizations: this.#distribution.authorizations,
      connections: () => this.#distribution.server.connections,
      policies: this.#policies,
      peers: this.#peers,
      services: this.#services,
      entries: this.#entries,
      namespaces: this.#namespaces,
      rootNamespace: this.#config.rootNamespace,
      onWrite: (result, error) => this.#statusWritten(result, error),
    });
  }

  #statusWritten(result: 'written' | 'conflict' | 'failed', error?: Error): void {
    this.metrics.statusWrites.labels({ result }).inc();
    if (result === 'failed') this.#log.warn(`a status condition was not written: ${error?.message ?? ''}`);
  }

  async #listen(): Promise<void> {
    const { bindAddress, xdsPort, httpPort, monitoringPort } = this.#config;
    const server = grpcServer();
    const ca = certificateService({
      authenticator: this.#authenticator,
      authority: () => this.#authority.authority,
      pods: this.#pods,
      rules: this.#config,
      defaultTtlSeconds: this.#config.defaultCertTtlSeconds,
      maxTtlSeconds: this.#config.maxCertTtlSeconds,
      log: this.#log,
      onResult: (code) => {
        this.metrics.csrs.inc();
        if (code === 'OK') this.metrics.certificates.inc();
        else this.metrics.certificateErrors.labels({ code }).inc();
      },
    });
    const xds = this.#distribution.server.service();
    server.addService(ca.definition, ca.implementation);
    server.addService(xds.definition, xds.implementation);
    this.xdsPort = await bindGrpc(server, bindAddress, xdsPort, this.#authority.serving);
    this.#grpc = server;
    const pages = new SharedPages();
    const fetch: HttpHandler = (request, underWay) =>
      answerDebug(request, underWay, {
        pages,
        isReady: () => this.#isReady,
        waitingFor: () =>
          this.#informers
            .filter((informer) => !informer.isSynced)
            .map((informer) => informer.resource.plural)
            .join(', ') || 'the first compilation',
        connections: () => this.#distribution.server.connections,
        stores: this.#distribution.stores,
        plans: this.#distribution.plans,
        config: { ...this.#config, trustedNodeAccounts: [...this.#config.trustedNodeAccounts] },
        metrics: this.metrics,
      });
    this.#http = [serveHttp(bindAddress, httpPort, 'HTTP_PORT', fetch), serveHttp(bindAddress, monitoringPort, 'MONITORING_PORT', fetch)];
    this.httpPort = this.#http[0]!.port ?? 0;
  }
}
