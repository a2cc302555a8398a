/** NetworkPolicies and the connections of one pod: asked when a connection begins, and again when something changes that they depend on. */
import {
  admitNetwork,
  type Connection,
  type MeshRegistry,
  type NetworkDecision,
  networkRefusal,
  networkSource,
  type RegistryChange,
  type Workload,
} from '../../mesh/index.ts';
import { type ConnectionEnd, endOf } from '../core/end-reason.ts';
import { NetworkWatch, type NetworkWatched } from '../core/network-watch.ts';

/** An open connection that NetworkPolicies keep applying to. */
export interface GuardedConnection extends NetworkWatched {
  /** The other end. */
  readonly peerIp: string;
}

/** How long a connection waits for the mesh to know the pod it comes from, milliseconds: a pod may connect as soon as it runs. */
const UNKNOWN_SOURCE_MS = 1000;
/** Connections of one pod that may wait for that. */
const WAITING_LIMIT = 1000;

export const networkEnd = (reason: 'network-policy' | 'network-policy-change', decision: NetworkDecision): ConnectionEnd =>
  endOf(reason, networkRefusal(decision));

interface Waiting {
  readonly ip: string;
  readonly wake: () => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

export class NetworkGuard {
  readonly #registry: MeshRegistry;
  readonly #network: string;
  readonly #watch = new NetworkWatch<GuardedConnection>();
  readonly #waiting = new Set<Waiting>();

  constructor(registry: MeshRegistry, network: string) {
    this.#registry = registry;
    this.#network = network;
  }

  watch(connection: GuardedConnection): void {
    this.#watch.watch(connection);
  }

  release(connection: GuardedConnection): void {
    this.#watch.release(connection);
  }

  /** An inbound connection to the pod `local`. */
  admit(local: Workload, { sourceIp, identity, destinationIp, destinationPort }: Connection): NetworkDecision {
    const source = networkSource(this.#registry, this.#network, sourceIp, identity);
    return admitNetwork(this.#registry, source, local, { sourceIp, identity, destinationIp, port: destinationPort });
  }

  /** Calls back once the pod with this address is known, or after a while; false: too many wait already. */
  whenKnown(ip: string, then: () => void): boolean {
    if (this.#waiting.size >= WAITING_LIMIT) return false;
    const wake = (): void => {
      clearTimeout(waiting.timer);
      if (this.#waiting.delete(waiting)) then();
    };
    const waiting: Waiting = { ip, wake, timer: setTimeout(wake, UNKNOWN_SOURCE_MS) };
    this.#waiting.add(waiting);
    return true;
  }

  isKnown(ip: string): boolean {
    return this.#registry.workloadByAddress(this.#network, ip) !== undefined;
  }

  /** `isOwnTouched`: the pod itself, or a service of it, is another than before. */
  changed({ workloads, networkPolicies }: RegistryChange, isOwnTouched: boolean): void {
    for (const { ip, wake } of [...this.#waiting]) if (this.isKnown(ip)) wake();
    const isTouched = isOwnTouched || networkPolicies.size > 0;
    if (!isTouched && (workloads.size === 0 || this.#registry.networkPolicies.size === 0)) return;
    this.#watch.reconsider(({ peerIp }) => isTouched || this.#isPeerTouched(peerIp, workloads));
  }

  close(): void {
    this.#watch.close();
    for (const { timer } of this.#waiting) clearTimeout(timer);
    this.#waiting.clear();
  }

  /** One that is not known (any more) may be the one that changed. */
  #isPeerTouched(ip: string, workloads: ReadonlySet<string>): boolean {
    const peer = this.#registry.workloadByAddress(this.#network, ip);
    return peer === undefined || workloads.has(peer.uid);
  }
}
