import { describe, expect, test } from 'bun:test';
import { memberOf, port, registryOf, service, workload } from '../../mesh/test-fixtures.ts';
import { Traffic, type Upstream, WORKLOAD_PREFIX } from './traffic.ts';

const reviews = service('reviews', '240.0.0.1');
const KEY = 'default/reviews.default.svc.cluster.local';
const pod = (name: string) => workload(name, { addresses: [`10.0.0.${name.slice(-1)}`], services: memberOf(reviews, port(80, 8080)) });
const uid = (name: string): string => `Kubernetes//Pod/default/${name}`;
const V1 = { service: KEY, port: 80, subset: 'v1' };
const planOf = (workloads: string[], maxRequests?: number) => ({
  service: KEY,
  ports: [],
  subsets: [
    { name: 'v1', workloads: workloads.map(uid), ...(maxRequests !== undefined && { policy: { connectionPool: { maxRequests } } }) },
  ],
});
const names = (upstream: Upstream | undefined): string[] => [...(upstream?.cluster.states ?? [])].map(({ workload: { name } }) => name);

describe('a destination', () => {
  test('of a subset survives a change of its workloads, with the counts of those that stay', () => {
    const traffic = new Traffic(registryOf(reviews, pod('pod-1'), pod('pod-2'), pod('pod-3')), () => undefined);
    traffic.setPlan(planOf(['pod-1', 'pod-2']));
    const before = traffic.upstream(V1, 0)!;
    const [first, second] = [...before.cluster.states];
    first!.active = 7;
    before.active = 9;
    traffic.setPlan(planOf(['pod-1', 'pod-3']));
    const after = traffic.upstream(V1, 1)!;
    expect(after).toBe(before);
    expect(names(after)).toEqual(['pod-1', 'pod-3']);
    expect([...after.cluster.states][0]).toBe(first!);
    expect(second!.isGone).toBe(true);
    expect(after.active).toBe(9);
  });

  test('begins anew when its policy changes', () => {
    const traffic = new Traffic(registryOf(reviews, pod('pod-1')), () => undefined);
    traffic.setPlan(planOf(['pod-1']));
    const before = traffic.upstream(V1, 0)!;
    traffic.setPlan(planOf(['pod-1'], 5));
    expect(traffic.upstream(V1, 0)).not.toBe(before);
    expect(traffic.upstream(V1, 0)!.policy).toEqual({ connectionPool: { maxRequests: 5 } });
  });

  test('is none any more when its subset is gone', () => {
    const traffic = new Traffic(registryOf(reviews, pod('pod-1')), () => undefined);
    traffic.setPlan(planOf(['pod-1']));
    expect(traffic.upstream(V1, 0)).toBeDefined();
    traffic.setPlan({ service: KEY, ports: [] });
    expect(traffic.upstream(V1, 0)).toBeUndefined();
  });

  test('is forgotten with its service or workload, and its endpoints are gone', () => {
    const registry = registryOf(reviews, pod('pod-1'));
    const traffic = new Traffic(registry, () => undefined);
    registry.onChange((change) => traffic.registryChanged(change, 0));
    const states = [
      traffic.upstream({ service: KEY, port: 80 }, 0)!,
      traffic.upstream({ service: `${WORKLOAD_PREFIX}${uid('pod-1')}`, port: 8080 }, 0)!,
    ].flatMap(({ cluster }) => [...cluster.states]);
    expect(states.map(({ isGone }) => isGone)).toEqual([false, false]);
    registry.batch(() => {
      registry.removeWorkload(uid('pod-1'));
      registry.removeService(KEY);
    });
    expect(states.map(({ isGone }) => isGone)).toEqual([true, true]);
    expect([...traffic.upstreams()]).toEqual([]);
  });
});
