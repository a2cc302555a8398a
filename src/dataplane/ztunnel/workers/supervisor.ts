/** The node proxy with several workers: this process carries no traffic, it has what exists once per node, and answers for all. */
import type { LocalConfig } from '../../../mesh/local/index.ts';
import { connectSeqpacket } from '../../../platform/linux/index.ts';
import { type Logger, type Logging, Registry } from '../../../platform/telemetry/index.ts';
import { HttpServers, LAST_ANSWER_MS, type LogControl } from '../../core/http-servers.ts';
import { describeBuild, describeProcess } from '../../core/process-metrics.ts';
import { Readiness } from '../../core/readiness.ts';
import type { Config } from '../config.ts';
import { configDump } from '../config-dump.ts';
import { NodeSources, XDS_TASK } from '../node-sources.ts';
import { PodManager, type PodServer } from '../pod-manager.ts';
import { CertificateDesk } from './certificate-desk.ts';
import type { ToWorker } from './messages.ts';
import { ResourceStore } from './resource-store.ts';
import { WorkerGroup } from './worker-group.ts';

const WORKERS_TASK = 'workers';
/** How long the first pods wait for the last of the first workers. */
const ALL_WORKERS_LIMIT_MS = 10_000;

export class Supervisor {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #readiness = new Readiness();
  readonly #sources: NodeSources;
  readonly #resources: ResourceStore;
  readonly #workers: WorkerGroup;
  readonly #pods: PodManager<PodServer>;
  readonly #http: HttpServers;
  readonly #exit = Promise.withResolvers<number>();
  readonly #allServe = Promise.withResolvers<void>();
  readonly #oneServes = Promise.withResolvers<void>();
  #drained: Promise<void> | undefined;

  /** Throws when a port is taken. `local`: what a local configuration says of the mesh. `format` of the log, as workers have to write it, too. */
  constructor(config: Config, logging: Logging, format: 'plain' | 'json', local: LocalConfig | undefined) {
    this.#config = config;
    const log = logging.logger('ztunnel');
    this.#log = log;
    const telemetry = new Registry();
    describeBuild(telemetry, 'ztunnel');
    describeProcess(telemetry);
    const readiness = this.#readiness;
    this.#resources = new ResourceStore(
      (update) => this.#workers.broadcast(update),
      () => this.#workers.applied(),
    );
    const sources = new NodeSources(config, logging, telemetry, local, (handler) => this.#resources.tap(handler));
    this.#sources = sources;
    const { registry, certificates } = sources;
    const desk = new CertificateDesk(certificates, (identity) => sources.release(identity));
    this.#workers = new WorkerGroup({
      size: config.workers,
      log,
      telemetry,
      introduction: () => this.#introduction(logging.filter, format),
      onCertificate: (worker, { kind, identity, ...rest }) => {
        if (kind === 'unwant') desk.unwant(worker, identity);
        else desk.want(worker, identity, 'urgent' in rest && rest.urgent);
      },
      onEnded: (worker) => desk.leave(worker),
      onServing: (serving) => this.#serving(serving),
    });
    this.#pods = new PodManager({
      connect: () => connectSeqpacket(config.inpodSocket),
      open: (pod) => this.#workers.open(pod),
      readiness,
      telemetry,
      log,
      level: 'info',
      fatal: (error) => this.#fatal(error),
    });
    if (config.xds) readiness.wait(XDS_TASK);
    readiness.wait(WORKERS_TASK);
    this.#http = new HttpServers({
      config,
      telemetry: () => this.#workers.gather(telemetry),
      readiness,
      logging: this.#logControl(logging),
      dump: async () => {
        const open = await this.#workers.connections();
        const connectionsOf = (uid: string) => open.get(uid) ?? { inbound: [], outbound: [] };
        const pods = [...this.#pods.pods()].map(({ uid, info, server }) => ({ uid, info, connections: server && connectionsOf(uid) }));
        return configDump({ registry, certificates, config, pods });
      },
      quit: () => this.shutdown(),
    });
  }

  /** Runs until a shutdown is over; the exit code. */
  async run(): Promise<number> {
    this.#log.info('several processes carry traffic', { workers: this.#config.workers });
    this.#workers.start();
    void this.#start().catch((error: Error) => this.#fatal(error));
    const code = await this.#exit.promise;
    this.#workers.close();
    return code;
  }

  /** Graceful: no new connections, open ones until the deadline. Called again it waits for the same. */
  shutdown(): Promise<void> {
    this.#drained ??= this.#drain();
    return this.#drained;
  }

  async #start(): Promise<void> {
    await this.#sources.start();
    this.#readiness.done(XDS_TASK);
    if (this.#drained !== undefined) return;
    this.#workers.serve();
    // A pod is acknowledged when all serve it that can; one that starts late takes it from a snapshot.
    await Promise.race([this.#allServe.promise, Bun.sleep(ALL_WORKERS_LIMIT_MS).then(() => this.#oneServes.promise)]);
    if (this.#drained === undefined) await this.#pods.run();
  }

  *#introduction(filter: string, format: 'plain' | 'json'): Generator<ToWorker> {
    yield { kind: 'setup', config: { ...this.#config, xds: undefined, ca: undefined, authToken: undefined }, filter, format };
    yield* this.#resources.snapshot();
  }

  #serving(serving: number): void {
    this.#readiness.set(WORKERS_TASK, serving > 0);
    if (serving > 0) this.#oneServes.resolve();
    if (serving === this.#config.workers) this.#allServe.resolve();
  }

  #logControl(logging: Logging): LogControl {
    const tell = (): void => this.#workers.broadcast({ kind: 'log-filter', filter: logging.filter });
    return {
      get filter() {
        return logging.filter;
      },
      setFilter: (text) => {
        const problem = logging.setFilter(text);
        if (problem === undefined) tell();
        return problem;
      },
      resetFilter: () => {
        logging.resetFilter();
        tell();
      },
    };
  }

  #fatal(error: Error): void {
    this.#log.error('the proxy cannot go on', { error: error.message });
    this.#exit.resolve(1);
  }

  async #drain(): Promise<void> {
    this.#pods.stop();
    await this.#workers.drain(this.#config.terminationDeadline);
    this.#sources.close();
    setTimeout(() => void this.#http.close().then(() => this.#exit.resolve(0)), LAST_ANSWER_MS);
  }
}
