/** The waypoint as a whole: starts its parts in order, and ends them in order. */
import { formatIdentity, MeshRegistry, type RegistryChange, type Workload } from '../../mesh/index.ts';
import type { LocalConfig } from '../../mesh/local/index.ts';
import { onConnectionFault } from '../../platform/net/index.ts';
import { type Counter, type Logger, type Logging, type LogSink, Registry, SpanExporter } from '../../platform/telemetry/index.ts';
import { CLIENT_SETTINGS, type Http2Settings, SERVER_SETTINGS } from '../../protocol/index.ts';
import { CaClient } from '../core/ca-client.ts';
import type { WorkloadCertificate } from '../core/certificate.ts';
import { CertificateManager } from '../core/certificate-manager.ts';
import type { CrlFile } from '../core/crl-file.ts';
import { endOf } from '../core/end-reason.ts';
import { ClientTunnel } from '../core/hbone-client.ts';
import { HbonePool, type PoolDestination } from '../core/hbone-pool.ts';
import { HttpServers } from '../core/http-servers.ts';
import { applyLocalXds, xdsHandlers } from '../core/mesh-state.ts';
import { OnDemandDns } from '../core/on-demand-dns.ts';
import { describeBuild, describeProcess, maxDescriptors } from '../core/process-metrics.ts';
import { Readiness } from '../core/readiness.ts';
import { systemDns } from '../core/system-dns.ts';
import { TrafficMetrics } from '../core/traffic-metrics.ts';
import { baggageHeader } from '../core/workload-baggage.ts';
import { XdsClient } from '../core/xds-client.ts';
import { AccessLog } from './access-log.ts';
import { Bindings } from './bindings.ts';
import { ClientStreams } from './client-streams.ts';
import type { Config } from './config.ts';
import { configDump } from './config-dump.ts';
import { Connector } from './connector.ts';
import type { RequestContext } from './context.ts';
import { LimitHits } from './limit-hits.ts';
import { LIMITS } from './limits.ts';
import { NetworkRules } from './network-rules.ts';
import { applyLocalPlans, planHandler } from './plan-state.ts';
import { RequestMetrics } from './request-metrics.ts';
import { Tracer } from './tracer.ts';
import type { TracingConfig } from './tracing-config.ts';
import { Traffic } from './traffic.ts';
import { TunnelServer } from './tunnel-server.ts';
import { UpstreamPool } from './upstream-pool.ts';
import { describeLoad } from './waypoint-metrics.ts';

/** How often the drain looks whether everything is done. */
const DRAIN_POLL_MS = 50;
/** Upstream tunnels, control plane, files, HTTP. */
const RESERVED_DESCRIPTORS = 512;
const XDS_TASK = 'state manager';
const IDENTITY_TASK = 'identity';
const DRAIN_TASK = 'drain';

export class Waypoint {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #access: AccessLog;
  readonly #registry = new MeshRegistry();
  readonly #readiness = new Readiness();
  readonly #ca: CaClient | undefined;
  readonly #xds: XdsClient | undefined;
  readonly #certificates: CertificateManager;
  readonly #identity: string;
  readonly #tunnelPool: HbonePool;
  readonly #traffic: Traffic;
  readonly #bindings: Bindings;
  readonly #context: RequestContext;
  readonly #streams: ClientStreams;
  readonly #server: TunnelServer;
  readonly #refusals: Counter;
  readonly #spans: SpanExporter | undefined;
  readonly #http: HttpServers;
  readonly #clientSettings: Http2Settings;
  readonly #exit = Promise.withResolvers<number>();
  readonly #logging: Logging;
  readonly #telemetry = new Registry();
  #revocation: CrlFile | undefined;
  #drained: Promise<void> | undefined;
  #self: Workload | undefined;
  #selfVersion = -1;

