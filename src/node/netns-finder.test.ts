import { afterEach, beforeEach, expect, setDefaultTimeout, test } from 'bun:test';
import fs from 'node:fs';
import { namespaceInode } from '../platform/linux/index.ts';
import { canonicalAddress, NetnsFinder, openVerified } from './netns-finder.ts';
import { NODE_IP, POD_IP, POD_IP6, TestNetwork } from './testing.ts';

setDefaultTimeout(60_000);
let net: TestNetwork;
const children: Bun.Subprocess[] = [];
beforeEach(() => {
  net = new TestNetwork();
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  net.close();
});

/** A process in the namespace, as a pod's pause container. */
async function live(namespacePath: string, env: Record<string, string> = {}) {
  const child = Bun.spawn(['nsenter', `--net=${namespacePath}`, 'sleep', '1000'], { env: { PATH: process.env['PATH'] ?? '', ...env } });
  children.push(child);
  const wanted = fs.statSync(namespacePath).ino;
  while (fs.statSync(`/proc/${child.pid}/ns/net`).ino !== wanted) await Bun.sleep(1);
}

test('finds the namespace that owns one of the pod’s addresses', async () => {
  await live(net.podPath);
  const finder = new NetnsFinder();
  for (const ips of [[POD_IP], ['10.9.9.9', POD_IP], [POD_IP6.replace('::', ':0::')]]) {
    const found = finder.find('uid', ips);
    if (!found.ok) throw new Error(found.error);
    expect(found.value.inode).toBe(namespaceInode(net.pod));
    fs.closeSync(found.value.fd);
  }
});

test('says that no process has the address, and that a pod has none yet', async () => {
  await live(net.podPath);
  expect(new NetnsFinder().find('uid', ['10.9.9.9'])).toEqual({ ok: false, error: expect.stringContaining('address 10.9.9.9') });
  expect(new NetnsFinder().find('uid', [])).toEqual({ ok: false, error: 'the pod has no address yet' });
});

test('takes the namespace of the process that names the pod when several have its address, and none when nobody does', async () => {
  const other = new TestNetwork();
  try {
    await live(net.podPath);
    await live(other.podPath, { POD_UID: 'aaaa-bbbb' });
    expect(new NetnsFinder().find('cccc-dddd', [POD_IP])).toEqual({ ok: false, error: expect.stringContaining('2 network namespaces') });
    const found = new NetnsFinder().find('aaaa-bbbb', [POD_IP]);
    if (!found.ok) throw new Error(found.error);
    expect(found.value.inode).toBe(namespaceInode(other.pod));
    fs.closeSync(found.value.fd);
  } finally {
    other.close();
  }
});

test('opens no more descriptors than it gives', async () => {
  await live(net.podPath);
  const finder = new NetnsFinder();
  const before = fs.readdirSync('/proc/self/fd').length;
  const found = finder.find('uid', [POD_IP]);
  if (!found.ok) throw new Error(found.error);
  fs.closeSync(found.value.fd);
  expect(openVerified(net.podPath, [NODE_IP]).ok).toBe(false);
  expect(openVerified('/proc/self/ns/net', ['127.0.0.1']).ok).toBe(false);
  expect(openVerified('/etc/hostname', ['127.0.0.1']).ok).toBe(false);
  // The first switch of namespaces keeps one descriptor of the own namespace for good.
  expect(fs.readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before + 1);
});

test('compares addresses, not spellings', () => {
  expect(canonicalAddress('FD00:0201:0:0:0:0:0:2')).toBe(canonicalAddress('fd00:201::2'));
  expect(canonicalAddress('10.0.0.1')).toBe('10.0.0.1');
});
