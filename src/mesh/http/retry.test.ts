import { describe, expect, test } from 'bun:test';
import { seeded } from '../test-fixtures.ts';
import { decideFault } from './fault.ts';
import type { Retry, RetryCondition } from './plan.ts';
import { type AttemptOutcome, isRetriable, retryDelay } from './retry.ts';

const retry = (on: RetryCondition[], statuses: number[] = [], backoff?: number): Retry => ({
  attempts: 2,
  on,
  statuses,
  ...(backoff === undefined ? {} : { backoff }),
});

describe('an attempt is tried again', () => {
  const yes: [RetryCondition, AttemptOutcome][] = [
    ['5xx', { status: 500 }],
    ['5xx', { failure: 'reset' }],
    ['5xx', { failure: 'timeout' }],
    ['gateway-error', { status: 503 }],
    ['gateway-error', { failure: 'connect-failure' }],
    ['reset', { failure: 'refused-stream' }],
    ['reset-before-request', { failure: 'reset-before-request' }],
    ['connect-failure', { failure: 'connect-failure' }],
    ['refused-stream', { failure: 'refused-stream' }],
    ['retriable-4xx', { status: 409 }],
    ['cancelled', { status: 200, grpcStatus: 1 }],
    ['deadline-exceeded', { status: 200, grpcStatus: 4 }],
    ['resource-exhausted', { status: 200, grpcStatus: 8 }],
    ['internal', { status: 200, grpcStatus: 13 }],
    ['unavailable', { status: 200, grpcStatus: 14 }],
  ];
  test.each(yes)('%s: %p', (condition, outcome) => {
    expect(isRetriable(retry([condition]), outcome)).toBe(true);
    expect(isRetriable(retry([]), outcome)).toBe(false);
  });

  const no: [RetryCondition, AttemptOutcome][] = [
    ['5xx', { status: 499 }],
    ['gateway-error', { status: 500 }],
    ['gateway-error', { status: 505 }],
    ['reset', { status: 503 }],
    ['reset-before-request', { failure: 'reset' }],
    ['connect-failure', { failure: 'timeout' }],
    ['refused-stream', { failure: 'connect-failure' }],
    ['retriable-4xx', { status: 429 }],
    ['unavailable', { status: 200, grpcStatus: 0 }],
    ['unavailable', { status: 503 }],
  ];
  test.each(no)('but not %s: %p', (condition, outcome) => expect(isRetriable(retry([condition]), outcome)).toBe(false));

  test('by its status', () => {
    expect(isRetriable(retry([], [429]), { status: 429 })).toBe(true);
    expect(isRetriable(retry([], [429]), { failure: 'reset' })).toBe(false);
  });
});

test('the wait doubles up to ten times its base, and is any part of it', () => {
  const whole = (n: number, backoff?: number) => retryDelay(retry([], [], backoff), n, () => 1);
  expect([1, 2, 3, 4, 5, 6].map((n) => whole(n))).toEqual([25, 50, 100, 200, 250, 250]);
  expect(whole(2, 100)).toBe(200);
  expect(retryDelay(retry([]), 1, () => 0.5)).toBe(12.5);
});

describe('faults', () => {
  test('come as often as their percentage says, each by itself', () => {
    const random = seeded(5);
    let delayed = 0;
    let aborted = 0;
    const runs = 40_000;
    const fault = { delay: { percentage: 25, duration: 100 }, abort: { percentage: 0.5, httpStatus: 503 } };
    for (let i = 0; i < runs; i++) {
      const decision = decideFault(fault, random);
      if (decision.delay === 100) delayed++;
      if (decision.abort?.httpStatus === 503) aborted++;
    }
    for (const [count, share] of [
      [delayed, 0.25],
      [aborted, 0.005],
    ] as const)
      expect(Math.abs(count - runs * share)).toBeLessThan(4.5 * Math.sqrt(runs * share * (1 - share)));
  });
  test('of 100 and of 0 per cent are certain', () => {
    const decided = (percentage: number) => decideFault({ abort: { percentage, grpcStatus: 14 } }, () => 1 - Number.EPSILON / 2);
    expect(decided(100)).toEqual({ delay: 0, abort: { grpcStatus: 14 } });
    expect(decideFault({ delay: { percentage: 0, duration: 9 } }, () => 0)).toEqual({ delay: 0 });
  });
});
