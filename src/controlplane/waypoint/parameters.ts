import { type ConfigMap, ConfigMapKind, type Gateway, Informer, type KubeClient, objectKey } from '../../platform/kubernetes/index.ts';
import { fail, ok, type Result } from '../wire.ts';

interface Watched {
  readonly informer: Informer<ConfigMap>;
  readonly abort: AbortController;
  readonly users: Set<string>;
}

/** The ConfigMaps that Gateways name as their parameters: each is watched by itself, as long as a Gateway names it. */
export class ParameterMaps {
  readonly #client: KubeClient;
  readonly #signal: AbortSignal;
  readonly #onChange: (gateway: string) => void;
  readonly #watched = new Map<string, Watched>();

  constructor(client: KubeClient, signal: AbortSignal, onChange: (gateway: string) => void) {
    this.#client = client;
    this.#signal = signal;
    this.#onChange = onChange;
  }

  /** The Gateway's own ConfigMap, or none; an error says why the reference cannot be used. */
  async of(gateway: Gateway): Promise<Result<ConfigMap | undefined, string>> {
    const reference = gateway.spec.infrastructure?.parametersRef;
    const user = objectKey(gateway);
    if (reference === undefined) {
      this.release(user);
      return ok(undefined);
    }
    if (reference.group !== '' || reference.kind !== 'ConfigMap') {
      this.release(user);
      return fail(`parametersRef: ${reference.group || 'core'}/${reference.kind} is not supported; name a ConfigMap`);
    }
    const namespace = gateway.metadata.namespace ?? '';
    const key = `${namespace}/${reference.name}`;
    this.release(user, key);
    const watched = this.#watched.get(key) ?? this.#watch(key, namespace, reference.name);
    watched.users.add(user);
    await watched.informer.synced;
    const map = watched.informer.get(namespace, reference.name);
    return map === undefined ? fail(`parametersRef: ConfigMap ${key} does not exist`) : ok(map);
  }

  /** The Gateway names no ConfigMap any more, or only `kept`. */
  release(gateway: string, kept?: string): void {
    for (const [key, watched] of this.#watched) {
      if (key === kept || !watched.users.delete(gateway) || watched.users.size > 0) continue;
      watched.abort.abort(new Error('no Gateway names the ConfigMap'));
      this.#watched.delete(key);
    }
  }

  #watch(key: string, namespace: string, name: string): Watched {
    const abort = new AbortController();
    const users = new Set<string>();
    const changed = () => {
      for (const user of users) this.#onChange(user);
    };
    const informer = new Informer<ConfigMap>(this.#client, ConfigMapKind, {
      namespace,
      fieldSelector: `metadata.name=${name}`,
      signal: AbortSignal.any([this.#signal, abort.signal]),
    }).addHandlers({ onAdd: changed, onUpdate: changed, onDelete: changed });
    const watched = { informer: informer.start(), abort, users };
    this.#watched.set(key, watched);
    return watched;
  }
}
