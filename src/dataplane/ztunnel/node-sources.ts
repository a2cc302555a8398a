/** What a node proxy has once per node, whatever the number of processes that carry traffic: what the mesh is, from the control plane, and certificates, from the authority. */
import { MeshRegistry } from '../../mesh/index.ts';
import type { LocalConfig } from '../../mesh/local/index.ts';
import type { Logging, Registry } from '../../platform/telemetry/index.ts';
import { CaClient } from '../core/ca-client.ts';
import { CertificateManager } from '../core/certificate-manager.ts';
import { applyLocalXds, xdsHandlers } from '../core/mesh-state.ts';
import { XdsClient, type XdsHandler } from '../core/xds-client.ts';
import type { Config } from './config.ts';
import { OwnIdentities } from './own-identities.ts';

/** Readiness waits for it: the mesh is known. */
export const XDS_TASK = 'state manager';

export class NodeSources {
  readonly registry = new MeshRegistry();
  readonly certificates: CertificateManager;
  readonly #identities: OwnIdentities;
  readonly #ca: CaClient | undefined;
  readonly #xds: XdsClient | undefined;

  /** `local`: what a local configuration says of the mesh. `tap` stands before the handlers of the control plane's resources. */
  constructor(
    config: Config,
    logging: Logging,
    telemetry: Registry,
    local: LocalConfig | undefined,
    tap: (handler: XdsHandler) => XdsHandler = (handler) => handler,
  ) {
    this.#ca = config.ca && new CaClient(config.ca, config, config.mode === 'shared');
    const ca = this.#ca;
    this.certificates = new CertificateManager({
      fetch: (identity) => (ca ? ca.fetch(identity) : Promise.reject(new Error('no CA: CA_ADDRESS is empty'))),
      logger: logging.logger('identity'),
    });
    if (local) applyLocalXds(this.registry, local);
    this.#identities = new OwnIdentities(this.registry, this.certificates, config.nodeName);
    if (config.xds) {
      const handlers = xdsHandlers(this.registry, logging.logger('ztunnel')).map(tap);
      this.#xds = new XdsClient(config.xds, config, handlers, logging.logger('xds'), telemetry);
    }
  }

  /** Resolves once everything has arrived for the first time. Whoever stops using a certificate at a change must have asked for changes before: what nobody uses is forgotten. */
  async start(): Promise<void> {
    this.#identities.start();
    if (this.#xds === undefined) return;
    void this.#xds.run();
    await this.#xds.ready;
  }

  /** A user of a certificate has left: it is forgotten unless a workload of this node needs it. */
  release(identity: string): void {
    if (!this.#identities.needed().has(identity)) this.certificates.forget(identity);
  }

  close(): void {
    this.#xds?.stop();
    this.certificates.close();
    this.#ca?.close();
  }
}
