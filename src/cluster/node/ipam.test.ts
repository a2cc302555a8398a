import { afterAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { AddressPool } from './ipam.ts';

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'lateen-ipam-'));
afterAll(() => fs.rmSync(dir, { recursive: true }));
let next = 0;
const file = () => path.join(dir, `${next++}.json`);

test('gives each owner one address and the same again', () => {
  const pool = new AddressPool('10.244.3.0/24', file());
  expect(pool.allocate('a')).toBe('10.244.3.2');
  expect(pool.allocate('b')).toBe('10.244.3.3');
  expect(pool.allocate('a')).toBe('10.244.3.2');
});

test('lets a released address rest before it is used again', () => {
  const pool = new AddressPool('10.244.3.0/24', file());
  pool.allocate('a');
  pool.release('a');
  expect(pool.allocate('b')).toBe('10.244.3.3');
});

test('remembers what it gave across a restart', () => {
  const at = file();
  new AddressPool('10.244.3.0/24', at).allocate('a');
  const again = new AddressPool('10.244.3.0/24', at);
  expect(again.allocate('b')).toBe('10.244.3.3');
  expect([...again.owners()].sort()).toEqual(['a', 'b']);
});

test('says so when every address is taken, and goes on after a release', () => {
  const pool = new AddressPool('10.244.3.0/24', file());
  const given = new Set(Array.from({ length: 253 }, (_, index) => pool.allocate(`pod${index}`)));
  expect(given.size).toBe(253);
  expect(given.has(undefined)).toBe(false);
  expect(pool.allocate('one more')).toBeUndefined();
  pool.release('pod7');
  expect(pool.allocate('one more')).toBe('10.244.3.9');
});
