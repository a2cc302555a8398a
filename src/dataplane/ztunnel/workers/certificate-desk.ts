/** Gives workers the certificates they want, from the one manager of the node: one fetch per identity, whatever the number of workers. */
import { splitCertificate } from '../../core/certificate.ts';
import type { CertificateManager } from '../../core/certificate-manager.ts';
import type { ToWorker } from './messages.ts';

/** One worker, as the desk sees it. */
export interface CertificateClient {
  send(message: ToWorker): void;
}

export class CertificateDesk {
  readonly #manager: CertificateManager;
  readonly #release: (identity: string) => void;
  /** By worker, then identity: how to stop sending it. */
  readonly #clients = new Map<CertificateClient, Map<string, () => void>>();

  /** `release` is called when a worker wants an identity no more. */
  constructor(manager: CertificateManager, release: (identity: string) => void) {
    this.#manager = manager;
    this.#release = release;
  }

  want(client: CertificateClient, identity: string, urgent: boolean): void {
    const wanted = this.#clients.get(client) ?? new Map<string, () => void>();
    this.#clients.set(client, wanted);
    try {
      if (!wanted.has(identity))
        wanted.set(
          identity,
          this.#manager.watch(identity, () => this.#send(client, identity)),
        );
      if (this.#manager.current(identity) !== undefined) this.#send(client, identity);
      // Success comes to the listener.
      else if (urgent) this.#manager.get(identity).catch((error: Error) => this.#send(client, identity, error.message));
      else this.#manager.prefetch(identity);
    } catch (error) {
      this.#send(client, identity, (error as Error).message);
    }
  }

  unwant(client: CertificateClient, identity: string): void {
    const wanted = this.#clients.get(client);
    wanted?.get(identity)?.();
    if (wanted?.delete(identity)) this.#release(identity);
  }

  /** The worker has ended; its successor will say again what it wants. */
  leave(client: CertificateClient): void {
    for (const stop of this.#clients.get(client)?.values() ?? []) stop();
    this.#clients.delete(client);
  }

  #send(client: CertificateClient, identity: string, error = ''): void {
    // The answer may come after the worker's end.
    if (this.#clients.get(client)?.has(identity) !== true) return;
    const certificate = this.#manager.current(identity);
    const reason = certificate === undefined && error === '' ? this.#manager.failure(identity) : error;
    client.send({ kind: 'certificate', identity, parts: certificate && splitCertificate(certificate), error: reason });
  }
}
