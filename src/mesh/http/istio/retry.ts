import type { Retry, RetryCondition } from '../plan.ts';
import { durationAt } from './duration.ts';
import type { Problems } from './problem.ts';
import type { IstioRetry } from './virtual-service-object.ts';

/**
 * What Istio does where nothing is said: two retries, only when the request was surely not processed. Its `retriable-status-codes` has stood for no
 * status since 1.24 took 503 out (EXCLUDE_UNSAFE_503_FROM_DEFAULT_RETRY).
 */
export const ISTIO_DEFAULT_RETRY: Retry = {
  attempts: 2,
  statuses: [],
  on: ['connect-failure', 'refused-stream', 'unavailable', 'cancelled'],
};

const CONDITIONS: readonly RetryCondition[] = [
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'refused-stream',
  'retriable-4xx',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
];
/** Words of Envoy's router that Istio accepts and that mean nothing here. */
const UNSUPPORTED = ['retriable-headers', 'envoy-ratelimited', 'http3-post-connect-failure'];

/** What `attempts: 0` means: not even what is tried again by default. */
const NO_RETRY: Retry = { attempts: 0, statuses: [], on: [] };

/** HTTPRetry. Undefined: it cannot be understood. */
export const retryOf = (problems: Problems, path: string, written: IstioRetry | undefined): Retry | undefined => {
  if (written === undefined) return ISTIO_DEFAULT_RETRY;
  const { attempts = 0, retryOn = '' } = written;
  if (!Number.isInteger(attempts) || attempts < 0) return problems.invalid(`${path}.attempts`, `${attempts} is not 0 or more`);
  const perTryTimeout = durationAt(problems, `${path}.perTryTimeout`, written.perTryTimeout);
  const backoff = durationAt(problems, `${path}.backoff`, written.backoff);
  const words = retryOn === '' ? ISTIO_DEFAULT_RETRY : retryWords(problems, `${path}.retryOn`, retryOn);
  if (written.retryIgnorePreviousHosts === false) {
    problems.unsupported(`${path}.retryIgnorePreviousHosts`, 'retries always prefer endpoints that were not tried yet');
  }
  if (written.retryRemoteLocalities === true) {
    problems.unsupported(`${path}.retryRemoteLocalities`, 'retries stay where the load balancer sends them', 'use localityLbSetting');
  }
  if (attempts === 0) return NO_RETRY;
  return {
    attempts,
    ...(perTryTimeout !== undefined && { perTryTimeout }),
    statuses: words.statuses,
    on: words.on,
    ...(backoff !== undefined && { backoff }),
  };
};

const retryWords = (problems: Problems, path: string, text: string): Pick<Retry, 'statuses' | 'on'> => {
  const statuses: number[] = [];
  const on: RetryCondition[] = [];
  for (const word of text.split(',').map((part) => part.trim())) {
    const condition = CONDITIONS.find((known) => known === word);
    if (word === '' || word === 'retriable-status-codes') continue;
    if (condition !== undefined) on.push(condition);
    else if (/^[1-5][0-9][0-9]$/.test(word)) statuses.push(Number(word));
    else if (UNSUPPORTED.includes(word)) problems.unsupported(path, `${word} never makes a waypoint try again`);
    else problems.invalid(path, `${JSON.stringify(word)} is neither a condition nor a status`);
  }
  return { statuses, on };
};
