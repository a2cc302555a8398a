import { expect, test } from 'bun:test';
import { readConfig } from './config.ts';
import { decide } from './enrolment.ts';
import type { PodView } from './pod-view.ts';

test('has the documented defaults and needs only the name of the node', () => {
  const config = readConfig({ NODE_NAME: 'node1' });
  if (!config.ok) throw new Error(config.error.join());
  expect(config.value).toMatchObject({
    node: 'node1',
    port: 15023,
    zdsPath: '/var/run/ztunnel/ztunnel.sock',
    pluginPath: '/var/run/istio-cni/pluginevent.sock',
    excludedNamespaces: ['kube-system'],
    rules: { captureDns: false },
    drainLimitMs: 60_000,
  });
});

test('names every variable that is wrong at once', () => {
  const config = readConfig({ NODE_AGENT_PORT: '70000', KUBELET_UID: 'root', HOST_PROBE_SNAT_IP: 'x; flush ruleset' });
  expect(config.ok ? [] : config.error).toEqual([
    expect.stringContaining('NODE_NAME is not set'),
    expect.stringContaining('HOST_PROBE_SNAT_IP="x; flush ruleset"'),
    expect.stringContaining('NODE_AGENT_PORT="70000"'),
    expect.stringContaining('KUBELET_UID="root"'),
  ]);
});

const pod = (changes: Partial<PodView>): PodView => ({
  uid: 'u',
  name: 'p',
  namespace: 'shop',
  serviceAccount: 'sa',
  ips: [],
  hostNetwork: false,
  isTerminal: false,
  labels: {},
  annotations: {},
  ...changes,
});
const AMBIENT = { 'istio.io/dataplane-mode': 'ambient' };
const RULES = { excludedNamespaces: ['kube-system'] };

test.each([
  ['a labelled namespace', pod({}), AMBIENT, true, undefined],
  ['a labelled pod', pod({ labels: AMBIENT }), {}, true, undefined],
  ['an opted-out pod', pod({ labels: { 'istio.io/dataplane-mode': 'none' } }), AMBIENT, false, undefined],
  ['an unlabelled pod', pod({}), {}, false, undefined],
  ['an ended pod', pod({ isTerminal: true }), AMBIENT, false, undefined],
  ['an excluded namespace', pod({ namespace: 'kube-system' }), AMBIENT, false, 'excluded'],
  ['a pod with a sidecar', pod({ annotations: { 'sidecar.istio.io/status': '{}' } }), AMBIENT, false, 'sidecar'],
  ['a pod of the node’s network in a labelled namespace', pod({ hostNetwork: true }), AMBIENT, false, undefined],
  ['a labelled pod of the node’s network', pod({ hostNetwork: true, labels: AMBIENT }), {}, false, 'network'],
] as const)('decides on %s and tells the user where they asked for it', (_, view, namespace, enrolled, problem) => {
  const decision = decide(view, namespace, RULES);
  expect(decision.enrolled).toBe(enrolled);
  if (problem === undefined) expect(decision.problem).toBeUndefined();
  else expect(decision.problem).toContain(problem);
});
