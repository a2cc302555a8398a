import { describe, expect, test } from 'bun:test';
import { combinePlans } from '../combine.ts';
import type { CompiledRoute } from './compiled-route.ts';
import { mergeRoutes } from './merge-routes.ts';
import { CONFLICTED, keepLastGood, PROGRAMMED, routeStatus } from './route-status.ts';
import { compile, conditionsOf, http, NAMESPACE, parent, ref, serviceKey, world } from './test-routes.ts';

const ECHO = serviceKey('echo');
const backendRefs = [ref('echo-v1')];
const bad = [{ timeouts: { request: 'soon' }, backendRefs }];

const conditionOf = (
  compiled: CompiledRoute,
  type: string,
  ...rest: [Parameters<typeof routeStatus>[1]?, Parameters<typeof routeStatus>[2]?]
) => routeStatus(compiled, ...rest).parents[0]?.conditions.find((condition) => condition.type === type);

describe('conflicts', () => {
  const grpc = compile('GRPCRoute', [{ backendRefs }], { name: 'grpc', parents: [parent('echo', { port: 7070 })] });

  test('a route that lost all its ports is not accepted; both name each other', () => {
    const web = http([{ backendRefs }], { name: 'web', parents: [parent('echo', { port: 7070 })] });
    const { conflicts } = mergeRoutes(ECHO, [web, grpc]);
    expect(conditionsOf(routeStatus(web, conflicts).parents)).toEqual([
      'Accepted=False Conflicted',
      'ResolvedRefs=True ResolvedRefs',
      `${CONFLICTED}=True Conflicted`,
    ]);
    expect(conditionOf(web, CONFLICTED, conflicts)?.message).toContain(`GRPCRoute ${NAMESPACE}/grpc`);
    expect(conditionsOf(routeStatus(grpc, conflicts).parents)).toEqual([
      'Accepted=True Accepted',
      'ResolvedRefs=True ResolvedRefs',
      `${PROGRAMMED}=True Programmed`,
      `${CONFLICTED}=True Conflicted`,
    ]);
    expect(conditionOf(grpc, CONFLICTED, conflicts)?.message).toContain(`HTTPRoute ${NAMESPACE}/web`);
  });

  test('a route that lost one port of several is accepted, and says where it is not in force', () => {
    const web = http([{ backendRefs }], { name: 'web', parents: [parent('echo')] });
    const { conflicts } = mergeRoutes(ECHO, [web, grpc]);
    expect(conditionsOf(routeStatus(web, conflicts).parents)).toEqual([
      'Accepted=True Accepted',
      'ResolvedRefs=True ResolvedRefs',
      `${PROGRAMMED}=False PartlyConflicted`,
      `${CONFLICTED}=True Conflicted`,
    ]);
    expect(conditionOf(web, PROGRAMMED, conflicts)?.message).toContain('port 7070');
  });

  test('a VirtualService for the same port shows on the route, too', () => {
    const web = http([{ backendRefs }], { name: 'web' });
    const istio = {
      ports: [{ port: 80, http: { rules: [], actions: [{ name: 'VirtualService/default/reviews/http/0', backends: [] }] } }],
    };
    const { conflicts } = combinePlans(ECHO, mergeRoutes(ECHO, [web]).ports, istio);
    expect(conditionOf(web, PROGRAMMED, [], conflicts)?.status).toBe('True');
    expect(conditionOf(web, CONFLICTED, [], conflicts)?.message).toContain('VirtualService default/reviews');
    expect(conditionOf(http([{ backendRefs }], { name: 'another' }), CONFLICTED, [], conflicts)).toBeUndefined();
  });

  test('conflicts about other services say nothing', () => {
    const { conflicts } = mergeRoutes(ECHO, [grpc, http([{ backendRefs }], { name: 'web', parents: [parent('echo', { port: 7070 })] })]);
    const elsewhere = conflicts.map((conflict) => ({ ...conflict, service: serviceKey('echo-v1') }));
    expect(conditionOf(grpc, CONFLICTED, elsewhere)).toBeUndefined();
  });
});

describe('a route that is refused', () => {
  test('attaches nowhere, and its status has field and reason', () => {
    const refused = http(bad);
    expect(mergeRoutes(ECHO, [refused]).ports).toEqual([]);
    expect(conditionsOf(routeStatus(refused).parents)).toEqual([
      'Accepted=False UnsupportedValue',
      'ResolvedRefs=True ResolvedRefs',
      `${PROGRAMMED}=False Refused`,
    ]);
    expect(conditionOf(refused, 'Accepted')?.message).toBe(
      'spec.rules[0].timeouts.request: "soon" is not a duration such as 1h30m or 500ms',
    );
  });

  test('lets its last good version serve on, under the status of the refused one', () => {
    const good = http([{ backendRefs: [ref('echo-v2')] }]);
    const kept = keepLastGood(http(bad), good);
    expect(mergeRoutes(ECHO, [kept])).toEqual(mergeRoutes(ECHO, [good]));
    expect(conditionsOf(routeStatus(kept).parents)).toEqual([
      'Accepted=False UnsupportedValue',
      'ResolvedRefs=True ResolvedRefs',
      `${PROGRAMMED}=True LastGood`,
    ]);
    expect(kept.dependencies.services).toEqual(['echo', 'echo-v1', 'echo-v2'].map((name) => `Service/${NAMESPACE}/${name}`));
  });

  test('does not say that a last good version serves where there is no waypoint', () => {
    const lookup = world({ unbound: ['echo'] });
    expect(conditionOf(keepLastGood(http(bad, { lookup }), http([{ backendRefs }], { lookup })), PROGRAMMED)?.reason).toBe('NoWaypoint');
  });

  test('lets the last good version keep parents that the refused one no longer has, without a status for them', () => {
    const good = http([{ backendRefs }], { parents: [parent('echo'), parent('echo-v3')] });
    const kept = keepLastGood(http(bad, { parents: [parent('echo-v2')] }), good);
    expect(routeStatus(kept).parents.map(({ parentRef }) => parentRef.name)).toEqual(['echo-v2']);
    for (const name of ['echo', 'echo-v3']) {
      expect(mergeRoutes(serviceKey(name), [kept])).toEqual(mergeRoutes(serviceKey(name), [good]));
    }
    expect(mergeRoutes(serviceKey('echo-v2'), [kept]).ports).toEqual([]);
  });
});

test('requests of a rule that cannot run are said to fail', () => {
  const compiled = http([{ filters: [{ type: 'ExternalAuth' }], backendRefs }]);
  expect(conditionOf(compiled, PROGRAMMED)?.message).toContain('500');
});

test('a long list of problems is counted, not spelled out', () => {
  const matches = Array.from({ length: 20 }, () => ({ method: 'get' }));
  const message = conditionOf(http([{ matches, backendRefs }]), 'Accepted')?.message;
  expect(message).toEndWith('; and 12 more');
  expect(message?.split('; ')).toHaveLength(9);
});
