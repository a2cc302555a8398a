/**
 * NetworkPolicies as proxies know them. Selectors have become groups of pods, which the control plane keeps: a change of a pod's labels is a change of one
 * workload, a change of a policy one of that policy, however many pods there are.
 */
import type { Cidr } from '../model.ts';

/** `cidr` without `except`. */
export interface IpBlock {
  readonly cidr: Cidr;
  readonly except: readonly Cidr[];
}

/** `text`: the selectors or the block in words. */
export type NetworkPeer =
  | { readonly kind: 'group'; readonly group: string; readonly text: string }
  | { readonly kind: 'block'; readonly block: IpBlock; readonly text: string };

/** A named port is a port of the destination pod, for ingress and egress alike. */
export type NetworkPort =
  | { readonly kind: 'range'; readonly first: number; readonly last: number }
  | { readonly kind: 'name'; readonly name: string };

/** One of the peers and one of the ports; no peers: anybody, no ports: every TCP port. */
export interface NetworkRule {
  readonly peers: readonly NetworkPeer[];
  readonly ports: readonly NetworkPort[];
}

/** Its key is `namespace/name`. A direction that is undefined is not constrained; one without rules allows nothing. */
export interface NetworkPolicy {
  readonly namespace: string;
  readonly name: string;
  /** Id of the group of pods it selects. */
  readonly selects: string;
  /** Its `podSelector` in words. */
  readonly selector: string;
  readonly ingress?: readonly NetworkRule[];
  readonly egress?: readonly NetworkRule[];
}

/** What a pod is to NetworkPolicies. */
export interface NetworkFacts {
  /** Ids of all groups it is in. */
  readonly groups: ReadonlySet<string>;
  /** The container ports that policies name. */
  readonly ports: ReadonlyMap<string, number>;
  /** Canonical text. */
  readonly nodeAddresses: readonly string[];
  /** It is a waypoint that evaluates NetworkPolicies for those whose traffic it forwards. */
  readonly enforces: boolean;
}

export type NetworkDirection = 'ingress' | 'egress';
