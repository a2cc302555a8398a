/** The pods of this node that are in the mesh, as the node agent announces them over ZDS (ambient contract 6.1). */
import { closeDescriptor, namespaceInode, type SeqpacketConnection, type SeqpacketMessage } from '../../platform/linux/index.ts';
import type { Counter, Gauge, Logger, Registry } from '../../platform/telemetry/index.ts';
import {
  decodeMessage,
  encodeMessage,
  type MessageOf,
  Version,
  WorkloadRequestTable,
  WorkloadResponseTable,
  ZdsHelloTable,
} from '../../protocol/index.ts';
import { Backoff } from '../core/backoff.ts';
import type { Readiness } from '../core/readiness.ts';
import type { WorkloadInfo } from './config.ts';

export const READY_TASK = 'workload proxy manager';
/** Pods whose listeners could not be opened are tried again after this, in milliseconds. */
const RETRY_PENDING_MS = 5000;
const FIRST_RECONNECT_MS = 10;
const MAX_RECONNECT_MS = 15_000;
/** Characters of a refusal's reason: whatever the names in it, the acknowledgement stays a datagram the agent can take (1024 bytes). */
const MAX_REASON = 300;
/** Pods on one node; far above what a kubelet runs. */
export const MAX_PODS = 2000;

/** A pod as the node agent announced it. `namespace` is a descriptor that stays open until the pod's server is closed. */
export interface AnnouncedPod {
  readonly uid: string;
  readonly info: WorkloadInfo;
  readonly namespace: number;
}

/** What serves a pod: a proxy in this process, or all workers. */
export interface PodServer {
  close(reason: 'pod-removed'): void | Promise<void>;
}

interface Pod<S> extends AnnouncedPod {
  readonly inode: number;
  /** undefined while it could not be started. */
  server: S | undefined;
  /** While it is being started: the error of that, empty when all is well. */
  opening: Promise<string> | undefined;
}

export interface PodManagerOptions<S extends PodServer> {
  /** To the node agent. Throws when it cannot be reached. */
  readonly connect: () => SeqpacketConnection;
  /** Starts to serve a pod; throws, or rejects, with the reason when it cannot be, and then holds nothing. */
  readonly open: (pod: AnnouncedPod) => S | Promise<S>;
  readonly readiness: Readiness;
  readonly telemetry: Registry;
  readonly log: Logger;
  /** At which pods that join and leave are logged: a worker's are its supervisor's, which says it already. */
  readonly level: 'info' | 'debug';
  /** Called when the node agent violates the protocol's order. */
  readonly fatal: (error: Error) => void;
}

/** The node agent broke the order of the protocol: going on would mean serving the wrong pods. */
class SequenceError extends Error {}
/** A datagram that means nothing; a new connection starts over. */
class MessageError extends Error {}

export class PodManager<S extends PodServer> {
  readonly #options: PodManagerOptions<S>;
  readonly #pods = new Map<string, Pod<S>>();
  readonly #backoff = new Backoff(FIRST_RECONNECT_MS, MAX_RECONNECT_MS);
  readonly #active: Gauge;
  readonly #pendingCount: Gauge;
  readonly #started: Counter;
  readonly #stopped: Counter;
  #connection: SeqpacketConnection | undefined;
  #announced = new Set<string>();
  #hasSnapshot = false;
  #stopping = false;
  #retry: ReturnType<typeof setInterval> | undefined;

  constructor(options: PodManagerOptions<S>) {
    this.#options = options;
    const { telemetry } = options;
    this.#active = telemetry.gauge('workload_manager_active_proxy_count', 'The total number of active workload proxies (unstable)');
    this.#pendingCount = telemetry.gauge('workload_manager_pending_proxy_count', 'The total number of pending workload proxies (unstable)');
    this.#started = telemetry.counter('workload_manager_proxies_started', 'The total number of workload proxies started (unstable)');
    this.#stopped = telemetry.counter('workload_manager_proxies_stopped', 'The total number of workload proxies stopped (unstable)');
    this.#count();
  }

