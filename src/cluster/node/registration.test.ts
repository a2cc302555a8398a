import { expect, test } from 'bun:test';
import type { Node } from '../../platform/kubernetes/index.ts';
import { nodeObject } from './registration.ts';

const identity = { name: 'node2', index: 2, address: '10.1.0.2', podCidr: '10.244.2.0/24' };
const ZONE = 'topology.kubernetes.io/zone';
const REGION = 'topology.kubernetes.io/region';

test('a new node has a place, nodes after one another in different zones', () => {
  expect(nodeObject(identity, undefined, 0).metadata?.labels).toMatchObject({ [REGION]: 'local', [ZONE]: 'zone-b' });
  expect(nodeObject({ ...identity, index: 3 }, undefined, 0).metadata?.labels?.[ZONE]).toBe('zone-c');
});

test('a heartbeat leaves the place alone that somebody gave the node, and only that', () => {
  const moved: Node = { metadata: { name: 'node2', labels: { [ZONE]: 'a', 'kubernetes.io/hostname': 'other' } } };
  const { labels = {} } = nodeObject(identity, moved, 0).metadata ?? {};
  expect(Object.keys(labels)).not.toContain(ZONE);
  expect(labels).toMatchObject({ [REGION]: 'local', 'kubernetes.io/hostname': 'node2' });
});
