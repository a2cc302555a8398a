import { afterAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { clusterPaths } from '../config.ts';
import { ClusterError, explainFileError } from '../error.ts';
import { endProcess, isRunning, processRef, signalProcess } from '../processes.ts';
import { delayAfter } from './backoff.ts';
import { down } from './down.ts';
import { forwardPort } from './forward.ts';
import { takeLock } from './lock.ts';
import { checkFreeSpace, checkStateDir, missingPrograms, namespaceRemedy, preflight } from './preflight.ts';
import { clusterStatus } from './status.ts';
import { up } from './up.ts';

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'lateen-supervisor-'));
afterAll(() => fs.rmSync(dir, { recursive: true }));

test('the first restart is at once, later ones wait twice as long up to the limit', () => {
  expect([0, 1, 2, 3, 6, 7, 50].map((failures) => delayAfter(failures, { baseMs: 1000, maxMs: 60_000 }))).toEqual([
    0, 1000, 2000, 4000, 32_000, 60_000, 60_000,
  ]);
});

test('a process is known by pid and start time: a recycled pid is never signalled', async () => {
  const child = Bun.spawn(['sleep', '60']);
  const ref = processRef(child.pid)!;
  expect(isRunning(ref)).toBe(true);
  expect(signalProcess({ pid: ref.pid, start: '1' }, 'SIGKILL')).toBe(false);
  expect(isRunning(ref)).toBe(true);
  await endProcess(ref, 1000);
  expect(isRunning(ref)).toBe(false);
});

test('a process that ignores SIGTERM is ended after the limit', async () => {
  const child = Bun.spawn(['sh', '-c', 'trap "" TERM; echo; while :; do sleep 0.05; done'], { stdout: 'pipe' });
  await child.stdout.getReader().read();
  await endProcess(processRef(child.pid)!, 50);
  await child.exited;
  expect(child.signalCode).toBe('SIGKILL');
});

test('another system, a missing program and forbidden namespaces are explained with the remedy', () => {
  expect(() => preflight({}, 'darwin')).toThrow(/runs on Linux only .* WSL 2/);
  expect(missingPrograms(['nft', 'ip'], (program) => program === 'apt-get', false)).toBe(
    'The program `nft` and `ip` is not installed. Run: sudo apt-get install -y nftables iproute2',
  );
  expect(missingPrograms(['ip'], (program) => program === 'dnf', true)).toEndWith('Run: dnf install -y iproute');
  const restricted = (file: string) => (file.includes('apparmor') ? '1' : undefined);
  expect(namespaceRemedy('no', false, restricted)).toContain('sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0');
  expect(namespaceRemedy('no', true, () => undefined)).toContain('--privileged');
  expect(() => checkStateDir('/run/x')).toThrow(ClusterError);
  expect(() => checkFreeSpace('/x', () => ({ bavail: 10, bsize: 1024 * 1024 }))).toThrow('Only 10 MiB are free for /x');
  expect(String(explainFileError(Object.assign(new Error('x'), { code: 'ENOSPC', syscall: 'write' }), '/x'))).toContain(
    'No space left for /x',
  );
});

test('a lock is held by one at a time', async () => {
  const file = path.join(dir, 'lock');
  const first = await takeLock(file);
  expect(first).toBeNumber();
  expect(await takeLock(file, 30)).toBeUndefined();
  fs.closeSync(first!);
  const again = await takeLock(file);
  expect(again).toBeNumber();
  fs.closeSync(again!);
});

test('the forwarded port passes bytes both ways, large bodies included, and takes the next port when one is in use', async () => {
  const unix = path.join(dir, 'f.sock');
  const body = new Uint8Array(8 * 1024 * 1024).map((_, index) => index * 31);
  const server = Bun.serve({ unix, fetch: async (request) => new Response(await request.arrayBuffer()) });
  const first = forwardPort(0, false, unix);
  const second = forwardPort(first.port, false, unix);
  expect(second.port).toBeGreaterThan(first.port);
  expect(() => forwardPort(first.port, true, unix)).toThrow(`Port ${first.port} on 127.0.0.1 is in use. Choose another with --port.`);
  const answer = await fetch(`http://127.0.0.1:${second.port}/`, { method: 'POST', body });
  expect(Bun.hash(await answer.arrayBuffer())).toBe(Bun.hash(body));
  first.stop(true);
  second.stop(true);
  await server.stop(true);
  const dead = forwardPort(0, false, unix);
  expect(fetch(`http://127.0.0.1:${dead.port}/`)).rejects.toThrow();
  dead.stop(true);
});

test('a deep state directory gets a socket path the kernel takes', () => {
  const { apiSocket } = clusterPaths({ LATEEN_STATE_DIR: `/tmp/${'x'.repeat(120)}` }, 'c');
  expect(Buffer.byteLength(apiSocket)).toBeLessThan(108);
});

test('without a cluster, status says stopped and down says there was none', async () => {
  const env = { LATEEN_STATE_DIR: path.join(dir, 'none'), KUBECONFIG: path.join(dir, 'kubeconfig') };
  expect(await clusterStatus({ env })).toMatchObject({ state: 'stopped', processes: [], nodes: [] });
  expect(await down({ env })).toBe(false);
});

test('bad options are refused before anything is started', async () => {
  const env = { ...process.env, LATEEN_STATE_DIR: path.join(dir, 'bad'), KUBECONFIG: path.join(dir, 'kubeconfig') };
  await expect(up({ env, nodes: 0 })).rejects.toThrow('The number of nodes must be from 1 to 64, not 0.');
  await expect(up({ env, name: 'No Name' })).rejects.toThrow('is not a name');
  await expect(up({ env, images: ['nocommand'] })).rejects.toThrow('is not NAME=COMMAND');
  await expect(up({ env, manifests: [path.join(dir, 'missing.yaml')] })).rejects.toThrow('cannot be used');
  expect(fs.existsSync(env.LATEEN_STATE_DIR)).toBe(false);
});

test('a record of a supervisor whose pid now belongs to another process is not believed, and that process is left alone', async () => {
  const state = path.join(dir, 'stale');
  fs.mkdirSync(state);
  const bystander = Bun.spawn(['sleep', '60']);
  fs.writeFileSync(path.join(state, 'supervisor.json'), JSON.stringify({ pid: bystander.pid, start: '1', port: 1, startedAt: '' }));
  const env = { LATEEN_STATE_DIR: state, KUBECONFIG: path.join(dir, 'kubeconfig') };
  expect((await clusterStatus({ env })).state).toBe('stopped');
  expect(await down({ env })).toBe(true);
  expect(processRef(bystander.pid)).toBeDefined();
  bystander.kill();
});
