import { objectKey, type Pod } from '../../platform/kubernetes/index.ts';
import type { PodDirectory } from './impersonate.ts';

interface Known {
  readonly uid: string;
  readonly serviceAccount: string;
  readonly node: string;
  readonly namespace: string;
  readonly isEnded: boolean;
}

/** Which service accounts run on which node, kept from pod events. */
export class PodIndex implements PodDirectory {
  readonly #pods = new Map<string, Known>();
  /** node → `namespace/serviceAccount` → number of pods that have not ended. */
  readonly #accounts = new Map<string, Map<string, number>>();

  upsert(pod: Pod): void {
    const key = objectKey(pod);
    this.#count(this.#pods.get(key), -1);
    const known: Known = {
      uid: pod.metadata.uid ?? '',
      serviceAccount: pod.spec.serviceAccountName || 'default',
      node: pod.spec.nodeName ?? '',
      namespace: pod.metadata.namespace ?? '',
      isEnded: pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed',
    };
    this.#pods.set(key, known);
    this.#count(known, 1);
  }

  remove(key: string): void {
    this.#count(this.#pods.get(key), -1);
    this.#pods.delete(key);
  }

  find(namespace: string, name: string): Known | undefined {
    return this.#pods.get(`${namespace}/${name}`);
  }

  runsOnNode(node: string, namespace: string, serviceAccount: string): boolean {
    return (this.#accounts.get(node)?.get(`${namespace}/${serviceAccount}`) ?? 0) > 0;
  }

  #count(pod: Known | undefined, by: number): void {
    if (pod === undefined || pod.isEnded || pod.node === '') return;
    const account = `${pod.namespace}/${pod.serviceAccount}`;
    let accounts = this.#accounts.get(pod.node);
    if (accounts === undefined) {
      accounts = new Map();
      this.#accounts.set(pod.node, accounts);
    }
    const count = (accounts.get(account) ?? 0) + by;
    if (count > 0) accounts.set(account, count);
    else accounts.delete(account);
    if (accounts.size === 0) this.#accounts.delete(pod.node);
  }
}