  /** Throws when a port is taken or a local plan cannot be used. `local`: what a local configuration says of the mesh. */
  constructor(config: Config, logging: Logging, accessSink: LogSink, local: LocalConfig | undefined) {
    this.#config = config;
    this.#log = logging.logger('waypoint');
    this.#access = new AccessLog(config.accessLog, accessSink);
    this.#logging = logging;
    const telemetry = this.#telemetry;
    describeBuild(telemetry, 'waypoint');
    describeProcess(telemetry);
    this.#refusals = telemetry.counter(
      'lateen_refused',
      'Connections, streams and requests refused before they were ones, by reason (unstable)',
      ['direction', 'reason'],
    );
    const faults = telemetry.counter('lateen_connection_faults', 'Connections ended by a bug of this proxy (unstable)');
    onConnectionFault((error) => {
      faults.inc();
      this.#log.error('a connection was ended by a bug', { error: error.stack ?? error.message });
    });
    const { trustDomain, podNamespace: namespace, serviceAccount, streamWindow, connectionWindow, frameSize: maxFrameSize } = config;
    this.#identity = formatIdentity({ trustDomain, namespace, serviceAccount });
    this.#clientSettings = {
      ...CLIENT_SETTINGS,
      streamWindow,
      connectionWindow,
      maxFrameSize,
      assumedMaxConcurrentStreams: config.poolMaxStreams,
    };
    const ca = config.ca && new CaClient(config.ca, config, false);
    this.#ca = ca;
    this.#certificates = new CertificateManager({
      fetch: (identity) => (ca ? ca.fetch(identity) : Promise.reject(new Error('no CA: CA_ADDRESS is empty'))),
      logger: logging.logger('identity'),
    });
    this.#tunnelPool = new HbonePool({
      maxStreams: config.poolMaxStreams,
      releaseAfter: config.poolRelease,
      dial: (to, pool) => this.#dialTunnel(to, pool),
    });
    this.#traffic = new Traffic(this.#registry, () => this.#itself());
    this.#bindings = new Bindings(this.#registry, () => this.#itself());
    const hasLeft = (service: string): boolean => this.#bindings.hasLeft(service);
    const connector = new Connector({
      pool: this.#tunnelPool,
      identity: () => this.#identity,
      baggage: () => {
        const self = this.#itself();
        return self === undefined ? '' : baggageHeader(self);
      },
      dialOptions: this.#dialOptions(),
      tls: config.tls.outside,
      hostNames: new OnDemandDns({ source: systemDns(), ipv6: config.ipv6, now: () => performance.now(), random: Math.random }),
    });
    this.#spans = config.tracing && this.#exporter(config.tracing, telemetry);
    const connections = new TrafficMetrics(telemetry);
    const http2Settings = applicationHttp2();
    const limits = new LimitHits(telemetry);
    this.#context = {
      traffic: this.#traffic,
      network: new NetworkRules(this.#registry, config.network),
      pool: new UpstreamPool({ connector, http2Settings, limits }),
      limits,
      metrics: new RequestMetrics(telemetry),
      access: this.#access,
      tracer: new Tracer({ sampler: config.tracing?.sampler, exporter: this.#spans }),
      log: this.#log,
      random: Math.random,
      idleTimeout: config.streamIdleTimeout,
      active: 0,
      maxActive: LIMITS.ACTIVE_REQUESTS,
    };
    const refused = (reason: string, client: string, message: string): void => this.#refused(reason, client, message);
    this.#streams = new ClientStreams({ context: this.#context, connector, connections, http2Settings, hasLeft, refused });
    this.#server = new TunnelServer({
      config,
      registry: this.#registry,
      bindings: this.#bindings,
      metrics: connections,
      maxSockets: Math.max(1, maxDescriptors() - RESERVED_DESCRIPTORS),
      self: () => this.#itself(),
      serve: (channel, client) => this.#streams.serve(channel, client),
      refused,
    });
    describeLoad(telemetry, () => ({
      activeRequests: this.#context.active,
      clientConnections: this.#streams.count,
      clientTunnels: this.#server.count,
      upstreamConnections: this.#context.pool.connectionCount,
      upstreamTunnels: this.#tunnelPool.tunnelCount,
      linesLost: this.#access.lost,
    }));
    if (local) applyLocalXds(this.#registry, local);
    if (config.localPlans !== undefined) applyLocalPlans(this.#traffic, config.localPlans);
    this.#registry.onChange((change) => this.#registryChanged(change));
    if (config.xds) {
      const handlers = [...xdsHandlers(this.#registry, this.#log), planHandler(this.#traffic, hasLeft)];
      this.#xds = new XdsClient(config.xds, config, handlers, logging.logger('xds'), telemetry);
      this.#readiness.wait(XDS_TASK);
    }
    this.#readiness.wait(IDENTITY_TASK);
    this.#http = new HttpServers({
      config,
      telemetry: () => telemetry,
      readiness: this.#readiness,
      logging,
      dump: () =>
        configDump({ registry: this.#registry, traffic: this.#traffic, certificates: this.#certificates, config, self: this.#itself() }),
      quit: () => this.shutdown(),
    });
  }

  /** Runs until a shutdown is over; the exit code. */
  run(): Promise<number> {
    void this.#start().catch((error: Error) => {
      this.#log.error('the waypoint cannot go on', { error: error.message });
      this.#exit.resolve(1);
    });
    return this.#exit.promise;
  }

  /**
   * Graceful: not ready at once, new connections until the node proxies know ({@link Config.drainLinger}), what is under way until the deadline. Called
   * again it waits for the same.
   */
  shutdown(): Promise<void> {
    this.#drained ??= this.#drain();
    return this.#drained;
  }

  async #start(): Promise<void> {
    if (this.#xds) {
      void this.#xds.run();
      await this.#xds.ready;
      this.#readiness.done(XDS_TASK);
    }
    const { crlPath } = this.#config;
    if (crlPath !== undefined) {
      const { startRevocation } = await import('../core/crl-file.ts');
      this.#revocation = startRevocation({ path: crlPath, logger: this.#logging.logger('crl'), telemetry: this.#telemetry });
    }
    this.#server.listen();
    const use = (certificate: WorkloadCertificate | undefined): void => {
      this.#server.use(certificate);
      this.#readiness.set(IDENTITY_TASK, certificate !== undefined);
    };
    this.#certificates.watch(this.#identity, use);
    this.#certificates.prefetch(this.#identity);
    // Loading the program leaves garbage that an idle proxy would keep for good.
    Bun.gc(true);
  }

  async #drain(): Promise<void> {
    const { terminationDeadline, drainLinger } = this.#config;
    const deadline = performance.now() + terminationDeadline;
    this.#log.info('draining', { deadline_ms: terminationDeadline, linger_ms: drainLinger });
    this.#readiness.wait(DRAIN_TASK);
    this.#streams.drain();
    await Bun.sleep(Math.min(drainLinger, terminationDeadline));
    this.#server.drain();
    this.#server.stopListening();
    const isBusy = (): boolean => this.#context.active > 0 || this.#streams.isBusy;
    for (let now = performance.now(); isBusy() && now < deadline; now = performance.now()) {
      this.#streams.endIdle(now);
      await Bun.sleep(DRAIN_POLL_MS);
    }
    if (this.#context.active > 0) this.#log.warn('ending requests at the deadline of the drain', { requests: this.#context.active });
    this.#streams.abort();
    this.#server.close();
    this.#context.pool.close();
    this.#context.network.close();
    this.#tunnelPool.close(endOf('drained'));
    this.#xds?.stop();
    this.#certificates.close();
    this.#revocation?.close();
    this.#ca?.close();
    this.#access.flush();
    await this.#spans?.close(LIMITS.SPAN_DRAIN);
    // The answer to /quitquitquit still has to go out.
    setTimeout(() => void this.#http.close().then(() => this.#exit.resolve(0)), 10);
  }

  /** The waypoint's own workload, once the control plane knows it. */
  #itself(): Workload | undefined {
    const { version } = this.#registry;
    if (this.#selfVersion !== version) {
      const { podName, podNamespace, serviceAccount, clusterId, network, instanceIp } = this.#config;
      this.#selfVersion = version;
      this.#self =
        this.#registry.workloadByInfo(podName, podNamespace, serviceAccount, clusterId) ??
        this.#registry.workloadByAddress(network, instanceIp);
    }
    return this.#self;
  }

  #registryChanged(change: RegistryChange): void {
    const now = performance.now();
    this.#traffic.registryChanged(change, now);
    for (const service of this.#bindings.registryChanged(change, now)) this.#streams.leave(service);
    this.#server.registryChanged();
    this.#context.network.changed(change);
    if (change.workloads.size > 0) this.#tunnelPool.releaseIdle((uid) => this.#registry.workload(uid)?.tunnelProtocol !== 'HBONE');
  }

  #refused(reason: string, client: string, message: string): void {
    this.#refusals.labels({ direction: 'inbound', reason }).inc();
    this.#log.warn('refused', { client, reason, error: message });
  }

  #exporter(tracing: TracingConfig, telemetry: Registry): SpanExporter {
    const { podName, podNamespace, clusterId } = this.#config;
    const { url, headers, maxQueue, maxBatch, delay, timeout, serviceName, resource } = tracing;
    return new SpanExporter(
      {
        url,
        headers,
        scope: 'lateen.waypoint',
        maxQueue,
        maxBatch,
        delay,
        timeout,
        // Istio names a proxy `<canonical service>.<namespace>`.
        resource: () => ({
          'k8s.cluster.name': clusterId,
          'k8s.namespace.name': podNamespace,
          'k8s.pod.name': podName,
          ...resource,
          'service.name': serviceName ?? resource['service.name'] ?? `${this.#itself()?.canonicalName ?? podName}.${podNamespace}`,
        }),
        onFailure: (reason) => this.#log.warn('spans are lost', { collector: new URL(url).origin, error: reason }),
        onRecovery: () => this.#log.info('the collector takes spans again', { collector: new URL(url).origin }),
      },
      telemetry,
    );
  }

  #dialOptions() {
    const { keepalive, userTimeout } = this.#config;
    return { timeout: LIMITS.CONNECT_TIMEOUT, keepalive, userTimeout, mark: undefined };
  }

  #dialTunnel(to: PoolDestination, pool: HbonePool): ClientTunnel {
    const tunnel = new ClientTunnel(this.#clientSettings, to.acceptedIdentities, pool);
    const start = (certificate: WorkloadCertificate): void =>
      tunnel.dial({ ...this.#dialOptions(), address: to.ip, port: to.port, tls: certificate.clientTls });
    const certificate = this.#certificates.current(to.sourceIdentity);
    if (certificate !== undefined) start(certificate);
    else
      this.#certificates.get(to.sourceIdentity).then(start, (error: Error) => {
        pool.onTunnelFailed(tunnel, endOf('identity-error', error.message));
        tunnel.cancel();
      });
    return tunnel;
  }
}

/** HTTP/2 that applications speak inside tunnels. The tunnel has pings, so it needs none. */
const applicationHttp2 = (): Http2Settings => ({
  ...SERVER_SETTINGS,
  maxFrameSize: 16_384,
  maxConcurrentStreams: LIMITS.HTTP2_STREAMS,
  assumedMaxConcurrentStreams: 100,
  keepaliveInterval: Number.POSITIVE_INFINITY,
  keepaliveTimeout: Number.POSITIVE_INFINITY,
});
