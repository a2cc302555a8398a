/** Keeps the node's nft table equal to the Services and EndpointSlices of the API. */
import type { EndpointSlice, Informer, Service } from '../../../platform/kubernetes/index.ts';
import type { Logger } from '../../../platform/telemetry/index.ts';
import { messageOf } from '../../error.ts';
import { changeScript, fullScript, type ProxyTable, proxyTable } from './rules.ts';

/** Changes that arrive together are written together. */
const GATHER_MS = 15;
const RETRY_MS = 1_000;
const SERVICE_LABEL = 'kubernetes.io/service-name';

export class ServiceProxy {
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #node: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #log: Logger;
  /** What nft holds; undefined before the first write and after a failed one: then the whole table is written. */
  #written: ProxyTable | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing = false;
  #stopped = false;
  readonly #first = Promise.withResolvers<void>();
  /** Resolves when the table is in place for the first time. */
  readonly written: Promise<void> = this.#first.promise;

  constructor(
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    node: string,
    env: Readonly<Record<string, string>>,
    log: Logger,
  ) {
    this.#services = services;
    this.#slices = slices;
    this.#node = node;
    this.#env = env;
    this.#log = log;
  }

  start(): void {
    const changed = () => this.#schedule(GATHER_MS);
    for (const informer of [this.#services, this.#slices])
      informer.addHandlers({ onAdd: changed, onUpdate: changed, onDelete: changed, onSync: changed });
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(ms: number): void {
    // Until both lists are complete the table an earlier node runtime left is better than half of a new one.
    if (this.#stopped || this.#timer !== undefined || this.#writing || !this.#services.isSynced || !this.#slices.isSynced) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#write();
    }, ms);
  }

  async #write(): Promise<void> {
    this.#writing = true;
    const version = `${this.#services.resourceVersion} ${this.#slices.resourceVersion}`;
    let again = 0;
    try {
      const byService = Map.groupBy(
        this.#slices.all(),
        (slice) => `${slice.metadata?.namespace}/${slice.metadata?.labels?.[SERVICE_LABEL] ?? ''}`,
      );
      const table = proxyTable(this.#services.all(), (namespace, name) => byService.get(`${namespace}/${name}`) ?? [], this.#node);
      const script = this.#written === undefined ? fullScript(table) : changeScript(this.#written, table);
      if (script !== '') await this.#nft(script);
      this.#written = table;
      this.#first.resolve();
    } catch (error) {
      this.#written = undefined;
      again = RETRY_MS;
      this.#log.error('service rules could not be written', { error: messageOf(error) });
    } finally {
      this.#writing = false;
    }
    if (again > 0 || version !== `${this.#services.resourceVersion} ${this.#slices.resourceVersion}`) this.#schedule(again);
  }

  async #nft(script: string): Promise<void> {
    const child = Bun.spawn(['nft', '-f', '-'], { env: { ...this.#env }, stdin: new Blob([script]), stdout: 'ignore', stderr: 'pipe' });
    const [problem, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
    if (code !== 0) throw new Error(`nft: ${problem.trim().slice(0, 500)}`);
  }
}
