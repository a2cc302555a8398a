/**
 * The reconciler: brings each pod of the node to where its labels want it, one step after the other, repeating what fails.
 *
 * Into the mesh (running pod): ZDS add → ack → redirect rules → probe rule → annotation `enabled`. A connection never meets rules without a
 * proxy behind them; while no proxy is connected a running pod is annotated `pending` and keeps talking plain text, because cutting off a
 * working pod is worse than a late start. A pod that is being created is the opposite case: `admit` refuses it, so that it never runs unprotected.
 * Out of it: annotation removed → rules without redirects → connections end or the limit passes → ZDS del → rules removed.
 */
import type { Logger } from '../platform/telemetry/index.ts';
import type { ZdsWorkload } from '../protocol/index.ts';
import type { AgentMetrics } from './agent-metrics.ts';
import { type PodWriter, REDIRECTION, type Redirection } from './annotate.ts';
import { waitForDrain } from './drain.ts';
import { type FindResult, openVerified } from './netns-finder.ts';
import { PodRecord } from './pod-record.ts';
import { type PodView, type RuleDefaults, redirectionOf, ruleOptionsOf } from './pod-view.ts';
import type { HostProbeRules } from './probe-rules.ts';
import { applyRedirection, inspectRedirection, removeRedirection } from './redirection.ts';
import { podRules } from './rules.ts';
import type { SnapshotEntry } from './zds-server.ts';

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;
/** Pods worked on at once: each step runs `nft` or `ip`. */
const MAX_PARALLEL = 8;

/** The part of the ZDS server the reconciler needs. */
export interface ProxyLink {
  readonly connected: number;
  add(workload: ZdsWorkload, netns: number): Promise<string | undefined>;
  del(uid: string): Promise<void>;
}

export interface AgentOptions {
  readonly log: Logger;
  readonly metrics: AgentMetrics;
  readonly writer: PodWriter;
  readonly probes: HostProbeRules;
  readonly rules: RuleDefaults;
  readonly findNamespace: (uid: string, ips: readonly string[]) => FindResult;
  readonly drainLimitMs: number;
  readonly drainQuietMs?: number;
}

/** A new pod's network, as its plugin event tells. */
export interface NewSandbox {
  readonly netnsPath: string;
  readonly ips: readonly string[];
}

export class Agent {
  readonly #options: AgentOptions;
  readonly #records = new Map<string, PodRecord>();
  #link: ProxyLink | undefined;
  #working = 0;
  readonly #turn: (() => void)[] = [];
  #stopped = false;

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  /** What is known before anything is changed: finds the namespaces of wanted pods, so that the first snapshot is whole. */
  recover(pods: Iterable<readonly [pod: PodView, wanted: boolean]>): void {
    for (const [pod, wanted] of pods) {
      const record = this.#record(pod);
      record.wanted = wanted;
      if (pod.hostNetwork || pod.isTerminal || pod.ips.length === 0) continue;
      // Also of pods that are not wanted: an agent that was killed half-way may have left rules in them.
      const found = this.#options.findNamespace(pod.uid, pod.ips);
      if (found.ok) record.adopt(found.value);
      record.served = wanted;
    }
    this.#options.probes.preload([...this.#records.values()].filter(({ wanted }) => wanted).map(({ pod }) => [pod.uid, pod.ips] as const));
  }

