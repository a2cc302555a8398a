/** The pods of this node that are in the mesh, as the node agent announces them over ZDS (ambient contract 6.1). */
import {
  closeDescriptor,
  connectSeqpacket,
  namespaceInode,
  type SeqpacketConnection,
  type SeqpacketMessage,
} from '../../platform/linux/index.ts';
import type { Counter, Gauge } from '../../platform/telemetry/index.ts';
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
import type { ProxyContext } from './context.ts';
import { PodProxy } from './pod-proxy.ts';

export const READY_TASK = 'workload proxy manager';
/** Pods whose listeners could not be opened are tried again after this, in milliseconds. */
const RETRY_PENDING_MS = 5000;
const FIRST_RECONNECT_MS = 10;
const MAX_RECONNECT_MS = 15_000;
/** Pods on one node; far above what a kubelet runs. */
export const MAX_PODS = 2000;

interface Pod {
  readonly uid: string;
  readonly info: WorkloadInfo;
  readonly namespace: number;
  readonly inode: number;
  /** undefined while it could not be started. */
  proxy: PodProxy | undefined;
}

/** The node agent broke the order of the protocol: going on would mean serving the wrong pods. */
class SequenceError extends Error {}
/** A datagram that means nothing; a new connection starts over. */
class MessageError extends Error {}

export class PodManager {
  readonly #context: ProxyContext;
  readonly #readiness: Readiness;
  readonly #pods = new Map<string, Pod>();
  readonly #backoff = new Backoff(FIRST_RECONNECT_MS, MAX_RECONNECT_MS);
  readonly #active: Gauge;
  readonly #pendingCount: Gauge;
  readonly #started: Counter;
  readonly #stopped: Counter;
  readonly #fatal: (error: Error) => void;
  #connection: SeqpacketConnection | undefined;
  #announced = new Set<string>();
  #hasSnapshot = false;
  #stopping = false;
  #retry: ReturnType<typeof setInterval> | undefined;

  /** `fatal` is called when the node agent violates the protocol's order. */
  constructor(context: ProxyContext, readiness: Readiness, fatal: (error: Error) => void) {
    this.#context = context;
    this.#readiness = readiness;
    this.#fatal = fatal;
    const { telemetry } = context;
    this.#active = telemetry.gauge('workload_manager_active_proxy_count', 'The total number of active workload proxies (unstable)');
    this.#pendingCount = telemetry.gauge('workload_manager_pending_proxy_count', 'The total number of pending workload proxies (unstable)');
    this.#started = telemetry.counter('workload_manager_proxies_started', 'The total number of workload proxies started (unstable)');
    this.#stopped = telemetry.counter('workload_manager_proxies_stopped', 'The total number of workload proxies stopped (unstable)');
    this.#count();
  }

  /** Connects and serves announcements until `stop`. */
  async run(): Promise<void> {
    const { log, config } = this.#context;
    this.#retry = setInterval(() => this.#retryPending(), RETRY_PENDING_MS);
    while (!this.#stopping) {
      try {
        const connection = connectSeqpacket(config.inpodSocket);
        this.#connection = connection;
        await connection.send(encodeMessage(ZdsHelloTable, { version: Version.V1 }));
        log.info('connected to the node agent', { socket: config.inpodSocket });
        this.#backoff.reset();
        await this.#serve(connection);
      } catch (error) {
        if (error instanceof SequenceError) {
          this.#fatal(error);
          return;
        }
        if (!this.#stopping) log.debug('node agent not reachable', { socket: config.inpodSocket, error: (error as Error).message });
        this.#disconnected();
        if (error instanceof MessageError) continue;
        await Bun.sleep(this.#backoff.next());
        continue;
      }
      this.#disconnected();
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

  *pods(): Generator<{ uid: string; info: WorkloadInfo; proxy: PodProxy | undefined }> {
    for (const { uid, info, proxy } of this.#pods.values()) yield { uid, info, proxy };
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
        await this.#answer(connection, this.#handle(message));
      } catch (error) {
        if (error instanceof SequenceError || error instanceof MessageError) await this.#answer(connection, error.message).catch(() => {});
        throw error;
      }
    }
  }

  async #answer(connection: SeqpacketConnection, error: string): Promise<void> {
    await connection.send(encodeMessage(WorkloadResponseTable, { payload: { case: 'ack', value: { error } } }));
  }

  /** The error of the acknowledgement, empty when all is well. */
  #handle(message: SeqpacketMessage): string {
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
        if (this.#hasSnapshot) this.#remove(payload.value.uid);
        else this.#announced.delete(payload.value.uid);
        return '';
      case 'snapshotSent':
        if (this.#hasSnapshot) throw new SequenceError('second snapshot on one connection');
        this.#snapshot();
        return '';
      default:
        throw new MessageError('a message without payload');
    }
  }

  #add(add: Extract<MessageOf<typeof WorkloadRequestTable>['payload'], { case: 'add' }>['value'], message: SeqpacketMessage): string {
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
      return known.proxy === undefined ? this.#start(known) : '';
    }
    if (known !== undefined) this.#remove(add.uid);
    if (this.#pods.size >= MAX_PODS) {
      closeDescriptor(namespace);
      return `more than ${MAX_PODS} pods on one node`;
    }
    const { name, namespace: podNamespace, serviceAccount } = add.workloadInfo;
    const pod: Pod = { uid: add.uid, info: { name, namespace: podNamespace, serviceAccount }, namespace, inode, proxy: undefined };
    this.#pods.set(add.uid, pod);
    return this.#start(pod);
  }

  #start(pod: Pod): string {
    const proxy = new PodProxy(this.#context, pod.info, pod.namespace);
    try {
      proxy.start();
      pod.proxy = proxy;
      this.#started.inc();
      this.#context.log.info('pod joined', { pod: `${pod.info.namespace}/${pod.info.name}`, uid: pod.uid });
      return '';
    } catch (error) {
      const reason = `${pod.info.namespace}/${pod.info.name}: ${(error as Error).message}`;
      this.#context.log.warn('pod not served, will be tried again', { pod: reason });
      return reason;
    } finally {
      this.#count();
    }
  }

  #remove(uid: string): void {
    const pod = this.#pods.get(uid);
    if (pod === undefined) return;
    this.#pods.delete(uid);
    if (pod.proxy !== undefined) {
      pod.proxy.close('pod-removed');
      this.#stopped.inc();
    }
    closeDescriptor(pod.namespace);
    this.#context.log.info('pod left', { pod: `${pod.info.namespace}/${pod.info.name}`, uid });
    this.#count();
  }

  #snapshot(): void {
    this.#hasSnapshot = true;
    for (const uid of [...this.#pods.keys()]) if (!this.#announced.has(uid)) this.#remove(uid);
    this.#count();
  }

  #retryPending(): void {
    for (const pod of this.#pods.values()) if (pod.proxy === undefined) this.#start(pod);
  }

  #disconnected(): void {
    this.#connection?.close();
    this.#connection = undefined;
    this.#hasSnapshot = false;
    for (const pod of [...this.#pods.values()]) if (pod.proxy === undefined) this.#remove(pod.uid);
    this.#count();
  }

  #closeAll(message: SeqpacketMessage): void {
    for (const fd of message.fds) closeDescriptor(fd);
  }

  #count(): void {
    let active = 0;
    for (const pod of this.#pods.values()) if (pod.proxy !== undefined) active++;
    const pending = this.#pods.size - active;
    this.#active.set(active);
    this.#pendingCount.set(pending);
    this.#readiness.set(READY_TASK, this.#hasSnapshot && pending === 0);
  }
}
