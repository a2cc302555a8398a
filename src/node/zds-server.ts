/** ZDS over real sockets: accepts node proxies, gives each the snapshot, sends adds to the latest and deletions to all. */
import { listenSeqpacket, type SeqpacketConnection, type ZdsAnswer, ZdsPeer } from '../platform/linux/index.ts';
import type { Logger } from '../platform/telemetry/index.ts';
import type { ZdsWorkload } from '../protocol/index.ts';

/** Proxies connected at once: the old and the new during an upgrade, with room for a confused one. */
export const MAX_PROXIES = 8;
/** Pause after accepting, so that a proxy that reconnects in a loop does not keep the agent busy (5 connections a second). */
const ACCEPT_PAUSE_MS = 200;

/** What a new connection is told: pods with their namespace, or only that they exist (`keep`). */
export type SnapshotEntry = { readonly workload: ZdsWorkload; readonly netns: number } | { readonly keep: string };

export interface ZdsServerOptions {
  readonly path: string;
  readonly log: Logger;
  /** Asked at each hello. */
  readonly snapshot: () => readonly SnapshotEntry[];
  /** The latest connection has the whole snapshot; `refused` are the pods it could not serve, with its reason. */
  readonly onSynced: (refused: ReadonlyMap<string, string>) => void;
  readonly onConnectedChange: (connected: number) => void;
}

interface Proxy {
  readonly peer: ZdsPeer;
  synced: boolean;
}

export class ZdsServer {
  readonly #options: ZdsServerOptions;
  readonly #listener: ReturnType<typeof listenSeqpacket>;
  /** In order of their hello: the last is the latest. */
  readonly #proxies: Proxy[] = [];
  #open = 0;
  #closed = false;

  constructor(options: ZdsServerOptions) {
    this.#options = options;
    this.#listener = listenSeqpacket(options.path);
    void this.#accept();
  }

  /** Proxies that said hello. */
  get connected(): number {
    return this.#proxies.length;
  }

  /** Whether the latest proxy has the snapshot. */
  get isSynced(): boolean {
    return this.#proxies.at(-1)?.synced ?? false;
  }

  /** Hands a pod to the latest proxy. */
  async add(workload: ZdsWorkload, netns: number): Promise<ZdsAnswer> {
    const latest = this.#proxies.at(-1);
    return latest ? latest.peer.request({ kind: 'add', workload, netns }) : 'no ztunnel is connected to this node agent';
  }

  /** Takes a pod from all proxies; a proxy that has gone or refuses has nothing to serve any more, so there is no failure. */
  async del(uid: string): Promise<void> {
    await Promise.all(
      [...this.#proxies].map(async ({ peer }) => {
        const refusal = await peer.request({ kind: 'del', uid });
        if (refusal !== undefined) this.#options.log.warn('deletion was not acknowledged', { uid, reason: refusal });
      }),
    );
  }

  close(): void {
    this.#closed = true;
    this.#listener.close();
    for (const { peer } of [...this.#proxies]) peer.end();
  }

  async #accept(): Promise<void> {
    while (!this.#closed) {
      const connection = await this.#listener.accept();
      if (!connection) return;
      if (this.#open >= MAX_PROXIES) {
        this.#options.log.warn('refused a ZDS connection', { reason: `${MAX_PROXIES} are open` });
        connection.close();
      } else {
        void this.#serve(connection);
      }
      await Bun.sleep(ACCEPT_PAUSE_MS);
    }
  }

  async #serve(connection: SeqpacketConnection): Promise<void> {
    const proxy: Proxy = {
      peer: new ZdsPeer(connection, { onHello: () => this.#welcome(proxy), onClosed: (reason) => this.#drop(proxy, reason) }),
      synced: false,
    };
    this.#open++;
    await proxy.peer.run();
    this.#open--;
  }

  #welcome(proxy: Proxy): void {
    this.#proxies.push(proxy);
    this.#options.onConnectedChange(this.#proxies.length);
    void this.#sendSnapshot(proxy);
  }

  async #sendSnapshot(proxy: Proxy): Promise<void> {
    const { peer } = proxy;
    const refused = new Map<string, string>();
    const entries = this.#options.snapshot();
    this.#options.log.info('ztunnel connected, sending the snapshot', { pods: entries.length });
    // All are queued in one go: a change that comes now waits behind the end of the snapshot.
    const answers = entries.map(async (entry) => {
      if ('keep' in entry) return peer.request({ kind: 'keep', uid: entry.keep });
      const refusal = await peer.request({ kind: 'add', workload: entry.workload, netns: entry.netns });
      if (refusal !== undefined) refused.set(entry.workload.uid, refusal);
      return refusal;
    });
    const end = await peer.request({ kind: 'snapshotSent' });
    await Promise.all(answers);
    if (end !== undefined || !peer.isOpen) return;
    proxy.synced = true;
    if (this.#proxies.at(-1) === proxy) this.#options.onSynced(refused);
  }

  #drop(proxy: Proxy, reason: string): void {
    const at = this.#proxies.indexOf(proxy);
    this.#options.log.warn('ztunnel disconnected', { reason });
    if (at < 0) return;
    this.#proxies.splice(at, 1);
    this.#options.onConnectedChange(this.#proxies.length);
  }
}
