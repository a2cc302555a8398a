import type { Connection } from '../xds/connection.ts';
import type { ScopedStores } from '../xds/scoped.ts';
import type { Subscription } from '../xds/subscription.ts';
import type { WantedCondition } from './conditions.ts';

interface Replica {
  readonly proxy: string;
  readonly subscription: Subscription;
}

/** Names listed in a message before "and N more". */
const NAMES_LIMIT = 5;
const REASON_LIMIT = 300;

/** What the replicas of all waypoints have taken of their plans, at one moment. */
export class WaypointAcknowledgements {
  /** Changes whenever an answer of any replica may be another one. */
  readonly signature: string;
  /** service → what a replica found wrong with its plan. */
  readonly rejected: ReadonlyMap<string, string>;
  readonly #plans: ScopedStores;
  readonly #replicas = new Map<string, Replica[]>();

  constructor(plans: ScopedStores, connections: Iterable<Connection>) {
    this.#plans = plans;
    const rejected = new Map<string, string>();
    const parts: string[] = [];
    for (const connection of connections) {
      const subscription = connection.waypoint === '' ? undefined : connection.subscriptions.get(plans.typeUrl);
      // A replica that has not answered yet serves nobody yet.
      if (subscription === undefined || subscription.acknowledged < 0) continue;
      const replicas = this.#replicas.get(connection.waypoint) ?? [];
      this.#replicas.set(connection.waypoint, replicas);
      replicas.push({ proxy: connection.proxy, subscription });
      parts.push(`${connection.id}=${subscription.acknowledged}`);
      for (const [service, reason] of subscription.rejected) rejected.set(service, `${connection.proxy}: ${reason.slice(0, REASON_LIMIT)}`);
    }
    this.rejected = rejected;
    this.signature = `${parts.sort().join()} ${[...rejected.keys()].sort().join()}`;
  }

  /** Waypoints (`namespace/name`) of which a replica listens. */
  get connected(): ReadonlySet<string> {
    return new Set(this.#replicas.keys());
  }

  /** Whether the waypoints have the present plans of these services; undefined when no waypoint is concerned. */
  condition(
    type: string,
    services: readonly { readonly service: string; readonly waypoints: readonly string[] }[],
  ): WantedCondition | undefined {
    const waypoints = [...new Set(services.flatMap((each) => each.waypoints))].sort();
    if (waypoints.length === 0) return undefined;
    const refused: string[] = [];
    const pending = new Set<string>();
    let counted = 0;
    for (const { service, waypoints: own } of services) {
      for (const waypoint of own) {
        const changedAt = this.#plans.scope(waypoint).get(service)?.changedAt ?? 0;
        for (const { proxy, subscription } of this.#replicas.get(waypoint) ?? []) {
          counted++;
          const reason = subscription.rejected.get(service) ?? subscription.rejected.get('*');
          if (reason !== undefined) refused.push(`${proxy}: ${reason.slice(0, REASON_LIMIT)}`);
          else if (subscription.acknowledged < changedAt) pending.add(proxy);
        }
      }
    }
    const names = waypoints.length === 1 ? `waypoint ${waypoints[0]}` : `waypoints ${waypoints.join(', ')}`;
    if (refused.length > 0) return { type, status: 'False', reason: 'Rejected', message: `rejected by ${listed(refused)}` };
    if (pending.size > 0) return { type, status: 'False', reason: 'Pending', message: `waiting for ${listed([...pending].sort())}` };
    if (counted === 0) return { type, status: 'Unknown', reason: 'NoProxies', message: `no replica of ${names} is connected` };
    return { type, status: 'True', reason: 'Acknowledged', message: `acknowledged by every replica of ${names}` };
  }
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_LIMIT).join('; ');
  return names.length > NAMES_LIMIT ? `${shown} and ${names.length - NAMES_LIMIT} more` : shown;
}
