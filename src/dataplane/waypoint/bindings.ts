/**
 * What this waypoint stands before, and what it has just stopped standing before. Node proxies are told of a change at about the same time, not before: for
 * {@link LIMITS.LEAVING} their streams still come, and are served as before, while clients with open connections are asked to make new ones.
 */
import {
  canonicalIp,
  type Failure,
  type MeshRegistry,
  type RegistryChange,
  resolveWaypointTarget,
  type Service,
  serviceKey,
  standsBefore,
  type WaypointTarget,
  type Workload,
} from '../../mesh/index.ts';
import { LIMITS } from './limits.ts';
import { WORKLOAD_PREFIX } from './traffic.ts';

interface Served {
  readonly subject: Service | Workload;
  readonly connectionIp: string;
}

interface Left {
  readonly subject: Service | Workload;
  /** On the clock of `performance.now()`. */
  readonly since: number;
}

export class Bindings {
  readonly #registry: MeshRegistry;
  readonly #self: () => Workload | undefined;
  /** By what plans name it by; only what clients have asked for. */
  readonly #served = new Map<string, Served>();
  readonly #left = new Map<string, Left>();

  constructor(registry: MeshRegistry, self: () => Workload | undefined) {
    this.#registry = registry;
    this.#self = self;
  }

  resolve(self: Workload, connectionIp: string, host: string, port: number, now: number): WaypointTarget | Failure {
    const found = resolveWaypointTarget(this.#registry, self, connectionIp, { host, port });
    if (found.kind === 'failure') return this.#left.size === 0 ? found : (this.#leaving(host, port, now) ?? found);
    const subject = found.kind === 'service' ? found.service : found.workload;
    const key = keyOf(subject);
    if (this.#served.get(key)?.subject !== subject) this.#served.set(key, { subject, connectionIp });
    if (this.#left.size > 0) this.#left.delete(key);
    return found;
  }

  /** Whether it was served and is not any more; true for long enough that every connection of then has met it. */
  hasLeft(key: string): boolean {
    return this.#left.size > 0 && this.#left.has(key);
  }

  /** Keys of what this waypoint no longer stands before since this change. */
  registryChanged({ services, workloads }: RegistryChange, now: number): string[] {
    const self = this.#self();
    if (self === undefined || (services.size === 0 && workloads.size === 0)) return [];
    for (const [key, { since }] of this.#left) if (now - since > LIMITS.IDLE_CONNECTION) this.#left.delete(key);
    const gone: string[] = [];
    for (const [key, { subject, connectionIp }] of this.#served) {
      const current = 'uid' in subject ? this.#registry.workload(subject.uid) : this.#registry.service(key);
      if (current !== undefined && standsBefore(this.#registry, current, self, connectionIp)) {
        if (current !== subject) this.#served.set(key, { subject: current, connectionIp });
        continue;
      }
      this.#served.delete(key);
      this.#left.set(key, { subject, since: now });
      gone.push(key);
    }
    return gone;
  }

  #leaving(host: string, port: number, now: number): WaypointTarget | undefined {
    const ip = canonicalIp(host);
    for (const { subject, since } of this.#left.values()) {
      if (now - since > LIMITS.LEAVING) continue;
      if ('uid' in subject) {
        if (ip !== undefined && subject.addresses.includes(ip)) return { kind: 'workload', workload: subject, port };
      } else if (ip === undefined ? subject.hostname === host : subject.vips.some(({ address }) => address === ip)) {
        if (subject.ports.some(({ servicePort }) => servicePort === port)) return { kind: 'service', service: subject, port };
      }
    }
    return undefined;
  }
}

const keyOf = (subject: Service | Workload): string => ('uid' in subject ? WORKLOAD_PREFIX + subject.uid : serviceKey(subject));
