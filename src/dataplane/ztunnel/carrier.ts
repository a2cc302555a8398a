/** The part of the node proxy that carries traffic: the proxies of all pods, fed with what the mesh is and with certificates. There is one in each process that does. */
import type { MeshRegistry, RegistryChange } from '../../mesh/index.ts';
import type { SeqpacketConnection } from '../../platform/linux/index.ts';
import { onConnectionFault } from '../../platform/net/index.ts';
import type { Logging, Registry } from '../../platform/telemetry/index.ts';
import type { CertificateSource } from '../core/certificate-source.ts';
import type { CrlFile } from '../core/crl-file.ts';
import { maxDescriptors } from '../core/process-metrics.ts';
import type { Readiness } from '../core/readiness.ts';
import { TrafficMetrics } from '../core/traffic-metrics.ts';
import type { Config, WorkloadInfo } from './config.ts';
import type { ProxyContext } from './context.ts';
import { HostNames } from './host-names.ts';
import { PodManager } from './pod-manager.ts';
import { PodProxy } from './pod-proxy.ts';
import { SameNode } from './same-node.ts';
import { SelfProxy } from './self-proxy.ts';
import { SocketBudget } from './socket-budget.ts';

/** How often the drain looks whether everything is done. */
const DRAIN_POLL_MS = 50;
/** Listeners, control plane, files, HTTP. */
const RESERVED_DESCRIPTORS = 512;
export const PROXY_TASK = 'proxy';

export interface CarrierOptions {
  readonly config: Config;
  readonly registry: MeshRegistry;
  readonly certificates: CertificateSource;
  readonly telemetry: Registry;
  /** Where pods that join and leave are counted, and the level at which they are logged: several processes may serve them, one says so. */
  readonly podTelemetry: Registry;
  readonly podLevel: 'info' | 'debug';
  readonly logging: Logging;
  readonly readiness: Readiness;
  /** To whoever announces pods. */
  readonly connect: () => SeqpacketConnection;
  readonly fatal: (error: Error) => void;
}

export interface CarriedPod {
  readonly uid: string;
  readonly info: WorkloadInfo;
  readonly proxy: PodProxy | undefined;
}

export class Carrier {
  readonly #options: CarrierOptions;
  readonly #context: ProxyContext;
  #manager: PodManager<PodProxy> | undefined;
  #dedicated: PodProxy | undefined;
  #self: SelfProxy | undefined;
  #revocation: CrlFile | undefined;
  #stopping = false;

  constructor(options: CarrierOptions) {
    this.#options = options;
    const { config, registry, certificates, telemetry, logging } = options;
    const log = logging.logger('ztunnel');
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
      sockets: new SocketBudget(Math.max(1, Math.floor((maxDescriptors() - RESERVED_DESCRIPTORS) / 2))),
      sameNode: config.joinSameNode ? new SameNode(telemetry) : undefined,
      dns: undefined,
      hostNames: new HostNames(telemetry, { ipv6: config.ipv6, random: Math.random }),
      random: Math.random,
    };
    const faults = telemetry.counter('lateen_connection_faults', 'Connections ended by a bug of this proxy (unstable)');
    onConnectionFault((error) => {
      faults.inc();
      log.error('a connection was ended by a bug', { error: error.stack ?? error.message });
    });
    registry.onChange((change) => this.#registryChanged(change));
  }

  /** Serves pods until `drain`. To be called when the mesh is known. */
  async start(): Promise<void> {
    const { config, readiness, connect, telemetry, podTelemetry, podLevel, logging, fatal } = this.#options;
    if (config.crlPath !== undefined) {
      const { startRevocation } = await import('../core/crl-file.ts');
      this.#revocation = startRevocation({ path: config.crlPath, logger: logging.logger('crl'), telemetry });
    }
    if (config.dns) {
      const { DnsService } = await import('./dns/index.ts');
      this.#context.dns = new DnsService(this.#context, config.dns);
    }
    // Loading the program leaves garbage that an idle proxy would keep for good.
    Bun.gc(true);
    if (this.#stopping) return;
    if (config.mode === 'dedicated') {
      this.#dedicated = new PodProxy(this.#context, config.dedicatedWorkload!, undefined);
      this.#dedicated.start();
      readiness.done(PROXY_TASK);
      return;
    }
    const { podName: name, podNamespace, serviceAccount } = config;
    if (name && podNamespace && serviceAccount) {
      this.#self = new SelfProxy(this.#context, { name, namespace: podNamespace, serviceAccount });
      this.#self.listen();
    }
    const open = ({ info, namespace }: { info: WorkloadInfo; namespace: number }): PodProxy => {
      const proxy = new PodProxy(this.#context, info, namespace);
      proxy.start();
      return proxy;
    };
    this.#manager = new PodManager({ connect, open, readiness, telemetry: podTelemetry, log: this.#context.log, level: podLevel, fatal });
    await this.#manager.run();
  }

  *pods(): Generator<CarriedPod> {
    if (this.#dedicated) yield { uid: 'dedicated', info: this.#dedicated.info, proxy: this.#dedicated };
    if (this.#manager) for (const { uid, info, server } of this.#manager.pods()) yield { uid, info, proxy: server };
  }

  /** No new connections, open ones until the deadline. */
  async drain(): Promise<void> {
    this.#stopping = true;
    const { log } = this.#context;
    const { terminationDeadline } = this.#options.config;
    const deadline = performance.now() + terminationDeadline;
    log.info('draining', { deadline_ms: terminationDeadline });
    this.#manager?.stop();
    const proxies = [...this.#proxies()];
    for (const proxy of proxies) proxy.drain();
    const open = (): number => proxies.reduce((sum, proxy) => sum + proxy.openConnections, 0);
    while (open() > 0 && performance.now() < deadline) await Bun.sleep(DRAIN_POLL_MS);
    const left = open();
    if (left > 0) log.warn('closing connections at the deadline of the drain', { connections: left });
    for (const proxy of proxies) proxy.close('drained');
    this.#revocation?.close();
  }

  /** Ends everything now. */
  close(): void {
    this.#stopping = true;
    for (const proxy of this.#proxies()) proxy.close('drained');
  }

  *#proxies(): Generator<PodProxy> {
    if (this.#self?.proxy !== undefined) yield this.#self.proxy;
    for (const { proxy } of this.pods()) if (proxy !== undefined) yield proxy;
  }

  #registryChanged(change: RegistryChange): void {
    const { registry } = this.#context;
    const isGone = (uid: string): boolean => registry.workload(uid)?.tunnelProtocol !== 'HBONE';
    const workloadsTouched = change.workloads.size > 0;
    this.#self?.listen();
    for (const proxy of this.#proxies()) {
      proxy.registryChanged(change);
      if (workloadsTouched) proxy.pool.releaseIdle(isGone);
    }
  }
}
