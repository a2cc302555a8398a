/** The node proxy in one process: starts its parts in order, and ends them in order. */
import type { LocalConfig } from '../../mesh/local/index.ts';
import { connectSeqpacket } from '../../platform/linux/index.ts';
import { type Logger, type Logging, Registry } from '../../platform/telemetry/index.ts';
import { HttpServers, LAST_ANSWER_MS } from '../core/http-servers.ts';
import { describeBuild, describeProcess } from '../core/process-metrics.ts';
import { Readiness } from '../core/readiness.ts';
import { Carrier, PROXY_TASK } from './carrier.ts';
import type { Config } from './config.ts';
import { configDump, podConnections } from './config-dump.ts';
import { NodeSources, XDS_TASK } from './node-sources.ts';
import { READY_TASK } from './pod-manager.ts';

export class NodeProxy {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #readiness = new Readiness();
  readonly #sources: NodeSources;
  readonly #carrier: Carrier;
  readonly #http: HttpServers;
  readonly #exit = Promise.withResolvers<number>();
  #drained: Promise<void> | undefined;

  /** Throws when a port is taken. `local`: what a local configuration says of the mesh. */
  constructor(config: Config, logging: Logging, local: LocalConfig | undefined) {
    this.#config = config;
    this.#log = logging.logger('ztunnel');
    const telemetry = new Registry();
    const readiness = this.#readiness;
    describeBuild(telemetry, 'ztunnel');
    describeProcess(telemetry);
    const sources = new NodeSources(config, logging, telemetry, local);
    this.#sources = sources;
    const { registry, certificates } = sources;
    this.#carrier = new Carrier({
      config,
      registry,
      certificates,
      telemetry,
      podTelemetry: telemetry,
      podLevel: 'info',
      logging,
      readiness,
      connect: () => connectSeqpacket(config.inpodSocket),
      fatal: (error) => this.#fatal(error),
    });
    if (config.xds) readiness.wait(XDS_TASK);
    if (config.proxyEnabled) readiness.wait(config.mode === 'shared' ? READY_TASK : PROXY_TASK);
    this.#http = new HttpServers({
      config,
      telemetry: () => telemetry,
      readiness,
      logging,
      dump: () =>
        configDump({
          registry,
          certificates,
          config,
          pods: [...this.#carrier.pods()].map(({ uid, info, proxy }) => ({ uid, info, connections: proxy && podConnections(proxy) })),
        }),
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
    await this.#sources.start();
    this.#readiness.done(XDS_TASK);
    if (this.#drained === undefined && this.#config.proxyEnabled) await this.#carrier.start();
  }

  #fatal(error: Error): void {
    this.#log.error('the proxy cannot go on', { error: error.message });
    this.#carrier.close();
    this.#exit.resolve(1);
  }

  async #drain(): Promise<void> {
    await this.#carrier.drain();
    this.#sources.close();
    setTimeout(() => void this.#http.close().then(() => this.#exit.resolve(0)), LAST_ANSWER_MS);
  }
}
