/** What a failed attempt means: whether it is worth another, and else what the client is told. */
import { type AttemptFailure, isRetriable, type Retry } from '../../mesh/http/index.ts';
import type { LocalAnswer } from './filters.ts';
import type { UpstreamFailure } from './messages.ts';

/** RFC 9110 section 9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);

const kindOf = ({ kind, isUnprocessed }: UpstreamFailure): AttemptFailure => {
  if (kind === 'connect') return 'connect-failure';
  if (kind === 'refused') return 'refused-stream';
  return isUnprocessed ? 'reset-before-request' : 'reset';
};

/** `isReused`: the connection had carried requests before, and the endpoint may have closed it in the moment it was used again. */
export function isWorthRetrying(policy: Retry, failure: UpstreamFailure, isReused: boolean, method: string): boolean {
  if (failure.kind === 'protocol') return false;
  if (isReused && failure.kind === 'reset' && IDEMPOTENT.has(method)) return true;
  return isRetriable(policy, { failure: kindOf(failure) });
}

export function failureAnswer({ kind }: UpstreamFailure): LocalAnswer {
  const details = 'upstream_reset_before_response_started';
  switch (kind) {
    case 'protocol':
      return { status: 502, flag: 'UPE', details: 'upstream_protocol_error', body: 'upstream protocol error' };
    case 'connect':
      return { status: 503, flag: 'UF', details, body: 'upstream connect error' };
    default:
      return { status: 503, flag: kind === 'refused' ? 'UR' : 'UC', details, body: 'upstream connection ended before a response' };
  }
}
