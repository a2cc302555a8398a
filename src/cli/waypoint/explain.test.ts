import { expect, test } from 'bun:test';
import type { HttpTable, RequestView, ServicePlan } from '../../mesh/http/index.ts';
import { explain, readHeader } from './explain.ts';

const backend = (subset: string, weight: number) => ({ service: 'ai/api.ai.svc.cluster.local', port: 9000, subset, weight });
const canary: HttpTable = {
  rules: [
    { match: { headers: [{ name: 'x-model-version', condition: { kind: 'exact', value: 'v2' } }] }, action: 0 },
    { match: { path: { kind: 'segments', value: '/v1' } }, action: 1 },
  ],
  actions: [
    { name: 'VirtualService/ai/api/0', backends: [backend('v2', 1)] },
    { name: 'VirtualService/ai/api/1', backends: [backend('v1', 80), backend('v2', 20)], timeouts: { request: 500 } },
  ],
};
const plan: ServicePlan = { service: 'ai/api.ai.svc.cluster.local', ports: [{ port: 9000, http: canary }] };
const request = (path: string, headers: RequestView['headers'] = []): RequestView => ({
  method: 'POST',
  path,
  authority: 'api:9000',
  scheme: 'http',
  headers,
});

test('says which rule takes a request, why not the ones before, and what becomes of it', () => {
  const { steps, outcome, action } = explain(plan, 9000, request('/v1/x'), undefined);
  expect(steps.map(({ text }) => text)).toEqual([
    'rule 0 (VirtualService/ai/api/0) is passed over, as not: header "x-model-version" is "v2": absent',
    'rule 1 (VirtualService/ai/api/1) is taken: path lies under "/v1"',
  ]);
  expect(outcome).toBe('goes to api:9000/v1 80%, api:9000/v2 20%, within 500 ms');
  expect(action?.name).toBe('VirtualService/ai/api/1');
  expect(explain(plan, 9000, request('/v1', [readHeader('X-Model-Version: v2')]), undefined).outcome).toBe('goes to api:9000/v2');
});

test('a request that no rule takes is answered with 404', () => {
  const { outcome, action } = explain(plan, 9000, request('/other'), undefined);
  expect(outcome).toBe('is answered with 404');
  expect(action).toBeUndefined();
});

test('without a plan, or for another port, the request goes to the service itself', () => {
  expect(explain(undefined, 9000, request('/'), undefined).outcome).toBe('goes to any endpoint of the service itself');
  expect(explain(plan, 80, request('/'), undefined).outcome).toBe('goes to any endpoint of the service itself');
});

test('clients of a namespace with routes of its own take those', () => {
  const own: HttpTable = {
    rules: [{ match: {}, action: 0 }],
    actions: [{ name: 'own', backends: [], respond: { status: 418, body: '' } }],
  };
  const both: ServicePlan = { ...plan, ports: [{ port: 0, http: canary, consumers: [{ namespace: 'shop', http: own }] }] };
  expect(explain(both, 9000, request('/v1'), 'shop').outcome).toBe('is answered here: answer 418');
  expect(explain(both, 9000, request('/v1'), 'other').action?.name).toBe('VirtualService/ai/api/1');
});

test('a header without a colon is no header', () => {
  expect(() => readHeader('x-model-version')).toThrow('not a header');
});
