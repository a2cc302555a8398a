import { expect, test } from 'bun:test';
import type { ServicePlan } from '../../mesh/http/index.ts';
import { matchText, routeRows, selectPlans } from './routes.ts';

const HOST = 'inference-api.ai-inference.svc.cluster.local';
const KEY = `ai-inference/${HOST}`;
const backend = (name: string, weight: number, more: object = {}) => ({
  service: `ai-inference/${name}.ai-inference.svc.cluster.local`,
  port: 9000,
  weight,
  ...more,
});
const canary: ServicePlan = {
  service: KEY,
  ports: [
    {
      port: 9000,
      http: {
        rules: [
          { match: { headers: [{ name: 'x-model', condition: { kind: 'exact', value: 'v2' } }] }, action: 0 },
          { match: {}, action: 1 },
        ],
        actions: [
          { name: 'VirtualService/ai-inference/canary/0', backends: [backend('inference-api', 1, { subset: 'v2' })] },
          {
            name: 'VirtualService/ai-inference/canary/1',
            backends: [backend('inference-api', 80, { subset: 'v1' }), backend('inference-api', 20, { subset: 'v2' })],
          },
        ],
      },
    },
  ],
};

test('shows a rule per row, in the order in which they are tried, with the shares of its backends', () => {
  expect(routeRows([canary]).rows).toEqual([
    [KEY, '9000', 'header:x-model=v2', 'inference-api:9000/v2', 'VirtualService/ai-inference/canary/0'],
    [KEY, '9000', '*', 'inference-api:9000/v1 80%, inference-api:9000/v2 20%', 'VirtualService/ai-inference/canary/1'],
  ]);
});

test('names the namespace of a backend elsewhere, and why a backend answers 500', () => {
  const plan: ServicePlan = {
    service: KEY,
    ports: [
      {
        port: 0,
        tcp: [
          {
            name: 'TCPRoute/ai-inference/t/0',
            backends: [
              { service: 'other/db.other.svc.cluster.local', port: 1, weight: 1 },
              { service: 'ai-inference/gone.ai-inference.svc.cluster.local', port: 2, weight: 2, invalid: 'does not exist' },
            ],
          },
        ],
        tls: [{ name: 'TLSRoute/ai-inference/s/0', sniHosts: ['*.example.com'], backends: [] }],
      },
    ],
  };
  expect(routeRows([plan]).rows.map((row) => row.slice(1, 4))).toEqual([
    ['*', 'tls *.example.com', 'none (500)'],
    ['*', 'tcp', 'db.other:1 33.3%, gone:2 66.7% (500: does not exist)'],
  ]);
});

test('a service without routes has one row that says so', () => {
  expect(routeRows([{ service: KEY, ports: [] }]).rows).toEqual([[KEY, '*', '*', 'itself', '-']]);
});

test('writes every part of a match', () => {
  expect(
    matchText({
      method: { kind: 'exact', value: 'GET' },
      path: { kind: 'segments', value: '/v1' },
      hosts: ['a', '*.b'],
      headers: [{ name: 'x', condition: { kind: 'present', value: '' }, isInverted: true }],
      query: [{ name: 'q', condition: { kind: 'regex', value: 'a.*' } }],
      sourceNamespace: 'ns',
    }),
  ).toBe('GET /v1/* host=a,*.b not header:x query:q~a.* from ns');
  expect(matchText({ path: { kind: 'segments', value: '/' } })).toBe('/*');
  expect(matchText({ path: { kind: 'prefix', value: '/v1' } })).toBe('/v1*');
});

test('finds plans by name, by host name and by namespace', () => {
  const plans = [canary, { service: 'other/inference-api.other.svc.cluster.local', ports: [] }];
  expect(selectPlans(plans, { service: 'inference-api' })).toHaveLength(2);
  expect(selectPlans(plans, { service: 'inference-api', namespace: 'other' })).toEqual([plans[1]!]);
  expect(selectPlans(plans, { service: HOST })).toEqual([canary]);
  expect(selectPlans(plans, { service: 'inference' })).toEqual([]);
});
