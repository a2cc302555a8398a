/**
 * Tunnels of one pod, shared by its connections to the same peer. Concurrent first connections wait for one dial; a tunnel without streams is
 * kept for a while, unless its destination has left the mesh.
 */
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import type { Http2CloseReason } from '../../protocol/index.ts';
import { type ConnectionEnd, endOf } from './end-reason.ts';
import type { ClientTunnel } from './hbone-client.ts';

/** Connections that may wait for tunnels of one pod. */
export const MAX_POOL_WAITERS = 16_384;
/** How often idle tunnels are looked for, in milliseconds. */
const SWEEP_INTERVAL = 10_000;

export interface PoolUser {
  /** Called once, perhaps at once. The tunnel has room for a stream now. */
  onTunnel(tunnel: ClientTunnel): void;
  onNoTunnel(end: ConnectionEnd): void;
}

export interface PoolOptions {
  readonly maxStreams: number;
  readonly releaseAfter: number;
  /** Starts a tunnel; its events go to the pool. */
  readonly dial: (destination: PoolDestination, pool: HbonePool) => ClientTunnel;
  /** A tunnel that was ready is over. */
  readonly closed?: (destination: PoolDestination, reason: Http2CloseReason, detail: string) => void;
}

/** What tunnels are shared by: same server address, same expected identities (in order), same client address and identity. */
export interface PoolDestination {
  readonly sourceIdentity: string;
  readonly sourceIp: string;
  readonly ip: string;
  readonly port: number;
  readonly acceptedIdentities: readonly string[];
  /** Uid of the workload at the other end. */
  readonly workload: string;
}

interface Group {
  readonly destination: PoolDestination;
  readonly ready: ClientTunnel[];
  dialing: ClientTunnel | undefined;
  waiters: PoolUser[];
}

const keyOf = (to: PoolDestination): string => `${to.ip} ${to.port} ${to.sourceIp} ${to.sourceIdentity} ${to.acceptedIdentities.join(' ')}`;

export class HbonePool implements Deadline {
  readonly #options: PoolOptions;
  readonly #groups = new Map<string, Group>();
  readonly #groupOf = new Map<ClientTunnel, Group>();
  #waiting = 0;
  #closed = false;
  dueAt = performance.now() + SWEEP_INTERVAL;

  constructor(options: PoolOptions) {
    this.#options = options;
    deadlines.add(this);
  }

  get tunnelCount(): number {
    return this.#groupOf.size;
  }

  acquire(destination: PoolDestination, user: PoolUser): void {
    const key = keyOf(destination);
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = { destination, ready: [], dialing: undefined, waiters: [] };
      this.#groups.set(key, group);
    }
    const tunnel = this.#withRoom(group);
    if (tunnel !== undefined) {
      user.onTunnel(tunnel);
      return;
    }
    if (this.#closed || this.#waiting >= MAX_POOL_WAITERS) {
      user.onNoTunnel(endOf(this.#closed ? 'pod-removed' : 'pool-exhausted'));
      return;
    }
    group.waiters.push(user);
    this.#waiting++;
    this.#dial(group);
  }

  /** A waiter whose connection has gone. */
  abandon(user: PoolUser): void {
    for (const group of this.#groups.values()) {
      const at = group.waiters.indexOf(user);
      if (at < 0) continue;
      group.waiters.splice(at, 1);
      this.#waiting--;
      return;
    }
  }

  onTunnelReady(tunnel: ClientTunnel): void {
    const group = this.#groupOf.get(tunnel);
    if (group === undefined) return;
    group.dialing = undefined;
    group.ready.push(tunnel);
    this.#serve(group);
  }

  onTunnelFailed(tunnel: ClientTunnel, end: ConnectionEnd): void {
    const group = this.#forget(tunnel);
    if (group === undefined) return;
    const waiters = group.waiters.splice(0);
    this.#waiting -= waiters.length;
    for (const waiter of waiters) waiter.onNoTunnel(end);
  }

  onTunnelClosed(tunnel: ClientTunnel, reason: Http2CloseReason, detail: string): void {
    const group = this.#forget(tunnel);
    if (group === undefined) return;
    this.#options.closed?.(group.destination, reason, detail);
    this.#serve(group);
  }

  /** Closes tunnels without streams whose destination no longer takes tunnels. */
  releaseIdle(isGone: (workload: string) => boolean): void {
    for (const [tunnel, group] of [...this.#groupOf])
      if (tunnel.isReady && tunnel.isUnused && isGone(group.destination.workload)) this.#release(tunnel);
  }

  onDeadline(now: number): void {
    this.dueAt = now + SWEEP_INTERVAL;
    for (const tunnel of [...this.#groupOf.keys()])
      if (tunnel.isReady && tunnel.isUnused && now - tunnel.idleSince > this.#options.releaseAfter) this.#release(tunnel);
    for (const [key, group] of this.#groups)
      if (group.ready.length === 0 && group.dialing === undefined && group.waiters.length === 0) this.#groups.delete(key);
  }

  /** Ends every tunnel at once; their streams are reset. */
  close(end: ConnectionEnd): void {
    this.#closed = true;
    deadlines.delete(this);
    for (const group of this.#groups.values()) for (const waiter of group.waiters.splice(0)) waiter.onNoTunnel(end);
    for (const tunnel of [...this.#groupOf.keys()]) {
      if (tunnel.isReady) tunnel.fail(end.message);
      else tunnel.cancel();
    }
    this.#groups.clear();
    this.#groupOf.clear();
  }

  #withRoom(group: Group): ClientTunnel | undefined {
    for (const tunnel of group.ready)
      if (
        tunnel.isReady &&
        !tunnel.http2.isDraining &&
        tunnel.connectionCount < this.#options.maxStreams &&
        tunnel.http2.availableStreams > 0
      )
        return tunnel;
    return undefined;
  }

  #dial(group: Group): void {
    if (group.dialing !== undefined) return;
    const tunnel = this.#options.dial(group.destination, this);
    group.dialing = tunnel;
    this.#groupOf.set(tunnel, group);
  }

  #serve(group: Group): void {
    while (group.waiters.length > 0) {
      const tunnel = this.#withRoom(group);
      if (tunnel === undefined) {
        this.#dial(group);
        return;
      }
      this.#waiting--;
      group.waiters.shift()!.onTunnel(tunnel);
    }
  }

  #release(tunnel: ClientTunnel): void {
    this.#forget(tunnel);
    tunnel.cancel();
  }

  #forget(tunnel: ClientTunnel): Group | undefined {
    const group = this.#groupOf.get(tunnel);
    if (group === undefined) return undefined;
    this.#groupOf.delete(tunnel);
    if (group.dialing === tunnel) group.dialing = undefined;
    const at = group.ready.indexOf(tunnel);
    if (at >= 0) group.ready.splice(at, 1);
    return group;
  }
}
