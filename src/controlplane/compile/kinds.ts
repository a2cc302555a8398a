import type {
  AuthorizationPolicy,
  EndpointSlice,
  Gateway,
  GatewayClass,
  Service as KubeService,
  Namespace,
  NetworkPolicy,
  Node,
  PeerAuthentication,
  Pod,
  ServiceEntry,
  WorkloadEntry,
} from '../../platform/kubernetes/index.ts';
import type { NewResource } from '../xds/store.ts';

/** The kinds that are compiled, with their types. */
export interface CompiledKinds {
  Namespace: Namespace;
  Node: Node;
  Pod: Pod;
  Service: KubeService;
  EndpointSlice: EndpointSlice;
  AuthorizationPolicy: AuthorizationPolicy;
  PeerAuthentication: PeerAuthentication;
  NetworkPolicy: NetworkPolicy;
  Gateway: Gateway;
  GatewayClass: GatewayClass;
  ServiceEntry: ServiceEntry;
  WorkloadEntry: WorkloadEntry;
}
export type CompiledKind = keyof CompiledKinds;

/** What one `flush` changed, by resource name; undefined means gone. Unchanged content may be included. */
export interface CompiledChanges {
  readonly addresses: ReadonlyMap<string, NewResource | undefined>;
  readonly authorizations: ReadonlyMap<string, NewResource | undefined>;
  readonly networkPolicies: ReadonlyMap<string, NewResource | undefined>;
  /** Services (`namespace/name`) that were compiled. */
  readonly services: ReadonlySet<string>;
  /** Pods that came, went, or have other labels, before and after. */
  readonly movedPods: readonly MovedPod[];
}

export interface MovedPod {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>> | undefined;
}
