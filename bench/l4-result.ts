/** What the L4 measurement writes down beside what every measurement does. */
import type { Result } from './result.ts';

/** How a workload is reported. */
export type L4Kind = 'rate' | 'peak' | 'fresh' | 'chain' | 'bulk' | 'held' | 'node';

export interface L4Result extends Result {
  readonly kind: L4Kind;
  /** The family: workloads of one are measured on the same arms. */
  readonly family: string;
  /** Cipher between the proxies, by arm. */
  readonly ciphers: Readonly<Record<string, string>>;
}
