/**
 * NetworkPolicies at the waypoint: whether this client may connect to that endpoint. The endpoint's own proxy sees the waypoint as the source and leaves the
 * decision to it, so each request is decided after its endpoint is chosen.
 */
import type { EndpointState } from '../../mesh/http/index.ts';
import {
  decideNetwork,
  type MeshRegistry,
  NETWORK_ALLOWED,
  type NetworkDecision,
  networkSource,
  type RegistryChange,
  reachWorkload,
} from '../../mesh/index.ts';
import { NetworkWatch, type NetworkWatched } from '../core/network-watch.ts';
import type { Client } from './client.ts';
import type { LocalAnswer } from './filters.ts';

/** Families of addresses are compared with what the client asked for; a waypoint has no such address. */
const ANY_ADDRESS = '0.0.0.0';

/** For the client, who need not know which policies there are; the log says it. */
export const NETWORK_REFUSED: LocalAnswer = {
  status: 403,
  flag: 'UAEX',
  details: 'network_policy_denied',
  body: 'access denied by NetworkPolicy',
};

interface Decisions {
  readonly version: number;
  readonly byEndpoint: Map<EndpointState, NetworkDecision>;
}

export class NetworkRules {
  readonly #registry: MeshRegistry;
  readonly #network: string;
  /** Of what is open, what depends on a change. */
  readonly #watch = new NetworkWatch();
  /** A client's requests go to the same few endpoints: each is decided once per state of the mesh. */
  readonly #decided = new WeakMap<Client, Decisions>();

  constructor(registry: MeshRegistry, network: string) {
    this.#registry = registry;
    this.#network = network;
  }

  decide(client: Client, endpoint: EndpointState): NetworkDecision {
    const { networkPolicies, version } = this.#registry;
    if (networkPolicies.size === 0) return NETWORK_ALLOWED;
    let decisions = this.#decided.get(client);
    if (decisions?.version !== version) {
      decisions = { version, byEndpoint: new Map() };
      this.#decided.set(client, decisions);
    }
    let decision = decisions.byEndpoint.get(endpoint);
    if (decision === undefined) {
      decision = this.#decide(client, endpoint);
      decisions.byEndpoint.set(endpoint, decision);
    }
    return decision;
  }

  watch(one: NetworkWatched): void {
    this.#watch.watch(one);
  }
  release(one: NetworkWatched): void {
    this.#watch.release(one);
  }

  changed({ workloads, networkPolicies }: RegistryChange): void {
    if (networkPolicies.size > 0 || (workloads.size > 0 && this.#registry.networkPolicies.size > 0)) this.#watch.reconsider(() => true);
  }

  close(): void {
    this.#watch.close();
  }

  #decide({ ip, identity }: Client, { workload, targetPort }: EndpointState): NetworkDecision {
    const source = networkSource(this.#registry, this.#network, ip, identity);
    const reach = reachWorkload(workload, undefined, ANY_ADDRESS);
    // The registry may know the endpoint better than the cluster that has not been asked since.
    const current = this.#registry.workload(workload.uid) ?? workload;
    // A name is resolved later: only rules that allow everybody cover it.
    const destination = { ip: reach?.kind === 'ip' ? reach.ip : '', workload: current };
    return decideNetwork(this.#registry.networkPolicies, { source: { ip, workload: source }, destination, port: targetPort });
  }
}
