import { expect, test } from 'bun:test';
import { readPorts } from '../pods/port-forward.ts';
import { splitChange } from './change.ts';
import { asTable, renderTable } from './server-table.ts';
import { hasCondition, readDuration } from './wait.ts';

test('tells objects from labels to set and labels to remove', () => {
  expect(splitChange(['namespace', 'a', 'b', 'istio.io/dataplane-mode=ambient', 'old-', 'empty='])).toEqual({
    targets: ['namespace', 'a', 'b'],
    change: { set: { 'istio.io/dataplane-mode': 'ambient', empty: '' }, remove: ['old'] },
  });
  expect(() => splitChange(['pod', 'a', 'not a key=x'])).toThrow('"not a key" is not a key');
});

test('reads durations', () => {
  expect([readDuration('500ms'), readDuration('30s'), readDuration('2m'), readDuration('5')]).toEqual([500, 30_000, 120_000, 5_000]);
  expect(() => readDuration('soon')).toThrow('"soon" is not a duration');
});

test('reads ports to forward', () => {
  expect(readPorts('8080')).toEqual({ local: undefined, remote: '8080' });
  expect(readPorts('8080:grpc')).toEqual({ local: 8080, remote: 'grpc' });
  expect(readPorts(':9090')).toEqual({ local: 0, remote: '9090' });
  for (const wrong of ['', 'a:b:c', '99999:1', ':']) expect(() => readPorts(wrong)).toThrow('is not [LOCAL:]REMOTE');
});

test('compares condition types without regard to case', () => {
  const pod = { status: { conditions: [{ type: 'Ready', status: 'True' }] } };
  expect(hasCondition(pod, 'ready', 'true')).toBe(true);
  expect(hasCondition(pod, 'Ready', 'False')).toBe(false);
  expect(hasCondition({}, 'Ready', 'True')).toBe(false);
});

const answer = {
  kind: 'Table' as const,
  columnDefinitions: [{ name: 'Name' }, { name: 'Ready' }, { name: 'Node', priority: 1 }],
  rows: [{ cells: ['web', null, 'node1'], object: { metadata: { namespace: 'shop', labels: { app: 'web' } } } }],
};

test('shows columns with a priority only in the wide view', () => {
  const narrow = renderTable(answer, { wide: false, withNamespace: false, withLabels: false, prefix: '' });
  expect(narrow).toEqual({ header: ['NAME', 'READY'], rows: [['web', '<none>']] });
  const wide = renderTable(answer, { wide: true, withNamespace: true, withLabels: true, prefix: 'pod/' });
  expect(wide).toEqual({
    header: ['NAMESPACE', 'NAME', 'READY', 'NODE', 'LABELS'],
    rows: [['shop', 'pod/web', '<none>', 'node1', 'app=web']],
  });
});

test('makes a table of the objects of a server that has no tables', () => {
  const table = asTable({
    items: [{ metadata: { name: 'a', creationTimestamp: '2026-01-01T00:00:00Z' } }],
    metadata: { resourceVersion: '7' },
  });
  expect(renderTable(table, { wide: false, withNamespace: false, withLabels: false, prefix: '' }).rows).toEqual([
    ['a', '2026-01-01T00:00:00Z'],
  ]);
  expect(table.metadata?.resourceVersion).toBe('7');
});
