import { expect, test } from 'bun:test';
import { type PodView, RULE_DEFAULTS, ruleOptionsOf } from './pod-view.ts';

const pod = (annotation?: string): PodView => ({
  uid: 'u',
  name: 'p',
  namespace: 'shop',
  serviceAccount: 'sa',
  ips: [],
  hostNetwork: false,
  isTerminal: false,
  labels: {},
  annotations: annotation === undefined ? {} : { 'ambient.istio.io/dns-capture': annotation },
});

test.each([
  [false, undefined, false],
  [false, 'true', true],
  [false, 'false', false],
  [true, undefined, true],
  [true, '', true],
  [true, ' FALSE ', false],
  [true, 'true', true],
])('with capture of DNS %p by default the annotation %p makes it %p', (captureDns, annotation, expected) => {
  const { options, problems } = ruleOptionsOf(pod(annotation), { ...RULE_DEFAULTS, captureDns });
  expect([options.captureDns, problems]).toEqual([expected, []]);
});

test('an annotation that is neither true nor false is reported and changes nothing', () => {
  const { options, problems } = ruleOptionsOf(pod('perhaps'), { ...RULE_DEFAULTS, captureDns: true });
  expect(options.captureDns).toBe(true);
  expect(problems).toEqual(['annotation ambient.istio.io/dns-capture: "perhaps" is neither "true" nor "false"; it is ignored']);
});
