import { describe, expect, test } from 'bun:test';
import type { DestinationRuleObject } from './destination-rule-object.ts';
import { destinationRule, type MeshParts, meshOf, service, virtualService } from './test-mesh.ts';
import type { IstioHttpRoute, VirtualServiceObject } from './virtual-service-object.ts';

const reviews = service('reviews');
const route: IstioHttpRoute['route'] = [{ destination: { host: reviews.hostname } }];
const at = (path: string): IstioHttpRoute => ({ name: path, match: [{ uri: { exact: path } }], route });
const vs = (name: string, second: number, http: IstioHttpRoute[], hosts = ['reviews']): VirtualServiceObject =>
  virtualService({ hosts, http }, { name, creationTimestamp: `2026-01-01T00:00:0${second}Z` });
const planOf = (...virtualServices: VirtualServiceObject[]) => meshOf({ services: [reviews], virtualServices }).planOf(reviews);
/** Names of the actions in the order of the rules. */
const order = (plan: ReturnType<typeof planOf>) =>
  plan.ports[0]!.http!.rules.map(({ action }) => plan.ports[0]!.http!.actions[action]!.name.slice('VirtualService/default/'.length));

describe('several VirtualServices for one host', () => {
  test('older first, and what takes everything last', () => {
    const plan = planOf(vs('new', 2, [at('/n')]), vs('old', 1, [at('/o'), { name: 'rest', route }]));
    expect(order(plan)).toEqual(['old//o', 'new//n', 'old/rest']);
    expect(plan.sources.map(({ name }) => name)).toEqual(['old', 'new']);
    expect(plan.problems).toEqual([]);
  });

  test('of one second, by name', () => {
    expect(order(planOf(vs('b', 1, [at('/b')]), vs('a', 1, [at('/a')])))).toEqual(['a//a', 'b//b']);
  });

  test('of two that take everything the older does, and both say so', () => {
    const plan = planOf(vs('new', 2, [{ name: 'rest', route }]), vs('old', 1, [{ name: 'rest', route }]));
    expect(order(plan)).toEqual(['old/rest']);
    expect(plan.problems.map(({ source, kind, path }) => [source.name, kind, path])).toEqual([
      ['new', 'conflict', 'spec.http'],
      ['old', 'conflict', 'spec.http'],
    ]);
  });

  test('one that names the host by a wildcard counts only where none names it more closely', () => {
    const wide = vs('wide', 1, [at('/w')], ['*.default.svc.cluster.local']);
    expect(order(planOf(wide))).toEqual(['wide//w']);
    expect(order(planOf(wide, vs('all', 0, [at('/a')], ['*'])))).toEqual(['wide//w']);
    expect(order(planOf(wide, vs('exact', 2, [at('/e')])))).toEqual(['exact//e']);
  });

  test('HTTP of one and TCP of another do not hide each other', () => {
    const tcp = virtualService({ hosts: ['*'], tcp: [{ route }] }, { name: 'tcp' });
    const [port] = planOf(vs('http', 1, [at('/h')]), tcp).ports;
    expect([port!.http!.rules.length, port!.tcp!.map(({ name }) => name)]).toEqual([1, ['VirtualService/default/tcp/tcp/0']]);
  });

  test('one that is refused leaves the others', () => {
    expect(order(planOf(vs('bad', 1, [{ ...at('/b'), timeout: 'x' }]), vs('good', 2, [at('/g')])))).toEqual(['good//g']);
  });

  test('fragments of other services are left out', () => {
    const other = service('other');
    const mesh = meshOf({ services: [reviews, other], virtualServices: [vs('a', 1, [at('/a')], ['other'])] });
    expect([mesh.planOf(reviews).ports, mesh.planOf(other).ports.length]).toEqual([[], 1]);
  });
});

