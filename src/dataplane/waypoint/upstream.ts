/** What the connections to endpoints have in common. */
import type { HeaderList } from '../../protocol/index.ts';
import type { UpstreamFailure } from './messages.ts';

/** A request as it leaves: routed, its fields edited. */
export interface OutgoingRequest {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly scheme: string;
  readonly headers: HeaderList;
  /** -1: unknown; 0: no body. */
  readonly contentLength: number;
  readonly upgrade: string;
  readonly acceptsTrailers: boolean;
}

/** Who lends connections and takes them back. */
export interface UpstreamOwner<C> {
  /** It is there: requests that were given to it before no longer wait. */
  connected(connection: C): void;
  /** The connection may carry another request. */
  release(connection: C): void;
  /** It may not. Called once. */
  forget(connection: C): void;
}

export const failureOf = (kind: UpstreamFailure['kind'], detail: string, isUnprocessed = kind === 'connect'): UpstreamFailure => ({
  kind,
  detail,
  isUnprocessed,
});
