/** The node proxy as a whole: starts its parts in order, and ends them in order. */
import { formatIdentity, MeshRegistry, type RegistryChange, type Workload, workloadIdentity } from '../../mesh/index.ts';
import type { LocalConfig } from '../../mesh/local/index.ts';
import { onConnectionFault } from '../../platform/net/index.ts';
import { type Logging, Registry } from '../../platform/telemetry/index.ts';
import { CaClient } from '../core/ca-client.ts';
import { CertificateManager } from '../core/certificate-manager.ts';
import { HttpServers } from '../core/http-servers.ts';
import { applyLocalXds, xdsHandlers } from '../core/mesh-state.ts';
import { describeProcess, maxDescriptors } from '../core/process-metrics.ts';
import { Readiness } from '../core/readiness.ts';
import { TrafficMetrics } from '../core/traffic-metrics.ts';
import { XdsClient } from '../core/xds-client.ts';
import type { Config } from './config.ts';
import { configDump } from './config-dump.ts';
import type { ProxyContext } from './context.ts';
import { PodManager, READY_TASK } from './pod-manager.ts';
import { PodProxy } from './pod-proxy.ts';

/** How often the drain looks whether everything is done. */
const DRAIN_POLL_MS = 50;
/** Listeners, control plane, files, HTTP. */
const RESERVED_DESCRIPTORS = 512;
const XDS_TASK = 'state manager';
const PROXY_TASK = 'proxy';

export class NodeProxy {
  readonly #config: Config;
  readonly #context: ProxyContext;
  readonly #readiness = new Readiness();
  readonly #ca: CaClient | undefined;
  readonly #xds: XdsClient | undefined;
  readonly #http: HttpServers;
  readonly #exit = Promise.withResolvers<number>();
  #manager: PodManager | undefined;
  #dedicated: PodProxy | undefined;
  #drained: Promise<void> | undefined;

  /** Throws when a port is taken. `local`: what a local configuration says of the mesh. */
  constructor(config: Config, logging: Logging, local: LocalConfig | undefined) {
    this.#config = config;
    const log = logging.logger('ztunnel');
    const telemetry = new Registry();
    const registry = new MeshRegistry();
    this.#ca = config.ca && new CaClient(config.ca, config, config.mode === 'shared');
    const ca = this.#ca;
    const certificates = new CertificateManager({
      fetch: (identity) => (ca ? ca.fetch(identity) : Promise.reject(new Error('no CA: CA_ADDRESS is empty'))),
      logger: logging.logger('identity'),
    });
    this.#context = {
      config,
      registry,
      certificates,
      telemetry,
      metrics: new TrafficMetrics(telemetry),
      refusals: telemetry.counter('lateen_refused', 'Connections and streams refused before they were ones, by reason (unstable)', [
        'direction',
        'reason',
      ]),
      logging,
      access: logging.logger('access'),
      log,
      maxSockets: Math.max(1, Math.floor((maxDescriptors() - RESERVED_DESCRIPTORS) / 2)),
      dns: undefined,
      random: Math.random,
    };
    const faults = telemetry.counter('lateen_connection_faults', 'Connections ended by a bug of this proxy (unstable)');
    onConnectionFault((error) => {
      faults.inc();
      log.error('a connection was ended by a bug', { error: error.stack ?? error.message });
    });
    describeProcess(telemetry, 'ztunnel');
    if (local) applyLocalXds(registry, local);
    registry.onChange((change) => this.#registryChanged(change));
    for (const workload of registry.allWorkloads()) this.#prefetch(workload);
    if (config.xds) {
      this.#xds = new XdsClient(config.xds, config, xdsHandlers(registry, log), logging.logger('xds'), telemetry);
      this.#readiness.wait(XDS_TASK);
    }
    if (config.proxyEnabled) this.#readiness.wait(config.mode === 'shared' ? READY_TASK : PROXY_TASK);
    this.#http = new HttpServers({
      config,
      telemetry,
      readiness: this.#readiness,
      logging,
      dump: () => configDump({ registry, certificates, config, pods: this.#pods() }),
      quit: () => this.shutdown(),
    });
  }

