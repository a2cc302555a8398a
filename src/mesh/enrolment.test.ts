import { expect, test } from 'bun:test';
import { decideEnrolment, type EnrolmentPod, type EnrolmentReason } from './enrolment.ts';

const MODE = 'istio.io/dataplane-mode';
const namespace = (mode?: string) => ({ metadata: { labels: mode === undefined ? {} : { [MODE]: mode } } });
const pod = (
  mode?: string,
  over: Partial<EnrolmentPod> & { annotations?: Record<string, string>; namespace?: string } = {},
): EnrolmentPod => ({
  metadata: {
    name: 'p',
    namespace: over.namespace ?? 'team',
    labels: mode === undefined ? {} : { [MODE]: mode },
    annotations: over.annotations,
  },
  spec: over.spec,
  status: over.status ?? { phase: 'Running' },
});
const INJECTED = { 'sidecar.istio.io/status': '{}' };

test.each<[string, EnrolmentPod, ReturnType<typeof namespace> | undefined, boolean, EnrolmentReason]>([
  ['labelled namespace', pod(), namespace('ambient'), true, 'namespace'],
  ['labelled pod', pod('ambient'), namespace(), true, 'pod'],
  ['labelled pod whose namespace is not known yet', pod('ambient'), undefined, true, 'pod'],
  ['no label', pod(), namespace(), false, 'not-selected'],
  ['unknown namespace', pod(), undefined, false, 'not-selected'],
  ['another mode', pod('sidecar'), namespace('Ambient'), false, 'not-selected'],
  ['opted out', pod('none'), namespace('ambient'), false, 'opted-out'],
  ['a namespace of mode none with a labelled pod', pod('ambient'), namespace('none'), true, 'pod'],
  ['with a sidecar', pod('ambient', { annotations: INJECTED }), namespace('ambient'), false, 'sidecar-injected'],
  ['excluded namespace', pod('ambient', { namespace: 'kube-system' }), namespace('ambient'), false, 'excluded-namespace'],
  ['host network', pod(undefined, { spec: { hostNetwork: true } }), namespace('ambient'), false, 'host-network'],
  ['succeeded', pod(undefined, { status: { phase: 'Succeeded' } }), namespace('ambient'), false, 'terminal'],
  ['failed', pod(undefined, { status: { phase: 'Failed' } }), namespace('ambient'), false, 'terminal'],
  ['pending', pod(undefined, { status: { phase: 'Pending' } }), namespace('ambient'), true, 'namespace'],
  ['a pod without labels and status', { metadata: { namespace: 'team' } }, namespace('ambient'), true, 'namespace'],
])('%s', (_title, subject, around, enrolled, reason) => {
  const decision = decideEnrolment(subject, around);
  expect([decision.enrolled, decision.reason]).toEqual([enrolled, reason]);
  expect(decision.message).not.toBe('');
});

test('the list of excluded namespaces is configurable', () => {
  expect(decideEnrolment(pod(undefined, { namespace: 'kube-system' }), namespace('ambient'), []).enrolled).toBe(true);
  expect(decideEnrolment(pod(), namespace('ambient'), ['team']).reason).toBe('excluded-namespace');
});
