/** Endpoints for the tests of the load balancers. */
import type { Workload } from '../model.ts';
import type { Endpoint } from '../registry.ts';
import { port, workload } from '../test-fixtures.ts';
import { EndpointState } from './endpoint-state.ts';

export const endpoint = (name: string, over: Partial<Workload> = {}, target = 8080): Endpoint => ({
  workload: workload(name, { addresses: ['10.0.0.1'], ...over }),
  ports: [port(80, target)],
});

export const states = (count: number, weightOf: (index: number) => number = () => 1): EndpointState[] =>
  Array.from(
    { length: count },
    (_, i) => new EndpointState(endpoint(`pod-${i}`, { capacity: weightOf(i) }), 8080, Number.NEGATIVE_INFINITY),
  );

/** How often each name came in so many draws. */
export const tally = (draws: number, draw: (index: number) => string | undefined): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (let i = 0; i < draws; i++) {
    const name = draw(i) ?? 'none';
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
};

/** Whether a count is what chance gives for a share: within 4.5 standard deviations. */
export const isLikely = (count: number | undefined, draws: number, share: number): boolean =>
  Math.abs((count ?? 0) - draws * share) <= 4.5 * Math.sqrt(draws * share * (1 - share));
