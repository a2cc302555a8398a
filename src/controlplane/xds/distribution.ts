import type { Logger } from '../../platform/telemetry/index.ts';
import type { Authenticator } from '../ca/authenticate.ts';
import { type ControlPlaneMetrics, shortType } from '../metrics.ts';
import { ADDRESS_TYPE, AUTHORIZATION_TYPE, NETWORK_POLICY_TYPE, SERVICE_PLAN_TYPE } from '../wire.ts';
import { ScopedStores } from './scoped.ts';
import { DiscoveryServer } from './server.ts';
import { ResourceStore } from './store.ts';
import { split, splitScopes, type Updates } from './updates.ts';

export interface DistributionSources {
  readonly authenticator: Authenticator;
  readonly metrics: ControlPlaneMetrics;
  /** Proxies came or went, or have acknowledged or rejected something. */
  readonly onProxiesChanged: () => void;
  readonly log: Logger;
  readonly xdsLog: Logger;
}

/** What one compilation changed. */
export interface Compiled {
  readonly addresses: Updates;
  readonly authorizations: Updates;
  readonly networkPolicies: Updates;
  /** By waypoint. */
  readonly plans: ReadonlyMap<string, Updates>;
}

/** What proxies can have, the server that they get it from, and the order in which a change reaches them. */
export class Distribution {
  readonly addresses = new ResourceStore(ADDRESS_TYPE);
  readonly authorizations = new ResourceStore(AUTHORIZATION_TYPE);
  readonly networkPolicies = new ResourceStore(NETWORK_POLICY_TYPE);
  /** Route plans, for each waypoint those of its services and of the services they lead to. */
  readonly plans = new ScopedStores(SERVICE_PLAN_TYPE);
  /** Those that every proxy can have. */
  readonly stores: readonly ResourceStore[] = [this.addresses, this.authorizations, this.networkPolicies];
  readonly server: DiscoveryServer;
  readonly #metrics: ControlPlaneMetrics;
  #changedAt = 0;

  constructor({ authenticator, metrics, onProxiesChanged, log, xdsLog }: DistributionSources) {
    this.#metrics = metrics;
    const connectionsChanged = () => {
      metrics.connected.labels({ version: 'lateen' }).set(this.server.connections.size);
      onProxiesChanged();
    };
    this.server = new DiscoveryServer(
      this.stores,
      authenticator,
      xdsLog,
      {
        onConnect: connectionsChanged,
        onDisconnect: ({ proxy }) => {
          connectionsChanged();
          log.info(`proxy ${proxy} disconnected`);
        },
        onReceived: onProxiesChanged,
        onSent: (_connection, typeUrl, _resources, size) => {
          metrics.pushes.labels({ type: shortType(typeUrl) }).inc();
          metrics.configSize.labels({ type: shortType(typeUrl) }).observe(size);
          if (this.#changedAt > 0) metrics.convergence.observe((performance.now() - this.#changedAt) / 1000);
        },
        onRejected: ({ proxy }, typeUrl, reason) => {
          metrics.rejects.labels({ type: shortType(typeUrl) }).inc();
          log.warn(`proxy ${proxy} rejected resources: ${reason}`, { type: typeUrl });
        },
      },
      [this.plans],
    );
  }

  /** Puts what was compiled since `startedAt` (of `performance.now()`) into the stores and sends it; returns how many resources are other than before. */
  apply({ addresses, authorizations, networkPolicies, plans }: Compiled, startedAt: number): number {
    // A new policy reaches proxies before the workloads that name it, and leaves after them: never a moment without it. So do plans with
    // the services that are sent through a waypoint.
    const [added, removed] = split(authorizations);
    const [addedPlans, removedPlans] = splitScopes(plans);
    this.#changedAt = startedAt;
    let changes = this.authorizations.apply(added).length + this.plans.apply(addedPlans);
    if (changes > 0) this.server.pushAll();
    const moved = this.addresses.apply(addresses).length;
    if (moved > 0) this.server.pushAll();
    // NetworkPolicies are the other way round: their peers are in the groups they speak of before they do.
    changes += this.networkPolicies.apply(networkPolicies).length;
    changes += moved + this.authorizations.apply(removed).length + this.plans.apply(removedPlans);
    this.server.pushAll();
    this.#changedAt = 0;
    for (const store of [...this.stores, this.plans]) this.#metrics.resources.labels({ type: shortType(store.typeUrl) }).set(store.size);
    return changes;
  }
}
