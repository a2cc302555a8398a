/** ZDS over real sockets: accepts node proxies, gives each the snapshot, sends adds to the latest and deletions to all. */
import { closeDescriptor, listenSeqpacket, type SeqpacketConnection } from '../platform/linux/index.ts';
import type { Logger } from '../platform/telemetry/index.ts';
import { type ZdsInput, ZdsMachine, type ZdsOutput, type ZdsRequest, type ZdsWorkload } from './zds-machine.ts';

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

/** `undefined` is success, text the reason of the refusal. */
type Answer = string | undefined;

class Peer {
  readonly machine: ZdsMachine;
  readonly connection: SeqpacketConnection;
  readonly waiting = new Map<number, (answer: Answer) => void>();
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Sends in order: a `send` may have to wait for room. */
  sending: Promise<void> = Promise.resolve();
  synced = false;
  constructor(connection: SeqpacketConnection) {
    this.connection = connection;
    this.machine = new ZdsMachine(performance.now());
  }
}

export class ZdsServer {
  readonly #options: ZdsServerOptions;
  readonly #listener: ReturnType<typeof listenSeqpacket>;
  /** In order of their hello: the last is the latest. */
  readonly #proxies: Peer[] = [];
  #open = 0;
  #nextId = 1;
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
  async add(workload: ZdsWorkload, netns: number): Promise<Answer> {
    const latest = this.#proxies.at(-1);
    return latest ? this.#request(latest, { kind: 'add', workload, netns }) : 'no ztunnel is connected to this node agent';
  }

  /** Takes a pod from all proxies; a proxy that has gone or refuses has nothing to serve any more, so there is no failure. */
  async del(uid: string): Promise<void> {
    await Promise.all(
      [...this.#proxies].map(async (proxy) => {
        const refusal = await this.#request(proxy, { kind: 'del', uid });
        if (refusal !== undefined) this.#options.log.warn('deletion was not acknowledged', { uid, reason: refusal });
      }),
    );
  }

  close(): void {
    this.#closed = true;
    this.#listener.close();
    for (const proxy of [...this.#proxies]) this.#run(proxy, { kind: 'ended' });
  }

  async #accept(): Promise<void> {
    while (!this.#closed) {
      const connection = await this.#listener.accept();
      if (!connection) return;
      if (this.#open >= MAX_PROXIES) {
        this.#options.log.warn('refused a ZDS connection', { reason: `${MAX_PROXIES} are open` });
        connection.close();
      } else {
        void this.#serve(new Peer(connection));
      }
      await Bun.sleep(ACCEPT_PAUSE_MS);
    }
  }

  async #serve(proxy: Peer): Promise<void> {
    this.#open++;
    this.#schedule(proxy);
    try {
      for (;;) {
        const message = await proxy.connection.receive();
        if (!message) break;
        // Descriptors that came in although they may not are closed with the number that says so.
        for (const fd of message.fds) closeDescriptor(fd);
        this.#run(proxy, { kind: 'received', bytes: message.bytes, descriptors: message.fds.length });
      }
    } catch (error) {
      this.#options.log.warn('ZDS connection failed', { error: (error as Error).message });
    }
    this.#run(proxy, { kind: 'ended' });
    this.#open--;
  }

  #request(proxy: Peer, request: ZdsRequest): Promise<Answer> {
    const id = this.#nextId++;
    const { promise, resolve } = Promise.withResolvers<Answer>();
    proxy.waiting.set(id, resolve);
    this.#run(proxy, { kind: 'request', id, request });
    return promise;
  }

  #run(proxy: Peer, input: ZdsInput): void {
    this.#perform(proxy, proxy.machine.handle(input, performance.now()));
  }

  #perform(proxy: Peer, outputs: readonly ZdsOutput[]): void {
    for (const output of outputs) {
      if (output.kind === 'hello') this.#welcome(proxy);
      else if (output.kind === 'send') this.#send(proxy, output);
      else if (output.kind === 'close') this.#drop(proxy, output.reason);
      else {
        proxy.waiting.get(output.id)?.(output.error);
        proxy.waiting.delete(output.id);
      }
    }
    this.#schedule(proxy);
  }

  #send(proxy: Peer, { bytes, netns }: { readonly bytes: Uint8Array; readonly netns?: number }): void {
    proxy.sending = proxy.sending
      .then(() => proxy.connection.send(bytes, netns))
      .catch((error: Error) => {
        this.#options.log.warn('ZDS send failed', { error: error.message });
        this.#run(proxy, { kind: 'ended' });
      });
  }

  #welcome(proxy: Peer): void {
    this.#proxies.push(proxy);
    this.#options.onConnectedChange(this.#proxies.length);
    void this.#sendSnapshot(proxy);
  }

  async #sendSnapshot(proxy: Peer): Promise<void> {
    const refused = new Map<string, string>();
    const entries = this.#options.snapshot();
    this.#options.log.info('ztunnel connected, sending the snapshot', { pods: entries.length });
    // All are queued in one go: a change that comes now waits behind the end of the snapshot.
    const answers = entries.map(async (entry) => {
      if ('keep' in entry) return this.#request(proxy, { kind: 'keep', uid: entry.keep });
      const refusal = await this.#request(proxy, { kind: 'add', workload: entry.workload, netns: entry.netns });
      if (refusal !== undefined) refused.set(entry.workload.uid, refusal);
      return refusal;
    });
    const end = await this.#request(proxy, { kind: 'snapshotSent' });
    await Promise.all(answers);
    if (end !== undefined || !proxy.machine.isOpen) return;
    proxy.synced = true;
    if (this.#proxies.at(-1) === proxy) this.#options.onSynced(refused);
  }

  #drop(proxy: Peer, reason: string): void {
    proxy.connection.close();
    const at = this.#proxies.indexOf(proxy);
    this.#options.log.warn('ztunnel disconnected', { reason });
    if (at < 0) return;
    this.#proxies.splice(at, 1);
    this.#options.onConnectedChange(this.#proxies.length);
  }

  #schedule(proxy: Peer): void {
    clearTimeout(proxy.timer);
    const deadline = proxy.machine.nextDeadline();
    if (deadline === undefined) return;
    const wait = Math.max(0, deadline - performance.now());
    proxy.timer = setTimeout(() => this.#perform(proxy, proxy.machine.tick(performance.now())), wait + 1);
  }
}
