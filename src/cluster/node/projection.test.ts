import { afterAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Pod } from '../../platform/kubernetes/index.ts';
import { hostsFile, resolvConf } from './container-setup.ts';
import { type FileMap, writeProjection } from './projection.ts';
import { MountError, PodVolumes } from './volumes.ts';

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'lateen-projection-'));
afterAll(() => fs.rmSync(dir, { recursive: true }));
const files = (entries: Record<string, string>): FileMap =>
  new Map(Object.entries(entries).map(([name, text]) => [name, { data: Buffer.from(text), mode: 0o640 }]));
const shown = (at: string): Record<string, string> =>
  Object.fromEntries(
    fs
      .readdirSync(at)
      .filter((name) => !name.startsWith('..'))
      .map((name) => [name, fs.statSync(path.join(at, name)).isDirectory() ? 'dir' : fs.readFileSync(path.join(at, name), 'utf8')]),
  );

test('files appear, change and go in one step, and the same content is not written again', () => {
  const at = path.join(dir, 'p');
  expect(writeProjection(at, files({ a: '1', 'sub/b': '2' }))).toBe(true);
  expect(shown(at)).toEqual({ a: '1', sub: 'dir' });
  expect(fs.readFileSync(path.join(at, 'sub/b'), 'utf8')).toBe('2');
  expect(fs.statSync(path.join(at, 'a')).mode & 0o777).toBe(0o640);
  expect(writeProjection(at, files({ a: '1', 'sub/b': '2' }))).toBe(false);
  expect(writeProjection(at, files({ a: '3', c: '4' }))).toBe(true);
  expect(shown(at)).toEqual({ a: '3', c: '4' });
  expect(fs.readdirSync(at).filter((name) => name.startsWith('..v'))).toHaveLength(1);
});

test('a name that leaves the volume is refused', () => {
  expect(() => writeProjection(path.join(dir, 'q'), files({ '../x': '1' }))).toThrow('leaves its volume');
});

const pod = (spec: Partial<NonNullable<Pod['spec']>>): Pod => ({
  metadata: { name: 'p', namespace: 'n', uid: 'u' },
  spec: { containers: [], ...spec },
});
const facts = { podIP: '10.244.1.2', hostIP: '10.240.0.11', nodeName: 'node1' };
function volumesWith(token: () => Promise<{ token: string; expirationTimestamp: string }>, now = Date.now): PodVolumes {
  const dirs = { volumes: path.join(dir, 'volumes'), scratch: path.join(dir, 'scratch'), host: path.join(dir, 'host') };
  return new PodVolumes(dirs, { configMap: () => undefined, secret: () => undefined, token, caPem: 'CA' }, now);
}

test('a token is renewed after four fifths of its life, kept while the API cannot be asked, and required at first', async () => {
  let now = Date.parse('2026-01-01T00:00:00Z');
  let isAway = true;
  let issued = 0;
  const token = async () => {
    if (isAway) throw new Error('away');
    return { token: `t${++issued}`, expirationTimestamp: new Date(now + 1000_000).toISOString() };
  };
  const volumes = volumesWith(token, () => now);
  const read = async () =>
    fs.readFileSync(path.join((await volumes.prepare(pod({}), facts)).get('lateen-kube-api-access')!, 'token'), 'utf8');
  await expect(read()).rejects.toThrow(MountError);
  isAway = false;
  expect(await read()).toBe('t1');
  expect(volumes.nextRefresh() - now).toBe(800_000);
  now += 799_000;
  expect(await read()).toBe('t1');
  now += 2_000;
  isAway = true;
  expect(await read()).toBe('t1');
  expect(volumes.nextRefresh() - now).toBe(10_000);
  isAway = false;
  now += 11_000;
  expect(await read()).toBe('t2');
});

test('hostPath stays below the node’s own directory and keeps its type', async () => {
  const volumes = volumesWith(async () => ({ token: 't', expirationTimestamp: new Date(Date.now() + 1e6).toISOString() }));
  const paths = await volumes.prepare(
    pod({ automountServiceAccountToken: false, volumes: [{ name: 'h', hostPath: { path: '/../../etc/x', type: 'DirectoryOrCreate' } }] }),
    facts,
  );
  expect(paths.get('h')).toBe(path.join(dir, 'host/etc/x'));
  await expect(
    volumes.prepare(pod({ volumes: [{ name: 'h', hostPath: { path: '/missing', type: 'Directory' } }] }), facts),
  ).rejects.toThrow('is not a directory');
  await expect(volumes.prepare(pod({ automountServiceAccountToken: false, volumes: [{ name: 'v' }] }), facts)).rejects.toThrow(
    'does not support',
  );
});

test('resolv.conf follows the pod’s DNS policy', () => {
  const host = 'nameserver 9.9.9.9\nsearch home\n';
  expect(resolvConf(pod({}), host)).toBe(
    'nameserver 10.96.0.10\nsearch n.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n',
  );
  expect(resolvConf(pod({ hostNetwork: true }), host)).toBe('nameserver 9.9.9.9\nsearch home\n');
  expect(resolvConf(pod({ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }), host)).toContain('nameserver 10.96.0.10');
  const own = { nameservers: ['1.2.3.4'], searches: ['x'], options: [{ name: 'ndots', value: '1' }] };
  expect(resolvConf(pod({ dnsPolicy: 'None', dnsConfig: own }), host)).toBe('nameserver 1.2.3.4\nsearch x\noptions ndots:1\n');
  expect(resolvConf(pod({ dnsConfig: own }), host)).toContain('options ndots:1\n');
});

test('the hosts file names the pod and its aliases', () => {
  const text = hostsFile(pod({ hostAliases: [{ ip: '1.2.3.4', hostnames: ['a', 'b'] }], subdomain: 's' }), '10.244.1.2');
  expect(text).toContain('10.244.1.2\tp.s.n.svc.cluster.local\tp\n');
  expect(text).toContain('1.2.3.4\ta\tb\n');
});
