import { describe, expect, test } from 'bun:test';
import { type Outcome, OutlierDetector } from './outlier.ts';
import type { OutlierPolicy } from './plan.ts';
import { states } from './test-endpoints.ts';

const policy = (over: Partial<OutlierPolicy> = {}): OutlierPolicy => ({
  consecutive5xx: 3,
  splitExternalLocalOrigin: false,
  interval: 1_000,
  baseEjectionTime: 30_000,
  maxEjectionPercent: 100,
  minHealthPercent: 0,
  ...over,
});

const setup = (over: Partial<OutlierPolicy> = {}, count = 4) => {
  const endpoints = states(count);
  const detector = new OutlierDetector(policy(over));
  const report = (outcomes: Outcome[], now = 0, index = 0): boolean =>
    outcomes.map((outcome) => detector.report(endpoints[index]!, outcome, now, count)).some(Boolean);
  return { endpoints, detector, report };
};

describe('an endpoint is ejected', () => {
  test.each<[string, Partial<OutlierPolicy>, Outcome[], boolean]>([
    ['after enough server errors in a row', {}, [500, 503, 599], true],
    ['not when one was a success', {}, [500, 500, 200, 500, 500], false],
    ['not for what the client did wrong', {}, [400, 404, 429, 499], false],
    ['for local failures like for errors', {}, ['connect-failure', 'reset', 'timeout'], true],
    ['after enough gateway errors', { consecutive5xx: 0, consecutiveGatewayErrors: 2 }, [502, 504], true],
    ['for local failures as gateway errors', { consecutive5xx: 0, consecutiveGatewayErrors: 2 }, ['connect-failure', 'timeout'], true],
    ['not when another error stands between gateway errors', { consecutive5xx: 0, consecutiveGatewayErrors: 2 }, [502, 500, 503], false],
    ['never when nothing is counted', { consecutive5xx: 0 }, [500, 500, 500, 500], false],
    [
      'for local failures apart, when split',
      { splitExternalLocalOrigin: true, consecutiveLocalOriginFailures: 2 },
      ['reset', 'connect-failure'],
      true,
    ],
    ['not by local failures when split without a limit', { splitExternalLocalOrigin: true }, ['reset', 'reset', 'reset', 'reset'], false],
    [
      'not when a connection came between',
      { splitExternalLocalOrigin: true, consecutiveLocalOriginFailures: 2 },
      ['reset', 'success', 'reset'],
      false,
    ],
    [
      'by its own errors, local ones between them not counting, when split',
      { splitExternalLocalOrigin: true },
      [500, 'reset', 500, 500],
      true,
    ],
  ])('%s', (_title, over, outcomes, isEjected) => {
    const { endpoints, report } = setup(over);
    expect(report(outcomes)).toBe(isEjected);
    expect(endpoints[0]!.isEjected).toBe(isEjected);
  });

  test('only up to the share that may be', () => {
    const { endpoints, report } = setup({ maxEjectionPercent: 50 });
    const bad: Outcome[] = [500, 500, 500];
    expect([report(bad, 0, 0), report(bad, 0, 1), report(bad, 0, 2)]).toEqual([true, true, false]);
    expect(endpoints.map(({ isEjected }) => isEjected)).toEqual([true, true, false, false]);
    // One that is gone makes room.
    endpoints[0]!.isGone = true;
    expect(report([500], 0, 2)).toBe(true);
  });
});

describe('an ejection', () => {
  test('ends at the first look after its time, with a clean record', () => {
    const { endpoints, detector, report } = setup();
    report([500, 500, 500], 500);
    expect(detector.advance(30_499)).toBe(false);
    expect(endpoints[0]!.isEjected).toBe(true);
    expect(detector.advance(31_600)).toBe(true);
    expect(endpoints[0]!.isEjected).toBe(false);
    expect(report([500, 500], 31_700)).toBe(false);
  });

  test('lasts longer each time, up to five minutes, and is forgiven interval by interval', () => {
    const { endpoints, detector, report } = setup({ interval: 1 });
    const [endpoint] = endpoints;
    const lasts = (at: number): number => {
      report([500, 500, 500], at);
      return endpoint!.ejectedUntil - at;
    };
    expect(lasts(0)).toBe(30_000);
    detector.advance(30_000);
    expect(lasts(30_000)).toBe(60_000);
    detector.advance(90_000);
    // Two healthy intervals take back both.
    detector.advance(90_010);
    detector.advance(90_020);
    expect(lasts(90_020)).toBe(30_000);
    for (let i = 0; i < 20; i++) {
      detector.advance(endpoint!.ejectedUntil);
      lasts(endpoint!.ejectedUntil);
    }
    expect(lasts(0)).toBeGreaterThan(0);
    const before = endpoint!.ejectedUntil;
    detector.advance(before);
    expect(lasts(before)).toBe(300_000);
  });

  test('is not looked for while there is none', () => {
    const { detector } = setup();
    expect(detector.advance(Number.MAX_SAFE_INTEGER)).toBe(false);
  });
});