  /** Connects and serves announcements until `stop`. */
  async run(): Promise<void> {
    const { log, level, connect, fatal } = this.#options;
    this.#retry = setInterval(() => this.#retryPending(), RETRY_PENDING_MS);
    while (!this.#stopping) {
      try {
        const connection = connect();
        this.#connection = connection;
        await connection.send(encodeMessage(ZdsHelloTable, { version: Version.V1 }));
        log[level]('connected to what announces pods');
        this.#backoff.reset();
        await this.#serve(connection);
      } catch (error) {
        if (error instanceof SequenceError) {
          fatal(error);
          return;
        }
        await this.#disconnected();
        if (error instanceof MessageError) {
          log.warn('the node agent sent what this proxy does not understand, starting over', { error: error.message });
          continue;
        }
        if (!this.#stopping) log.debug('node agent not reachable', { error: (error as Error).message });
        await Bun.sleep(this.#backoff.next());
        continue;
      }
      await this.#disconnected();
      // An agent that accepts and closes at once must not be called in a tight loop.
      await Bun.sleep(FIRST_RECONNECT_MS);
    }
  }

  /** No more announcements; the pods' proxies stay. */
  stop(): void {
    this.#stopping = true;
    clearInterval(this.#retry);
    this.#connection?.close();
  }

  *pods(): Generator<AnnouncedPod & { readonly server: S | undefined }> {
    yield* this.#pods.values();
  }

  async #serve(connection: SeqpacketConnection): Promise<void> {
    this.#announced = new Set();
    this.#hasSnapshot = false;
    for (;;) {
      let message: SeqpacketMessage | null;
      try {
        message = await connection.receive();
      } catch (error) {
        await this.#answer(connection, (error as Error).message);
        throw new MessageError((error as Error).message);
      }
      if (message === null) return;
      try {
        await this.#answer(connection, await this.#handle(message));
      } catch (error) {
        if (error instanceof SequenceError || error instanceof MessageError) await this.#answer(connection, error.message).catch(() => {});
        throw error;
      }
    }
  }

  async #answer(connection: SeqpacketConnection, reason: string): Promise<void> {
    const error = reason.slice(0, MAX_REASON);
    await connection.send(encodeMessage(WorkloadResponseTable, { payload: { case: 'ack', value: { error } } }));
  }

  /** The error of the acknowledgement, empty when all is well. */
  async #handle(message: SeqpacketMessage): Promise<string> {
    const request = decodeMessage(WorkloadRequestTable, message.bytes);
    if (!request.ok) {
      this.#closeAll(message);
      throw new MessageError(`undecodable message: ${request.error}`);
    }
    const { payload } = request.value;
    if (payload.case !== 'add' && message.fds.length > 0) {
      this.#closeAll(message);
      throw new MessageError(`a descriptor came with "${payload.case}", which takes none`);
    }
    switch (payload.case) {
      case 'add':
        return this.#add(payload.value, message);
      case 'keep':
        if (this.#hasSnapshot) throw new SequenceError('"keep" after the snapshot');
        this.#announced.add(payload.value.uid);
        return '';
      case 'del':
        await this.#withdraw(payload.value.uid);
        return '';
      case 'snapshotSent':
        if (this.#hasSnapshot) throw new SequenceError('second snapshot on one connection');
        await this.#snapshot();
        return '';
      default:
        throw new MessageError('a message without payload');
    }
  }

  async #add(
    add: Extract<MessageOf<typeof WorkloadRequestTable>['payload'], { case: 'add' }>['value'],
    message: SeqpacketMessage,
  ): Promise<string> {
    const [namespace] = message.fds;
    if (namespace === undefined || message.fds.length !== 1) {
      this.#closeAll(message);
      throw new MessageError(`"add" of ${add.uid} came with ${message.fds.length} descriptors instead of one`);
    }
    if (add.workloadInfo === undefined) {
      this.#closeAll(message);
      throw new SequenceError(`"add" of ${add.uid} without workload_info`);
    }
    this.#announced.add(add.uid);
    const inode = namespaceInode(namespace);
    const known = this.#pods.get(add.uid);
    if (known !== undefined && known.inode === inode) {
      closeDescriptor(namespace);
      return known.server === undefined ? this.#start(known) : '';
    }
    if (known !== undefined) await this.#remove(add.uid);
    if (this.#pods.size >= MAX_PODS) {
      closeDescriptor(namespace);
      return `more than ${MAX_PODS} pods on one node`;
    }
    const { name, namespace: podNamespace, serviceAccount } = add.workloadInfo;
    const info = { name, namespace: podNamespace, serviceAccount };
    const pod: Pod<S> = { uid: add.uid, info, namespace, inode, server: undefined, opening: undefined };
    this.#pods.set(add.uid, pod);
    return this.#start(pod);
  }

  /** Before the snapshot this only takes an announcement back: a pod that is served goes with the snapshot, one that could not be is not tried again. */
  async #withdraw(uid: string): Promise<void> {
    this.#announced.delete(uid);
    const isPending = this.#pods.get(uid)?.server === undefined;
    if (this.#hasSnapshot || isPending) await this.#remove(uid);
  }

  #start(pod: Pod<S>): Promise<string> {
    pod.opening ??= this.#open(pod).finally(() => {
      pod.opening = undefined;
    });
    return pod.opening;
  }

  async #open(pod: Pod<S>): Promise<string> {
    const { log, level, open } = this.#options;
    try {
      const server = await open(pod);
      if (this.#pods.get(pod.uid) !== pod) {
        await server.close('pod-removed');
        throw new Error('it left meanwhile');
      }
      pod.server = server;
      this.#started.inc();
      log[level]('pod joined', { pod: `${pod.info.namespace}/${pod.info.name}`, uid: pod.uid });
      return '';
    } catch (error) {
      const reason = `${pod.info.namespace}/${pod.info.name}: ${(error as Error).message}`;
      log.warn('pod not served, will be tried again', { pod: reason });
      return reason;
    } finally {
      this.#count();
    }
  }

  async #remove(uid: string): Promise<void> {
    const pod = this.#pods.get(uid);
    if (pod === undefined) return;
    this.#pods.delete(uid);
    // What opens it still uses the descriptor, and then finds that the pod has left.
    await pod.opening;
    if (pod.server !== undefined) {
      await pod.server.close('pod-removed');
      this.#stopped.inc();
    }
    closeDescriptor(pod.namespace);
    const { log, level } = this.#options;
    log[level]('pod left', { pod: `${pod.info.namespace}/${pod.info.name}`, uid });
    this.#count();
  }

  async #snapshot(): Promise<void> {
    this.#hasSnapshot = true;
    await Promise.all([...this.#pods.keys()].filter((uid) => !this.#announced.has(uid)).map((uid) => this.#remove(uid)));
    this.#count();
  }

  #retryPending(): void {
    for (const pod of this.#pods.values()) if (pod.server === undefined) void this.#start(pod);
  }

  async #disconnected(): Promise<void> {
    this.#connection?.close();
    this.#connection = undefined;
    this.#hasSnapshot = false;
    await Promise.all([...this.#pods.values()].filter(({ server }) => server === undefined).map(({ uid }) => this.#remove(uid)));
    this.#count();
  }

  #closeAll(message: SeqpacketMessage): void {
    for (const fd of message.fds) closeDescriptor(fd);
  }

  #count(): void {
    let active = 0;
    for (const pod of this.#pods.values()) if (pod.server !== undefined) active++;
    const pending = this.#pods.size - active;
    this.#active.set(active);
    this.#pendingCount.set(pending);
    this.#options.readiness.set(READY_TASK, this.#hasSnapshot && pending === 0);
  }
}
