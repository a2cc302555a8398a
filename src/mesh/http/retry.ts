/** Whether an attempt that failed is tried again, and when (Envoy's router, `retry_on`). Limits of attempts and budgets are the caller's. */
import type { Random } from '../load-balance.ts';
import type { Retry } from './plan.ts';

/** How an attempt ended without a complete response head. */
export type AttemptFailure =
  /** No connection, or no tunnel. */
  | 'connect-failure'
  /** The endpoint refused the stream before doing anything (HTTP/2 REFUSED_STREAM, or a GOAWAY that excludes it). */
  | 'refused-stream'
  /** The connection or stream broke before anything of the request was sent. */
  | 'reset-before-request'
  | 'reset'
  /** `perTryTimeout` passed. */
  | 'timeout';

/** Exactly one of failure and status. */
export interface AttemptOutcome {
  readonly failure?: AttemptFailure;
  readonly status?: number;
  /** `grpc-status` of a response that consists of its head only. */
  readonly grpcStatus?: number;
}

const isRetriableFailure = ({ on }: Retry, failure: AttemptFailure): boolean => {
  for (let i = 0; i < on.length; i++) {
    switch (on[i]) {
      case 'reset':
      case '5xx':
      case 'gateway-error':
        return true;
      case 'reset-before-request':
        if (failure === 'reset-before-request' || failure === 'connect-failure') return true;
        break;
      case 'connect-failure':
        if (failure === 'connect-failure') return true;
        break;
      case 'refused-stream':
        if (failure === 'refused-stream') return true;
        break;
    }
  }
  return false;
};

/** gRPC status code of a condition that names one. */
const GRPC_STATUS: Partial<Record<string, number>> = {
  cancelled: 1,
  'deadline-exceeded': 4,
  'resource-exhausted': 8,
  internal: 13,
  unavailable: 14,
};

const isRetriableResponse = ({ on, statuses }: Retry, status: number, grpcStatus: number | undefined): boolean => {
  if (statuses.includes(status)) return true;
  for (let i = 0; i < on.length; i++) {
    const condition = on[i]!;
    if (condition === '5xx' && status >= 500) return true;
    if (condition === 'gateway-error' && status >= 502 && status <= 504) return true;
    if (condition === 'retriable-4xx' && status === 409) return true;
    if (grpcStatus !== undefined && GRPC_STATUS[condition] === grpcStatus) return true;
  }
  return false;
};

export const isRetriable = (retry: Retry, { failure, status, grpcStatus }: AttemptOutcome): boolean => {
  if (failure !== undefined) return isRetriableFailure(retry, failure);
  return status !== undefined && isRetriableResponse(retry, status, grpcStatus);
};

/** Envoy's default base interval, milliseconds. */
const DEFAULT_BACKOFF = 25;
/** Envoy's longest interval, in base intervals. */
const LONGEST = 10;

/** Milliseconds to wait before retry number `retry` (1 is the first): anything up to an interval that doubles, at most ten times the base. */
export const retryDelay = ({ backoff }: Retry, retry: number, random: Random): number => {
  const base = backoff || DEFAULT_BACKOFF;
  return random() * Math.min(base * 2 ** (retry - 1), base * LONGEST);
};
