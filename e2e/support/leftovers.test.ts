import { afterAll, beforeAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startOf, sweep } from './leftovers.ts';

const notes = fs.mkdtempSync(path.join(os.tmpdir(), 'leftovers-'));
const namespace = `lo-${process.pid}`;
let before: string | undefined;
beforeAll(() => {
  before = process.env['LATEEN_E2E_LEFTOVERS'];
  process.env['LATEEN_E2E_LEFTOVERS'] = notes;
});
afterAll(() => {
  if (before === undefined) delete process.env['LATEEN_E2E_LEFTOVERS'];
  else process.env['LATEEN_E2E_LEFTOVERS'] = before;
  Bun.spawnSync(['ip', 'netns', 'del', namespace]);
  fs.rmSync(notes, { recursive: true });
});

/** A run of tests that makes a process and a namespace, says so and waits. */
async function begin() {
  const program = `
    const { rememberNamespace, rememberProcess } = await import(${JSON.stringify(path.join(import.meta.dir, 'leftovers.ts'))});
    Bun.spawnSync(['ip', 'netns', 'add', '${namespace}']);
    rememberNamespace('${namespace}');
    const child = Bun.spawn(['sleep', '1000']);
    rememberProcess(child.pid);
    console.log(child.pid);
    await Bun.sleep(1_000_000);
  `;
  const run = Bun.spawn([process.execPath, '-e', program], { env: { ...process.env, LATEEN_E2E_LEFTOVERS: notes }, stdout: 'pipe' });
  const { value } = await run.stdout.getReader().read();
  return { run, child: Number(Buffer.from(value!).toString()) };
}

const exists = () => fs.existsSync(`/run/netns/${namespace}`);

test('takes away what a killed run left, and nothing of one that lives', async () => {
  const { run, child } = await begin();
  sweep();
  expect([startOf(child) !== undefined, exists()]).toEqual([true, true]);
  run.kill('SIGKILL');
  await run.exited;
  sweep();
  for (let i = 0; i < 200 && startOf(child) !== undefined; i++) await Bun.sleep(10);
  expect([startOf(child), exists(), fs.readdirSync(notes)]).toEqual([undefined, false, []]);
});

test('spares a process and a namespace that only have the number and the name of those', async () => {
  expect(Bun.spawnSync(['ip', 'netns', 'add', namespace]).exitCode).toBe(0);
  const bystander = Bun.spawn(['sleep', '1000']);
  const lines = [
    { kind: 'process', pid: bystander.pid, start: '1' },
    { kind: 'namespace', name: namespace, identity: `${fs.statSync(`/run/netns/${namespace}`).ino} 1` },
  ];
  fs.writeFileSync(path.join(notes, '1-0'), lines.map((line) => JSON.stringify(line)).join('\n'));
  sweep();
  expect([startOf(bystander.pid) !== undefined, exists(), fs.readdirSync(notes)]).toEqual([true, true, []]);
  bystander.kill();
  await bystander.exited;
});
