import { afterAll, expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { containerScript } from './container-script.ts';
import { planMounts } from './mount-plan.ts';

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'lateen-container-'));
afterAll(() => fs.rmSync(dir, { recursive: true }));
const volume = path.join(dir, 'volume');
fs.mkdirSync(volume);
fs.writeFileSync(path.join(volume, 'f'), 'content');
const UNSHARE = 'unshare';
const canUnshare = spawnSync(UNSHARE, ['-m', 'true']).status === 0;

function run(targets: readonly string[], command: string): string {
  const mounts = planMounts(targets.map((target) => ({ source: volume, target, readOnly: target.endsWith('ro'), isFile: false })));
  const script = containerScript({
    mounts,
    pidFile: path.join(dir, 'pid'),
    errorFile: path.join(dir, 'error'),
    workingDir: '/',
    identity: [],
    path: '/usr/bin:/bin',
  });
  const file = path.join(dir, 'setup.sh');
  fs.writeFileSync(file, script);
  const ended = spawnSync(UNSHARE, ['-m', '--propagation', 'private', 'sh', file, 'sh', '-c', command], { encoding: 'utf8' });
  return `${ended.stdout}${ended.stderr}${fs.readFileSync(path.join(dir, 'error'), 'utf8')}`.trim();
}

test.skipIf(!canUnshare)('mount points that do not exist appear in the container and nowhere else (needs root)', () => {
  const targets = ['/lateen-test-root/a', '/etc/lateen-test', '/var/run/lateen-test'];
  const shown = run(
    targets,
    `cat ${targets.map((target) => `${target}/f`).join(' ')}; test -e /etc/passwd && test -e /proc/self/stat && echo whole`,
  );
  expect(shown).toBe('contentcontentcontentwhole');
  for (const target of targets) expect(fs.existsSync(target)).toBe(false);
  expect(fs.existsSync('/lateen-test-root')).toBe(false);
});

test.skipIf(!canUnshare)('a read-only mount cannot be written (needs root)', () => {
  expect(run(['/etc/lateen-test-ro'], 'echo x > /etc/lateen-test-ro/g || echo refused')).toContain('refused');
  expect(fs.existsSync(path.join(volume, 'g'))).toBe(false);
});

test.skipIf(!canUnshare)('each container has a /run of its own (needs root)', () => {
  run([], 'echo x > /run/lateen-test-file');
  expect(fs.existsSync('/run/lateen-test-file')).toBe(false);
});

test('a mount point inside another volume is made in that volume', () => {
  const planned = planMounts([
    { source: '/tmp', target: '/lateen-test-outer/inner', readOnly: false, isFile: false },
    { source: volume, target: '/lateen-test-outer', readOnly: false, isFile: false },
  ]);
  expect(planned.map(({ target, placement }) => [target, placement.kind])).toEqual([
    ['/lateen-test-outer', 'missing'],
    ['/lateen-test-outer/inner', 'missing'],
  ]);
  expect(fs.statSync(path.join(volume, 'inner')).isDirectory()).toBe(true);
});
