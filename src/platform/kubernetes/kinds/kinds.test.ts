import { expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  BUILT_IN_KINDS,
  type Deployment,
  DeploymentKind,
  humanDuration,
  labelSelectorString,
  matchesLabelSelector,
  type Pod,
  PodKind,
  ServiceKind,
  subdomainProblem,
  validateLabels,
} from './index.ts';

const NOW = Date.parse('2026-01-01T00:10:00Z');
const pod = (over: Partial<Pod> = {}): Pod => ({
  metadata: { name: 'p', creationTimestamp: '2026-01-01T00:00:00Z' },
  spec: { containers: [{ name: 'c', image: 'nginx' }] },
  ...over,
});
const status = (state: object, extra: object = {}) => ({
  name: 'c',
  ready: false,
  restartCount: 0,
  image: '',
  imageID: '',
  state,
  ...extra,
});

test('every kind fills as many cells as it has columns', () => {
  for (const kind of BUILT_IN_KINDS) {
    const minimal: Record<string, unknown> = { metadata: { name: 'x' } };
    if (kind.kind === 'Event') minimal['involvedObject'] = {};
    if (kind.kind.endsWith('Binding')) minimal['roleRef'] = { kind: 'Role', name: 'r' };
    if (['Pod', 'Deployment', 'ReplicaSet', 'DaemonSet', 'Job'].includes(kind.kind)) minimal['spec'] = { containers: [], template: {} };
    expect({ kind: kind.kind, cells: kind.cells(minimal as never, NOW).length }).toEqual({ kind: kind.kind, cells: kind.columns.length });
  }
});

test.each([
  ['Pending', pod({ status: { phase: 'Pending' } }), '0/1'],
  ['Running', pod({ status: { phase: 'Running', containerStatuses: [status({ running: {} }, { ready: true })] } }), '1/1'],
  [
    'CrashLoopBackOff',
    pod({ status: { phase: 'Running', containerStatuses: [status({ waiting: { reason: 'CrashLoopBackOff' } })] } }),
    '0/1',
  ],
  ['ErrImagePull', pod({ status: { phase: 'Pending', containerStatuses: [status({ waiting: { reason: 'ErrImagePull' } })] } }), '0/1'],
  ['ExitCode:3', pod({ status: { phase: 'Failed', containerStatuses: [status({ terminated: { exitCode: 3 } })] } }), '0/1'],
  [
    'Completed',
    pod({ status: { phase: 'Succeeded', containerStatuses: [status({ terminated: { exitCode: 0, reason: 'Completed' } })] } }),
    '0/1',
  ],
  ['Terminating', pod({ metadata: { name: 'p', deletionTimestamp: '2026-01-01T00:00:00Z' }, status: { phase: 'Running' } }), '0/1'],
])('a pod shows as %s', (expected, object, ready) => {
  const cells = PodKind.cells(object, NOW);
  expect([cells[1], cells[2]]).toEqual([ready, expected]);
});

test('a native sidecar counts with the containers once it has started, and before that the pod initialises', () => {
  const spec = {
    containers: [{ name: 'c', image: 'a' }],
    initContainers: [
      { name: 'rules', image: 'a' },
      { name: 'proxy', image: 'a', restartPolicy: 'Always' as const },
    ],
  };
  const shown = (proxy: object, ...containers: ReturnType<typeof status>[]) => {
    const done = { ...status({ terminated: { exitCode: 0 } }), name: 'rules' };
    const initContainerStatuses = [done, { ...status({ running: {} }, proxy), name: 'proxy' }];
    const cells = PodKind.cells(pod({ spec, status: { phase: 'Running', initContainerStatuses, containerStatuses: containers } }), NOW);
    return [cells[1], cells[2], cells[3]];
  };
  expect(shown({ started: false })).toEqual(['0/2', 'Init:1/2', '0']);
  expect(shown({ started: true, ready: true, restartCount: 2 }, status({ running: {} }, { ready: true }))).toEqual(['2/2', 'Running', '2']);
});

test('restarts show when the last one was', () => {
  const terminated = { exitCode: 1, finishedAt: '2026-01-01T00:08:30Z' };
  const cells = PodKind.cells(
    pod({ status: { containerStatuses: [status({ running: {} }, { restartCount: 2, lastState: { terminated } })] } }),
    NOW,
  );
  expect(cells[3]).toBe('2 (90s ago)');
});

