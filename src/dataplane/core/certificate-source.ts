/** Where the parts of a proxy that carry traffic have certificates from: the manager of this process, or of the process that supervises it. */
import type { WorkloadCertificate } from './certificate.ts';

export interface CertificateSource {
  /** The certificate to use now, if there is a valid one. */
  current(identity: string): WorkloadCertificate | undefined;
  /** Waits for the first one; rejects when there is none to be had, with the reason. */
  get(identity: string): Promise<WorkloadCertificate>;
  /** Fetches in advance. */
  prefetch(identity: string): void;
  /** Calls `listener` with every new certificate of an identity, and with undefined when there is none valid; returns the way to stop. */
  watch(identity: string, listener: (certificate: WorkloadCertificate | undefined) => void): () => void;
  /** No pod needs it any more. Listeners are pods: while there are any it stays. */
  forget(identity: string): void;
  identities(): Iterable<string>;
  close(): void;
}
