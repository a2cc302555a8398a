import { describe, expect, test } from 'bun:test';
import { parse } from 'yaml';
import { decodeServicePlan, encodeServicePlan } from '../plan-codec.ts';
import type { DestinationRuleObject } from './destination-rule-object.ts';
import { ISTIO_DEFAULT_RETRY } from './retry.ts';
import { meshOf, service } from './test-mesh.ts';
import type { VirtualServiceObject } from './virtual-service-object.ts';

const inference = service('inference-service', { namespace: 'ai', ports: [8080] });
const pod = (name: string, version: string) => ({
  uid: `Kubernetes//Pod/ai/${name}`,
  labels: { app: 'inference-service', version },
});
const RULE = parse(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: inference-service, namespace: ai }
spec:
  host: inference-service
  subsets:
  - name: v1
    labels: { version: v1 }
  - name: v2
    labels: { version: v2 }
`) as DestinationRuleObject; // written as one

/** The article's manifests, as a user would apply them. */
const planOf = (virtualService: string) => {
  const mesh = meshOf({
    services: [inference],
    virtualServices: [parse(virtualService) as VirtualServiceObject], // written as one
    destinationRules: [RULE],
    workloads: { [inference.key]: [pod('b', 'v1'), pod('a', 'v1'), pod('c', 'v2')] },
  });
  return { mesh, plan: mesh.planOf(inference) };
};
const to = (subset: string, weight: number) => ({ service: inference.key, port: 8080, subset, weight });

const WEIGHTS = (v1: number, v2: number) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: inference-service, namespace: ai }
spec:
  hosts: [inference-service]
  http:
  - route:
    - destination: { host: inference-service, subset: v1 }
      weight: ${v1}
    - destination: { host: inference-service, subset: v2 }
      weight: ${v2}
`;

describe("the articles' canary", () => {
  test('80/20 by weight', () => {
    const { mesh, plan } = planOf(WEIGHTS(80, 20));
    expect(plan).toEqual({
      ports: [
        {
          port: 8080,
          http: {
            rules: [{ match: {}, action: 0 }],
            actions: [
              { name: 'VirtualService/ai/inference-service/0', retry: ISTIO_DEFAULT_RETRY, backends: [to('v1', 80), to('v2', 20)] },
            ],
          },
        },
      ],
      subsets: [
        { name: 'v1', workloads: ['Kubernetes//Pod/ai/a', 'Kubernetes//Pod/ai/b'] },
        { name: 'v2', workloads: ['Kubernetes//Pod/ai/c'] },
      ],
      sources: [
        { kind: 'DestinationRule', namespace: 'ai', name: 'inference-service', creationTimestamp: '' },
        { kind: 'VirtualService', namespace: 'ai', name: 'inference-service', creationTimestamp: '' },
      ],
      problems: [],
    });
    const accepted = { type: 'WaypointAccepted', status: 'True', reason: 'Accepted', message: 'attached to waypoints' } as const;
    expect(mesh.compiled[0]).toMatchObject({ condition: accepted, isRefused: false, problems: [] });
    expect(mesh.rules[0]).toMatchObject({ condition: accepted, isRefused: false, services: [inference.key] });
    const { ports, subsets } = plan;
    const sent = { service: inference.key, ports, subsets: subsets ?? [] };
    expect(decodeServicePlan(encodeServicePlan(sent))).toEqual({ ok: true, value: sent });
  });

  test('the shift to 100 keeps the old version in sight, with no share', () => {
    expect(planOf(WEIGHTS(0, 100)).plan.ports[0]!.http!.actions[0]!.backends).toEqual([to('v1', 0), to('v2', 100)]);
  });

  test('a header chooses the version, everyone else keeps the old one', () => {
    const { plan } = planOf(`
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: { name: inference-service, namespace: ai }
spec:
  hosts: [inference-service.ai.svc.cluster.local]
  http:
  - name: beta
    match:
    - headers:
        x-model-version: { exact: v2 }
    route:
    - destination: { host: inference-service.ai.svc.cluster.local, subset: v2 }
  - route:
    - destination: { host: inference-service.ai.svc.cluster.local, subset: v1 }
`);
    expect(plan.ports[0]!.http).toEqual({
      rules: [
        { match: { headers: [{ name: 'x-model-version', condition: { kind: 'exact', value: 'v2' } }] }, action: 0 },
        { match: {}, action: 1 },
      ],
      actions: [
        { name: 'VirtualService/ai/inference-service/beta', retry: ISTIO_DEFAULT_RETRY, backends: [to('v2', 1)] },
        { name: 'VirtualService/ai/inference-service/1', retry: ISTIO_DEFAULT_RETRY, backends: [to('v1', 1)] },
      ],
    });
  });
});
