/** AuthorizationPolicies and PeerAuthentications in, Authorizations out, and which of them a workload lists. */
import { type AuthorizationPolicy, objectKey, type PeerAuthentication } from '../../platform/kubernetes/index.ts';
import {
  type ConvertedPolicy,
  convertAuthorizationPolicy,
  convertPeerAuthentication,
  effectivePeerAuthentication,
  encodeAuthorization,
  inheritedPeerMode,
  policyKey,
  selectsWorkload,
  staticStrictPolicy,
} from '../wire.ts';
import type { CompileEach, Resources } from './resources.ts';
import { NamespacedTable } from './table.ts';

/** Workloads with these labels, in the namespace or everywhere, may list other policies now. */
type MarkWorkloads = (namespace: string, labels: Readonly<Record<string, string>>, everywhere: boolean) => void;

export class PolicyCompiler {
  readonly #rootNamespace: string;
  readonly #markWorkloads: MarkWorkloads;
  readonly #policies = new NamespacedTable<AuthorizationPolicy>();
  readonly #peers = new NamespacedTable<PeerAuthentication>();
  readonly #compiled = new Map<string, ConvertedPolicy>();
  readonly #dirtyPolicies = new Set<string>();
  readonly #dirtyPeers = new Set<string>();
  #isNew = true;

  constructor(rootNamespace: string, markWorkloads: MarkWorkloads) {
    this.#rootNamespace = rootNamespace;
    this.#markWorkloads = markWorkloads;
  }

  get isDirty(): boolean {
    return this.#isNew || this.#dirtyPolicies.size + this.#dirtyPeers.size > 0;
  }

  /** What became of a policy at the last `flush`. */
  policy(key: string): ConvertedPolicy | undefined {
    return this.#compiled.get(key);
  }

  setPolicy(key: string, policy: AuthorizationPolicy | undefined): void {
    const before = this.#policies.set(key, policy);
    this.#dirtyPolicies.add(key);
    for (const version of [before, policy]) {
      const labels = version?.spec?.selector?.matchLabels;
      if (labels === undefined || Object.keys(labels).length === 0) continue;
      const namespace = version!.metadata.namespace ?? '';
      this.#markWorkloads(namespace, labels, namespace === this.#rootNamespace);
    }
  }

  setPeer(key: string, policy: PeerAuthentication | undefined): void {
    const before = this.#peers.set(key, policy);
    this.#dirtyPeers.add(key);
    for (const version of [before, policy]) {
      if (version === undefined) continue;
      const namespace = version.metadata.namespace ?? '';
      const labels = version.spec?.selector?.matchLabels ?? {};
      const isWide = Object.keys(labels).length === 0;
      const isMesh = isWide && namespace === this.#rootNamespace;
      this.#markWorkloads(namespace, labels, isMesh);
      // Selector policies that inherit their mode are made of the wider one too.
      if (isWide) for (const other of isMesh ? this.#peers.all() : this.#peers.in(namespace)) this.#dirtyPeers.add(objectKey(other));
    }
  }

  /** Keys of selector policies of a workload's namespace and the root namespace, with those made from PeerAuthentication. */
  keysFor(namespace: string, labels: Readonly<Record<string, string>> | undefined): string[] {
    const rootNamespace = this.#rootNamespace;
    const subject = { namespace, labels };
    const keys: string[] = [];
    for (const scope of namespace === rootNamespace ? [namespace] : [namespace, rootNamespace]) {
      for (const policy of this.#policies.in(scope)) {
        const key = objectKey(policy);
        const compiled = this.#compiled.get(key);
        if (compiled !== undefined && selectsWorkload(compiled, subject, rootNamespace)) keys.push(key);
      }
    }
    keys.push(...effectivePeerAuthentication(this.#peersFor(namespace), subject, rootNamespace).keys);
    return keys;
  }

  flush(into: Resources, each: CompileEach): void {
    if (this.#isNew) {
      this.#isNew = false;
      const strict = staticStrictPolicy(this.#rootNamespace);
      into.set(policyKey(strict), { value: encodeAuthorization(strict) });
    }
    each(this.#dirtyPolicies, 'AuthorizationPolicy', (key) => this.#compilePolicy(key, into));
    each(this.#dirtyPeers, 'PeerAuthentication', (key) => this.#compilePeer(key, into));
  }

  #compilePolicy(key: string, into: Resources): void {
    const policy = this.#policies.get(key);
    if (policy === undefined) {
      this.#compiled.delete(key);
      into.set(key, undefined);
      return;
    }
    const compiled = convertAuthorizationPolicy(policy, this.#rootNamespace);
    this.#compiled.set(key, compiled);
    into.set(key, compiled.authorization === undefined ? undefined : { value: encodeAuthorization(compiled.authorization) });
  }

  #compilePeer(key: string, into: Resources): void {
    const policy = this.#peers.get(key);
    const rootNamespace = this.#rootNamespace;
    const namespace = key.slice(0, key.indexOf('/'));
    const converted =
      policy && convertPeerAuthentication(policy, inheritedPeerMode(this.#peersFor(namespace), namespace, rootNamespace), rootNamespace);
    into.set(convertedPeerKey(key), converted && { value: encodeAuthorization(converted) });
  }

  /** The PeerAuthentications that can matter in a namespace: its own and the root namespace's. */
  #peersFor(namespace: string): PeerAuthentication[] {
    const rootNamespace = this.#rootNamespace;
    return namespace === rootNamespace ? [...this.#peers.in(namespace)] : [...this.#peers.in(namespace), ...this.#peers.in(rootNamespace)];
  }
}

/** Resource name of what a PeerAuthentication (`namespace/name`) is converted to, whether or not it is (3.6). */
export const convertedPeerKey = (key: string): string => key.replace('/', '/converted_peer_authentication_');
