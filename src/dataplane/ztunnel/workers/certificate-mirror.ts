/** A worker's certificates: copies of what the supervising process has, asked for when first wanted and sent again whenever there is a new one. */
import type { TlsLimits } from '../../../platform/net/index.ts';
import type { Logger } from '../../../platform/telemetry/index.ts';
import { type CertificateParts, joinCertificate, type WorkloadCertificate } from '../../core/certificate.ts';
import { MAX_IDENTITIES } from '../../core/certificate-manager.ts';
import type { CertificateSource } from '../../core/certificate-source.ts';

interface Entry {
  certificate: WorkloadCertificate | undefined;
  waiters: PromiseWithResolvers<WorkloadCertificate>[];
  readonly listeners: Set<(certificate: WorkloadCertificate | undefined) => void>;
}

/** Towards the supervising process. */
export interface CertificateRequests {
  want(identity: string, urgent: boolean): void;
  unwant(identity: string): void;
}

export class CertificateMirror implements CertificateSource {
  readonly #requests: CertificateRequests;
  readonly #limits: TlsLimits;
  readonly #log: Logger;
  readonly #entries = new Map<string, Entry>();

  constructor(requests: CertificateRequests, limits: TlsLimits, log: Logger) {
    this.#requests = requests;
    this.#limits = limits;
    this.#log = log;
  }

  current(identity: string): WorkloadCertificate | undefined {
    const certificate = this.#entries.get(identity)?.certificate;
    return certificate !== undefined && certificate.notAfter > Date.now() ? certificate : undefined;
  }

  async get(identity: string): Promise<WorkloadCertificate> {
    const current = this.current(identity);
    if (current !== undefined) return current;
    const entry = this.#entry(identity);
    const waiter = Promise.withResolvers<WorkloadCertificate>();
    // One question for all that wait.
    if (entry.waiters.push(waiter) === 1) this.#requests.want(identity, true);
    return waiter.promise;
  }

  prefetch(identity: string): void {
    this.#entry(identity);
  }

  watch(identity: string, listener: (certificate: WorkloadCertificate | undefined) => void): () => void {
    const { listeners } = this.#entry(identity);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  forget(identity: string): void {
    const entry = this.#entries.get(identity);
    if (entry === undefined || entry.listeners.size > 0) return;
    this.#entries.delete(identity);
    this.#requests.unwant(identity);
    for (const waiter of entry.waiters) waiter.reject(new Error(`${identity} is no longer needed on this node`));
  }

  identities(): Iterable<string> {
    return this.#entries.keys();
  }

  close(): void {}

  /** What the supervising process says of an identity. */
  receive(identity: string, parts: CertificateParts | undefined, error: string): void {
    const entry = this.#entries.get(identity);
    if (entry === undefined) return;
    let certificate: WorkloadCertificate | undefined;
    let reason = error;
    try {
      certificate = parts && joinCertificate(identity, parts, this.#limits);
    } catch (failure) {
      reason = (failure as Error).message;
    }
    if (certificate === undefined) this.#log.debug('no certificate', { identity, error: reason });
    // A failed renewal takes nothing away from one that is still valid.
    if (certificate !== undefined || this.current(identity) === undefined) {
      entry.certificate = certificate;
      for (const listener of entry.listeners) listener(certificate);
    }
    for (const waiter of entry.waiters.splice(0)) {
      if (certificate === undefined) waiter.reject(new Error(reason));
      else waiter.resolve(certificate);
    }
  }

  #entry(identity: string): Entry {
    const known = this.#entries.get(identity);
    if (known !== undefined) return known;
    if (this.#entries.size >= MAX_IDENTITIES) throw new Error(`more than ${MAX_IDENTITIES} identities on one node`);
    const entry: Entry = { certificate: undefined, waiters: [], listeners: new Set() };
    this.#entries.set(identity, entry);
    this.#requests.want(identity, false);
    return entry;
  }
}
