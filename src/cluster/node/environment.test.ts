import { expect, test } from 'bun:test';
import type { Pod } from '../../platform/kubernetes/index.ts';
import { ConfigError, containerEnvironment, expand, fieldValue, type Lookup, quantity } from './environment.ts';

const pod: Pod = {
  metadata: { name: 'p', namespace: 'n', uid: 'u', labels: { app: 'x' }, annotations: { 'a.b/c': 'd' } },
  spec: { serviceAccountName: 'sa', containers: [{ name: 'c', resources: { limits: { cpu: '1500m', memory: '64Mi' } } }] },
};
const facts = { podIP: '10.244.1.2', hostIP: '10.240.0.11', nodeName: 'node1' };
const lookup: Lookup = {
  configMap: (namespace, name) => (namespace === 'n' && name === 'cfg' ? { metadata: {}, data: { a: '1', b: '2' } } : undefined),
  secret: (_, name) => (name === 'sec' ? { metadata: {}, data: { key: Buffer.from('s3').toString('base64') } } : undefined),
};
const resolve = (container: Parameters<typeof containerEnvironment>[1]) =>
  containerEnvironment(pod, container, facts, lookup, { BASE: 'base' });

test('expands $(NAME), keeps unknown names and turns $$ into a dollar', () => {
  expect(expand('$(A)-$(B)-$$(A)-$A', { A: 'x' })).toBe('x-$(B)-$(A)-$A');
});

test('later variables see earlier ones, and references are resolved', () => {
  const env = resolve({
    name: 'c',
    envFrom: [{ prefix: 'P_', configMapRef: { name: 'cfg' } }],
    env: [
      { name: 'ONE', value: 'one' },
      { name: 'TWO', value: '$(ONE)/$(BASE)/$(P_a)' },
      { name: 'SECRET', valueFrom: { secretKeyRef: { name: 'sec', key: 'key' } } },
      { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
      { name: 'MEM', valueFrom: { resourceFieldRef: { resource: 'limits.memory' } } },
    ],
  });
  expect(env).toEqual({
    BASE: 'base',
    P_a: '1',
    P_b: '2',
    ONE: 'one',
    TWO: 'one/base/1',
    SECRET: 's3',
    IP: '10.244.1.2',
    CPU: '2',
    MEM: '67108864',
  });
});

test('a missing reference is an error that names it, unless it is optional', () => {
  expect(() => resolve({ name: 'c', env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'no', key: 'k' } } }] })).toThrow(
    'configmap "no" not found',
  );
  expect(() => resolve({ name: 'c', env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'cfg', key: 'k' } } }] })).toThrow(
    "couldn't find key k in configmap n/cfg",
  );
  expect(() => resolve({ name: 'c', envFrom: [{ secretRef: { name: 'no' } }] })).toThrow(ConfigError);
  expect(resolve({ name: 'c', env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'no', key: 'k', optional: true } } }] })).toEqual({
    BASE: 'base',
  });
});

test('the downward API reads labels by name and refuses fields it does not have', () => {
  expect(fieldValue(pod, "metadata.annotations['a.b/c']", facts)).toBe('d');
  expect(fieldValue(pod, 'metadata.labels', facts)).toBe('app="x"');
  expect(() => fieldValue(pod, 'status.phase', facts)).toThrow('unsupported fieldPath');
});

test('quantities are rounded up to whole units', () => {
  expect([quantity('250m', true), quantity('1.5', true), quantity('1Gi', false), quantity('junk', false)]).toEqual([
    '1',
    '2',
    '1073741824',
    '0',
  ]);
});