  /** Begins to change things. */
  start(link: ProxyLink): void {
    this.#link = link;
    this.#options.probes
      .sync()
      .catch((error: Error) => this.#options.log.error('probe rules of the node failed', { error: error.message }));
    for (const record of this.#records.values()) this.#kick(record);
  }

  stop(): void {
    this.#stopped = true;
    for (const record of this.#records.values()) {
      clearTimeout(record.retry);
      record.draining?.abort();
    }
  }

  /** The pod as it is now, and whether it belongs into the mesh. */
  update(pod: PodView, wanted: boolean): void {
    const record = this.#record(pod);
    // An event can know the addresses before the status does.
    record.pod = pod.ips.length === 0 && record.pod.ips.length > 0 ? { ...pod, ips: record.pod.ips } : pod;
    record.wanted = wanted;
    if (wanted) record.draining?.abort();
    this.#kick(record);
  }

  remove(uid: string): void {
    const record = this.#records.get(uid);
    if (!record) return;
    record.isDeleted = true;
    record.wanted = false;
    record.draining?.abort();
    this.#kick(record);
  }

  /** Every pod the proxy should serve, for a new connection. */
  snapshot(): SnapshotEntry[] {
    const entries: SnapshotEntry[] = [];
    for (const { served, netns, pod } of this.#records.values()) {
      if (served) entries.push(netns ? { workload: workloadOf(pod), netns: netns.fd } : { keep: pod.uid });
    }
    return entries;
  }

  /** The latest proxy has the snapshot; it refused these pods and goes on trying by itself. */
  proxySynced(refused: ReadonlyMap<string, string>): void {
    for (const record of this.#records.values()) {
      if (!record.served) continue;
      const reason = refused.get(record.pod.uid);
      record.acked = reason === undefined && record.netns !== undefined;
      if (reason !== undefined) this.#options.writer.event(record.pod, 'ZtunnelRefused', `ztunnel cannot serve the pod: ${reason}`);
    }
    for (const record of this.#records.values()) if (record.wanted) this.#kick(record);
  }

  proxiesChanged(connected: number): void {
    this.#options.metrics.proxies.set(connected);
    if (connected > 0) return;
    for (const record of this.#records.values()) record.acked = false;
    this.#count();
  }

  /**
   * Puts a new pod into the mesh before its containers run; the text is why that is not possible, and then nothing is left behind.
   * Rules first: nothing runs in there yet that they could cut off.
   */
  admit(pod: PodView, sandbox: NewSandbox): Promise<string | undefined> {
    const record = this.#record(pod);
    record.draining?.abort();
    return record.exclusive(async () => {
      const opened = openVerified(sandbox.netnsPath, sandbox.ips);
      if (!opened.ok) return opened.error;
      record.sandboxGone = false;
      record.wanted = true;
      record.pod = { ...pod, ips: sandbox.ips };
      record.adopt(opened.value);
      const { netns } = record;
      try {
        await this.#applyRules(record);
        record.served = true;
        const refusal = await this.#link!.add(workloadOf(pod), netns!.fd);
        if (refusal !== undefined) throw new Error(refusal);
        record.acked = true;
        await this.#options.probes.set(pod.uid, sandbox.ips);
      } catch (error) {
        await this.#abandon(record);
        this.#finish(record, 'add', false);
        return (error as Error).message;
      }
      this.#finish(record, 'add', true);
      // The annotation follows by itself: the pod is protected already.
      this.#kick(record);
      return undefined;
    });
  }

  /** The pod's network is being taken down. */
  dismiss(uid: string): Promise<void> {
    const record = this.#records.get(uid);
    if (!record) return Promise.resolve();
    return record.exclusive(async () => {
      record.sandboxGone = true;
      await this.#release(record);
    });
  }

  #record(pod: PodView): PodRecord {
    let record = this.#records.get(pod.uid);
    if (!record) {
      record = new PodRecord(pod);
      this.#records.set(pod.uid, record);
    }
    return record;
  }

  #kick(record: PodRecord): void {
    if (!this.#link || this.#stopped) return;
    clearTimeout(record.retry);
    record.dirty = true;
    if (record.busy) return;
    record.busy = true;
    void this.#work(record);
  }

  async #work(record: PodRecord): Promise<void> {
    await this.#takeTurn();
    while (record.dirty && !this.#stopped) {
      record.dirty = false;
      const type = record.wanted ? 'add' : 'remove';
      try {
        const changed = await record.exclusive(() => (record.wanted ? this.#enrol(record) : this.#leave(record)));
        record.failures = 0;
        if (changed) this.#finish(record, type, true);
      } catch (error) {
        if (this.#stopped) break;
        this.#finish(record, type, false);
        this.#again(record, error as Error);
      }
    }
    record.busy = false;
    this.#giveTurn();
    this.#count();
  }

  async #takeTurn(): Promise<void> {
    if (this.#working >= MAX_PARALLEL) await new Promise<void>((resolve) => this.#turn.push(resolve));
    this.#working++;
  }

  #giveTurn(): void {
    this.#working--;
    this.#turn.shift()?.();
  }

  #again(record: PodRecord, error: Error): void {
    const delay = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(record.failures++, 10));
    const { namespace, name } = record.pod;
    this.#options.log.warn('will be tried again', { pod: `${namespace}/${name}`, error: error.message, delay_ms: delay });
    record.retry = setTimeout(() => this.#kick(record), delay);
  }

  /** True when something was changed. */
  async #enrol(record: PodRecord): Promise<boolean> {
    const { pod } = record;
    if (record.sandboxGone || pod.ips.length === 0) return false; // an event or an update will come
    if (!record.netns) {
      const found = this.#options.findNamespace(pod.uid, pod.ips);
      if (!found.ok) {
        this.#options.writer.event(pod, 'NetworkNamespaceNotFound', `the pod cannot be put into the mesh: ${found.error}`);
        throw new Error(found.error);
      }
      record.adopt(found.value);
    }
    const netns = record.netns!;
    const { options } = ruleOptionsOf(pod, this.#options.rules);
    if (record.rules === undefined) {
      const state = await inspectRedirection(netns.fd, options);
      record.rules = state === 'none' ? '' : state === 'current' ? podRules(options).marker : 'other';
    }
    record.served = true;
    if (!record.acked && !(await this.#handOver(record))) return false;
    const before = record.rules;
    await this.#applyRules(record);
    await this.#options.probes.set(pod.uid, pod.ips);
    const annotated = await this.#annotate(record, 'enabled');
    return annotated || before !== record.rules;
  }

  /** Gives the pod to the proxy. Without one the pod stays as it is: with rules if it had some, without if not. */
  async #handOver(record: PodRecord): Promise<boolean> {
    const { pod } = record;
    if (this.#link!.connected === 0) {
      if (record.rules === '') await this.#annotate(record, 'pending');
      return false; // the next proxy's snapshot goes on from here
    }
    const refusal = await this.#link!.add(workloadOf(pod), record.netns!.fd);
    if (refusal === undefined) {
      record.acked = true;
      return true;
    }
    if (record.rules === '') await this.#annotate(record, 'pending');
    if (this.#link!.connected === 0) return false;
    this.#options.writer.event(pod, 'ZtunnelRefused', `ztunnel cannot serve the pod: ${refusal}`);
    throw new Error(`ztunnel refused: ${refusal}`);
  }

  async #applyRules(record: PodRecord): Promise<void> {
    const { options, problems } = ruleOptionsOf(record.pod, this.#options.rules);
    for (const problem of problems) this.#options.writer.event(record.pod, 'InvalidAnnotation', problem);
    const { marker } = podRules(options);
    if (record.rules === marker) return;
    try {
      await applyRedirection(record.netns!.fd, options);
      record.rules = marker;
    } catch (error) {
      record.rules = undefined;
      this.#options.writer.event(record.pod, 'RedirectionFailed', `redirect rules could not be written: ${(error as Error).message}`);
      throw error;
    }
  }

  async #leave(record: PodRecord): Promise<boolean> {
    const { pod } = record;
    if (record.isDeleted || pod.isTerminal) {
      const was = record.served;
      await this.#release(record);
      if (record.isDeleted) this.#records.delete(pod.uid);
      return was;
    }
    const annotated = await this.#annotate(record, undefined);
    const { netns } = record;
    if (!netns) {
      record.served = false;
      return annotated;
    }
    const draining = { ...ruleOptionsOf(pod, this.#options.rules).options, draining: true };
    if (record.rules === undefined && (await inspectRedirection(netns.fd, draining)) === 'none') record.rules = '';
    if (record.rules !== '') {
      await applyRedirection(netns.fd, draining);
      record.rules = podRules(draining).marker;
      if (!(await this.#drain(record))) return true; // wanted again, or gone: the next round knows
    }
    const wasIn = record.served || record.rules !== '';
    if (record.served) await this.#link!.del(pod.uid);
    record.served = false;
    if (record.rules !== '') await removeRedirection(netns.fd);
    await this.#options.probes.set(pod.uid, []);
    record.forget();
    return wasIn || annotated;
  }

  /** False when the wait was given up because the pod is wanted again, has gone, or the agent stops. */
  async #drain(record: PodRecord): Promise<boolean> {
    const { pod } = record;
    record.draining = new AbortController();
    // The request may have come while the rules were written.
    if (record.wanted || record.isDeleted || this.#stopped) record.draining.abort();
    const { drainLimitMs, drainQuietMs, log, metrics } = this.#options;
    const quiet = drainQuietMs === undefined ? {} : { quietMs: drainQuietMs };
    this.#giveTurn(); // the wait is long and does nothing
    const left = await waitForDrain(record.netns!.fd, { limitMs: drainLimitMs, ...quiet, signal: record.draining.signal });
    await this.#takeTurn();
    record.draining = undefined;
    if (left === undefined) return false;
    if (left > 0) {
      metrics.drainLimit.inc();
      log.warn('connections outlived the drain limit and are cut', {
        pod: `${pod.namespace}/${pod.name}`,
        connections: left,
        limit_ms: drainLimitMs,
      });
    }
    return true;
  }

  async #annotate(record: PodRecord, value: Redirection): Promise<boolean> {
    const { pod } = record;
    if (redirectionOf(pod) === value) return false;
    await this.#options.writer.annotate(pod, value);
    const { [REDIRECTION]: _, ...others } = record.pod.annotations;
    record.pod = { ...record.pod, annotations: value === undefined ? others : { ...others, [REDIRECTION]: value } };
    return true;
  }

  /** The namespace is going or gone: only the proxy and the node need to know. */
  async #release(record: PodRecord): Promise<void> {
    if (record.served) await this.#link!.del(record.pod.uid);
    record.served = false;
    await this.#options.probes.set(record.pod.uid, []);
    record.forget();
  }

  /** Undoes a failed {@link admit}. */
  async #abandon(record: PodRecord): Promise<void> {
    try {
      if (record.netns) await removeRedirection(record.netns.fd);
    } catch (error) {
      this.#options.log.warn('rules of a pod that was not admitted stay', { error: (error as Error).message });
    }
    record.sandboxGone = true; // the runtime will make a new one and ask again
    await this.#release(record);
  }

  #finish(record: PodRecord, type: 'add' | 'remove', isOk: boolean): void {
    this.#options.metrics.steps.labels({ type, result: isOk ? 'ok' : 'error' }).inc();
    if (!isOk) return;
    const { namespace, name, uid } = record.pod;
    this.#options.log.info(type === 'add' ? 'pod is in the mesh' : 'pod has left the mesh', { pod: `${namespace}/${name}`, uid });
    this.#count();
  }

  #count(): void {
    let enrolled = 0;
    let pending = 0;
    for (const { wanted, acked, rules, sandboxGone } of this.#records.values()) {
      if (!wanted || sandboxGone) continue;
      if (acked && rules) enrolled++;
      else pending++;
    }
    this.#options.metrics.enrolled.set(enrolled);
    this.#options.metrics.pending.set(pending);
  }
}

const workloadOf = ({ uid, name, namespace, serviceAccount }: PodView): ZdsWorkload => ({ uid, name, namespace, serviceAccount });
