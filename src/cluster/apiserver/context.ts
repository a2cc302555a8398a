import type { ResourceTypes } from './resources.ts';
import type { ServiceAddresses } from './service-addresses.ts';
import type { Store } from './store.ts';

/** What the layers of the API server share. */
export interface Context {
  readonly store: Store;
  readonly types: ResourceTypes;
  readonly addresses: ServiceAddresses;
  readonly caCertificate: string;
  /** Milliseconds since the epoch. */
  now(): number;
  log(message: string): void;
}

/** Kubernetes timestamps have whole seconds. */
export const timestamp = (milliseconds: number): string => `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