describe('which DestinationRule is in force', () => {
  type Metadata = DestinationRuleObject['metadata'];
  const dr = (name: string, metadata: Metadata = {}, over: Partial<NonNullable<DestinationRuleObject['spec']>> = {}) =>
    destinationRule({ host: reviews.hostname, subsets: [{ name }], ...over }, { name, ...metadata });
  const subsetsOf = (destinationRules: DestinationRuleObject[], target = reviews) =>
    meshOf({ services: [target], destinationRules })
      .planOf(target)
      .subsets?.map(({ name }) => name);
  const far = service('reviews', { waypointNamespace: 'infra' });

  test("the waypoint's namespace before the service's before the root namespace", () => {
    const [own, near, root] = [
      dr('infra', { namespace: 'infra' }),
      dr('service', { namespace: 'default' }),
      dr('root', { namespace: 'istio-system' }),
    ];
    expect(subsetsOf([root, near, own], far)).toEqual(['infra']);
    expect(subsetsOf([root, near], far)).toEqual(['service']);
    expect(subsetsOf([root], far)).toEqual(['root']);
    expect(subsetsOf([dr('other', { namespace: 'shop' })], far)).toBeUndefined();
  });

  test('exportTo is heeded', () => {
    expect(subsetsOf([dr('a', {}, { exportTo: ['.'] })], far)).toBeUndefined();
    expect(subsetsOf([dr('a', {}, { exportTo: ['infra'] })], far)).toEqual(['a']);
    expect(subsetsOf([dr('a', { namespace: 'infra' }, { exportTo: ['.'] })], far)).toEqual(['a']);
    expect(subsetsOf([dr('a', {}, { exportTo: ['.'] })])).toEqual(['a']);
  });

  test('the most specific host', () => {
    const [all, wide, exact] = [dr('all', {}, { host: '*' }), dr('wide', {}, { host: '*.default.svc.cluster.local' }), dr('exact')];
    expect(subsetsOf([all, wide, exact])).toEqual(['exact']);
    expect(subsetsOf([all, wide])).toEqual(['wide']);
    expect(subsetsOf([all])).toEqual(['all']);
    expect(subsetsOf([dr('short', {}, { host: 'reviews' })])).toEqual(['short']);
  });

  test('several for one host are merged; the older wins, and the newer says so', () => {
    const trafficPolicy = (simple: string) => ({ loadBalancer: { simple } });
    const both = meshOf({
      services: [reviews],
      destinationRules: [
        dr('b', { creationTimestamp: '2' }, { trafficPolicy: trafficPolicy('ROUND_ROBIN'), subsets: [{ name: 'v1' }, { name: 'v2' }] }),
        dr('a', { creationTimestamp: '1' }, { trafficPolicy: trafficPolicy('RANDOM'), subsets: [{ name: 'v1' }] }),
      ],
      workloads: { [reviews.key]: [{ uid: 'u' }] },
    }).planOf(reviews);
    expect(both.policy).toEqual({ loadBalancer: { kind: 'random' } });
    expect(both.subsets).toEqual([
      { name: 'v1', workloads: ['u'] },
      { name: 'v2', workloads: ['u'] },
    ]);
    expect(both.problems.map(({ source, kind, path }) => [source.name, kind, path])).toEqual([
      ['b', 'conflict', 'spec.subsets[0]'],
      ['b', 'conflict', 'spec.trafficPolicy'],
    ]);
  });

  test('a service without a waypoint has one too, as the destination of others', () => {
    expect(subsetsOf([dr('a')], service('reviews', { waypointNamespace: undefined }))).toEqual(['a']);
  });

  test('one for chosen clients is not in force at a waypoint', () => {
    const chosen = dr('a', {}, { workloadSelector: { matchLabels: { app: 'x' } } });
    const mesh = meshOf({ services: [reviews], destinationRules: [chosen] });
    expect(mesh.rules[0]).toMatchObject({ isRefused: false, services: [], condition: { status: 'False', reason: 'UnsupportedValue' } });
    expect(mesh.planOf(reviews).subsets).toBeUndefined();
  });

  test('one that nobody sees says why', () => {
    const conditionOf = (rule: DestinationRuleObject) => meshOf({ services: [reviews], destinationRules: [rule] }).rules[0]!.condition;
    expect(conditionOf(dr('a', {}, { host: 'nobody' }))).toMatchObject({ status: 'False', reason: 'NoMatchingService' });
    expect(conditionOf(dr('a', { namespace: 'shop' }))).toMatchObject({ status: 'False', reason: 'NotVisible' });
    expect(conditionOf(dr('a', {}, { host: '' }))).toMatchObject({ status: 'False', reason: 'Invalid' });
    expect(conditionOf(dr('a', {}, { subsets: [{ name: 'x' }, { name: 'x' }] }))).toMatchObject({ status: 'False', reason: 'Invalid' });
  });
});

describe('subsets', () => {
  const workloads: MeshParts['workloads'] = {
    [reviews.key]: [{ uid: 'z', labels: { version: 'v1', zone: 'a' } }, { uid: 'a', labels: { version: 'v1' } }, { uid: 'b' }],
  };
  const planFor = (labels: Record<string, string>) =>
    meshOf({
      services: [reviews],
      destinationRules: [destinationRule({ host: 'reviews', subsets: [{ name: 's', labels }] })],
      workloads,
    }).planOf(reviews);
  test('hold the workloads that have all the labels, sorted', () => {
    expect(planFor({ version: 'v1' }).subsets).toEqual([{ name: 's', workloads: ['a', 'z'] }]);
    expect(planFor({ version: 'v1', zone: 'a' }).subsets).toEqual([{ name: 's', workloads: ['z'] }]);
    expect(planFor({}).subsets).toEqual([{ name: 's', workloads: ['a', 'b', 'z'] }]);
  });
  test('without workloads stay, and are a problem', () => {
    const { subsets, problems } = planFor({ version: 'v9' });
    expect(subsets).toEqual([{ name: 's', workloads: [] }]);
    expect(problems).toMatchObject([{ kind: 'unresolved', path: 'spec.subsets[0].labels', source: { name: 'reviews' } }]);
  });
});
