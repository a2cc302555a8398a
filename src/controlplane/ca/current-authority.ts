import {
  type ConfigMap,
  ConfigMapKind,
  type Informer,
  type KubeClient,
  type KubeObject,
  type Namespace,
  type Resource,
  type Secret,
  SecretKind,
} from '../../platform/kubernetes/index.ts';
import { outsideTls } from '../../platform/net/index.ts';
import type { Logger } from '../../platform/telemetry/index.ts';
import type { ControlPlaneConfig } from '../config.ts';
import { Batch } from '../scheduler.ts';
import type { Authority } from './authority.ts';
import { publishRoot, ROOT_CONFIG_MAP } from './root-config-maps.ts';
import { ServingCredentials, servingNames } from './serving.ts';
import { loadAuthority, PLUGIN_SECRET, ROOT_SECRET } from './store.ts';

/** A Secret or namespace rarely changes alone. */
const CHANGE_DELAY_MS = 20;
const PUBLISH_RETRY_MS = 1000;

export interface AuthoritySources {
  readonly client: KubeClient;
  readonly config: Pick<ControlPlaneConfig, 'rootNamespace' | 'trustDomain' | 'clusterDomain' | 'extraServerNames' | 'compliancePolicy'>;
  readonly namespaces: Informer<Namespace>;
  /** Makes an informer that starts and is waited for with the others. */
  readonly informer: <T extends KubeObject>(resource: Resource<T>, scope: { namespace?: string; fieldSelector: string }) => Informer<T>;
  /** Hears when the root expires, in seconds since 1970. */
  readonly rootExpiry: { set(value: number): void };
  readonly log: Logger;
}

/**
 * The certificate authority in force: that of its Secret, and another one as soon as the Secret holds one. The control plane's own serving certificate and the
 * root that every namespace has follow it.
 */
export class CurrentAuthority {
  readonly serving: ServingCredentials;
  readonly #sources: AuthoritySources;
  readonly #configMaps: Informer<ConfigMap>;
  readonly #change: Batch;
  readonly #publish: Batch;
  #authority: Authority | undefined;
  #isOpen = false;

  constructor(sources: AuthoritySources) {
    this.#sources = sources;
    const { config, namespaces, informer, log } = sources;
    this.serving = new ServingCredentials(outsideTls(config.compliancePolicy));
    const failed = (what: string) => (error: Error) => log.error(`${what}: ${error.message}`);
    this.#publish = new Batch(CHANGE_DELAY_MS, () => this.#publishRoot(), failed('the root certificate was not published'));
    this.#change = new Batch(
      CHANGE_DELAY_MS,
      () => this.load(),
      failed('the changed CA secret is not used, the CA before it stays in force'),
    );
    const publish = () => this.#publish.request();
    namespaces.addHandlers({ onAdd: publish, onUpdate: publish });
    this.#configMaps = informer<ConfigMap>(ConfigMapKind, { fieldSelector: `metadata.name=${ROOT_CONFIG_MAP}` });
    this.#configMaps.addHandlers({ onUpdate: publish, onDelete: publish });
    const changed = () => this.#change.request();
    for (const name of [PLUGIN_SECRET, ROOT_SECRET])
      informer<Secret>(SecretKind, { namespace: config.rootNamespace, fieldSelector: `metadata.name=${name}` }).addHandlers({
        onAdd: changed,
        onUpdate: changed,
        onDelete: changed,
      });
  }

  /** To be asked for once it is loaded. */
  get authority(): Authority {
    if (this.#authority === undefined) throw new Error('the certificate authority is asked for before it is loaded');
    return this.#authority;
  }

  /** Empty until it is loaded. */
  get rootPem(): string {
    return this.#authority?.rootPem ?? '';
  }

  /** Loads the CA, or makes it where there is none. */
  async load(): Promise<void> {
    const { client, config, rootExpiry, log } = this.#sources;
    const { authority, source } = await loadAuthority(client, config.rootNamespace, config.trustDomain);
    if (this.#authority !== undefined && Bun.deepEquals(this.#authority.material, authority.material)) return;
    const names = servingNames(config.rootNamespace, config.clusterDomain, config.extraServerNames);
    // Whoever is given the new root can verify this server with it at once.
    await this.serving.renew(authority, names);
    this.#authority = authority;
    rootExpiry.set(Math.floor(authority.notAfter.getTime() / 1000));
    const renew = () => this.serving.renew(this.authority, names);
    this.serving.keepFresh(renew, (error) => log.error(`the serving certificate was not renewed: ${error.message}`));
    log.info(`signing with the CA of Secret ${config.rootNamespace}/${source}`, { expires: authority.notAfter.toISOString() });
    this.#publish.request();
  }

  /** Namespaces are known: from here on they get the root. */
  open(): void {
    this.#isOpen = true;
    this.#publish.request();
  }

  stop(): void {
    this.#change.stop();
    this.#publish.stop();
    this.serving.stop();
  }

  async #publishRoot(): Promise<void> {
    if (!this.#isOpen || this.#authority === undefined) return;
    const { client, namespaces, log } = this.#sources;
    await publishRoot(client, this.#authority.rootPem, namespaces, this.#configMaps, (error) => {
      log.warn(`the root certificate was not published: ${error.message}`);
      setTimeout(() => this.#publish.request(), PUBLISH_RETRY_MS).unref();
    });
  }
}