test.each([
  [0, '0s'],
  [119_000, '119s'],
  [125_000, '2m5s'],
  [11 * 60_000, '11m'],
  [3 * 3600_000 + 60_000, '3h1m'],
  [50 * 3600_000, '2d2h'],
  [400 * 86_400_000, '400d'],
])('%d ms prints as %s', (milliseconds, expected) => expect(humanDuration(milliseconds)).toBe(expected));

test('defaults are those of Kubernetes, and filling them twice changes nothing', () => {
  const deployment: Deployment = {
    metadata: { name: 'd' },
    spec: {
      selector: { matchLabels: { a: 'b' } },
      template: {
        metadata: { labels: { a: 'b' } },
        spec: { containers: [{ name: 'c', image: 'x:1', readinessProbe: { httpGet: { port: 80 } } }] },
      },
    },
  };
  DeploymentKind.applyDefaults(deployment);
  expect(deployment.spec).toMatchObject({ replicas: 1, strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%' } } });
  expect(deployment.spec.template.spec?.containers[0]).toMatchObject({
    imagePullPolicy: 'IfNotPresent',
    readinessProbe: { periodSeconds: 10, failureThreshold: 3, httpGet: { path: '/', scheme: 'HTTP' } },
  });
  const once = structuredClone(deployment);
  DeploymentKind.applyDefaults(deployment);
  expect(deployment).toEqual(once);
  expect(DeploymentKind.validate(deployment)).toEqual([]);
});

test('a running pod may change its images and little else', () => {
  const old = pod();
  PodKind.applyDefaults(old);
  const image = structuredClone(old);
  image.spec.containers[0]!.image = 'other';
  expect(PodKind.validate(image, old)).toEqual([]);
  const command = structuredClone(old);
  command.spec.containers[0]!.command = ['x'];
  expect(PodKind.validate(command, old).map((problem) => problem.reason)).toEqual(['FieldValueForbidden']);
});

test('ports of a service must have distinct names and numbers', () => {
  const problems = ServiceKind.validate({
    metadata: { name: 's' },
    spec: { ports: [{ port: 80, name: 'a' }, { port: 80, name: 'a' }, { port: 81 }] },
  });
  expect(problems.map((problem) => problem.field)).toEqual(['spec.ports[1].name', 'spec.ports[1]', 'spec.ports[2].name']);
});

test('label selectors match by their rules; names on Object.prototype are ordinary labels', () => {
  expect(matchesLabelSelector({}, { a: 'b' })).toBe(true);
  expect(matchesLabelSelector(undefined, { a: 'b' })).toBe(false);
  expect(matchesLabelSelector({ matchExpressions: [{ key: 'constructor', operator: 'Exists' }] }, {})).toBe(false);
  const name = fc.stringMatching(/^[a-z]{1,3}$/);
  fc.assert(
    fc.property(fc.dictionary(name, name, { maxKeys: 4 }), name, fc.array(name, { minLength: 1, maxLength: 3 }), (labels, key, values) => {
      const match = (operator: string) =>
        matchesLabelSelector({ matchExpressions: [{ key, operator, ...(operator.endsWith('In') ? { values } : {}) }] }, { ...labels });
      expect(match('In')).toBe(!match('NotIn'));
      expect(match('Exists')).toBe(!match('DoesNotExist'));
      if (match('In')) expect(match('Exists')).toBe(true);
    }),
  );
  expect(labelSelectorString({ matchLabels: { a: 'b' }, matchExpressions: [{ key: 'c', operator: 'In', values: ['d', 'e'] }] })).toBe(
    'a=b,c in (d,e)',
  );
});

test('names and labels are checked as RFC 1123 has them', () => {
  expect(subdomainProblem('a.b-c')).toBeUndefined();
  for (const bad of ['', 'A', 'a_b', '-a', 'a.', 'a'.repeat(254)]) expect(subdomainProblem(bad)).toBeString();
  expect(validateLabels({ 'example.com/a': 'b', c: '' }, 'labels')).toEqual([]);
  expect(validateLabels({ 'a/b/c': 'x', ok: 'bad value' }, 'labels')).toHaveLength(2);
});