  /** Runs until a shutdown is over; the exit code. */
  run(): Promise<number> {
    void this.#start().catch((error: Error) => this.#fatal(error));
    return this.#exit.promise;
  }

  /** Graceful: no new connections, open ones until the deadline. Called again it waits for the same. */
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
    if (this.#config.dns && this.#config.proxyEnabled) {
      const { DnsService } = await import('./dns/index.ts');
      this.#context.dns = new DnsService(this.#context, this.#config.dns);
    }
    // Loading the program leaves garbage that an idle proxy would keep for good.
    Bun.gc(true);
    if (this.#drained !== undefined || !this.#config.proxyEnabled) return;
    if (this.#config.mode === 'dedicated') {
      this.#dedicated = new PodProxy(this.#context, this.#config.dedicatedWorkload!, undefined);
      this.#dedicated.start();
      this.#readiness.done(PROXY_TASK);
      return;
    }
    this.#manager = new PodManager(this.#context, this.#readiness, (error) => this.#fatal(error));
    await this.#manager.run();
  }

  #fatal(error: Error): void {
    this.#context.log.error('the proxy cannot go on', { error: error.message });
    for (const { proxy } of this.#pods()) proxy?.close('drained');
    this.#exit.resolve(1);
  }

  async #drain(): Promise<void> {
    const { log } = this.#context;
    const deadline = performance.now() + this.#config.terminationDeadline;
    log.info('draining', { deadline_ms: this.#config.terminationDeadline });
    this.#manager?.stop();
    const pods = [...this.#pods()];
    for (const { proxy } of pods) proxy?.drain();
    const open = (): number => pods.reduce((sum, { proxy }) => sum + (proxy?.openConnections ?? 0), 0);
    while (open() > 0 && performance.now() < deadline) await Bun.sleep(DRAIN_POLL_MS);
    const left = open();
    if (left > 0) log.warn('closing connections at the deadline of the drain', { connections: left });
    for (const { proxy } of pods) proxy?.close('drained');
    this.#xds?.stop();
    this.#context.certificates.close();
    this.#ca?.close();
    // The answer to /quitquitquit still has to go out.
    setTimeout(() => void this.#http.close().then(() => this.#exit.resolve(0)), 10);
  }

  *#pods(): Generator<{ uid: string; info: Config['dedicatedWorkload'] & object; proxy: PodProxy | undefined }> {
    if (this.#dedicated) yield { uid: 'dedicated', info: this.#dedicated.info, proxy: this.#dedicated };
    if (this.#manager) yield* this.#manager.pods();
  }

  #registryChanged(change: RegistryChange): void {
    const { registry, certificates } = this.#context;
    const isGone = (uid: string): boolean => registry.workload(uid)?.tunnelProtocol !== 'HBONE';
    const workloadsTouched = change.workloads.size > 0;
    for (const { proxy } of this.#pods()) {
      if (proxy === undefined) continue;
      // A workload's own change can be a change of its list of policies.
      const ownUid = proxy.workload?.uid;
      proxy.registryChanged(change.policies.size > 0 || (ownUid !== undefined && change.workloads.has(ownUid)));
      if (workloadsTouched) proxy.pool.releaseIdle(isGone);
    }
    if (!workloadsTouched) return;
    let mayForget = false;
    for (const uid of change.workloads) {
      const workload = registry.workload(uid);
      if (workload === undefined || !this.#isMine(workload)) mayForget = true;
      else this.#prefetch(workload);
    }
    if (!mayForget) return;
    const needed = new Set(
      registry
        .allWorkloads()
        .filter((workload) => this.#isMine(workload))
        .map((workload) => formatIdentity(workloadIdentity(workload))),
    );
    for (const { identity } of [...certificates.entries()]) if (!needed.has(identity)) certificates.forget(identity);
  }

  /** Workloads of this node that use tunnels get their certificates in advance. */
  #isMine(workload: Workload): boolean {
    const { nodeName } = this.#config;
    return nodeName !== '' && workload.node === nodeName && (workload.tunnelProtocol === 'HBONE' || workload.nativeTunnel);
  }

  #prefetch(workload: Workload): void {
    if (this.#isMine(workload)) this.#context.certificates.prefetch(formatIdentity(workloadIdentity(workload)));
  }
}
