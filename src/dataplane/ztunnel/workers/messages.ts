/**
 * What the supervising process and its workers tell each other, as structured clones over the socket pair that Bun gives a child: nobody else can reach it, so
 * keys may travel there. Pods and their namespaces come beside it, as ZDS over a second inherited pair ({@link ZDS_FD}).
 */
import type { MetricsSnapshot } from '../../../platform/telemetry/index.ts';
import type { CertificateParts } from '../../core/certificate.ts';
import type { XdsResource } from '../../core/xds-client.ts';
import type { Config } from '../config.ts';
import type { PodConnections } from '../config-dump.ts';

/** In the environment of a worker: its number, from 1. */
export const WORKER_VARIABLE = 'LATEEN_WORKER';
/** Where a worker finds its end of the pair that carries ZDS. */
export const ZDS_FD = 3;

export type ToWorker =
  /** First of all. Without what only the supervisor needs: addresses of the control plane and the token for it. */
  | { readonly kind: 'setup'; readonly config: Config; readonly filter: string; readonly format: 'plain' | 'json' }
  /** One response of the control plane, as far as it was good. Answered by `applied`. */
  | { readonly kind: 'update'; readonly typeUrl: string; readonly resources: readonly XdsResource[]; readonly removed: readonly string[] }
  /** For one that wanted it: a certificate, or why there is none. */
  | { readonly kind: 'certificate'; readonly identity: string; readonly parts: CertificateParts | undefined; readonly error: string }
  /** The mesh is known: pods may be served. */
  | { readonly kind: 'serve' }
  | { readonly kind: 'log-filter'; readonly filter: string }
  /** Answered by `answer`. */
  | { readonly kind: 'ask'; readonly id: number; readonly about: Question }
  /** Answered by `drained`. */
  | { readonly kind: 'drain' }
  /** After `drained`. */
  | { readonly kind: 'exit' };

export type Question = 'ping' | 'metrics' | 'connections';

export type FromWorker =
  /** The program runs and listens to its supervisor. */
  | { readonly kind: 'hello' }
  | { readonly kind: 'applied' }
  /** The certificate of an identity now and whenever there is a new one; `urgent` when a connection waits. */
  | { readonly kind: 'want'; readonly identity: string; readonly urgent: boolean }
  | { readonly kind: 'unwant'; readonly identity: string }
  | { readonly kind: 'answer'; readonly id: number; readonly value: Answer }
  | { readonly kind: 'drained'; readonly metrics: MetricsSnapshot };

export type Answer =
  | { readonly about: 'ping' }
  | { readonly about: 'metrics'; readonly metrics: MetricsSnapshot }
  /** By uid of the pod. */
  | { readonly about: 'connections'; readonly connections: Readonly<Record<string, PodConnections>> };
