import { expect, test } from 'bun:test';
import path from 'node:path';

/** Whole suites again, with several processes per node proxy: their expectations are the same. */
const SUITES = [
  ['matrix', 3],
  ['life', 2],
] as const;

for (const [suite, workers] of SUITES)
  test(`everything of "${suite}" holds with ${workers} processes, too`, async () => {
    const file = path.join(import.meta.dir, `${suite}.test.ts`);
    const child = Bun.spawn([process.execPath, 'test', '--timeout', '120000', file], {
      env: { ...process.env, LATEEN_E2E_WORKERS: String(workers) },
      cwd: path.resolve(import.meta.dir, '../..'),
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    const output = `${out}${err}`;
    expect(output).toMatch(/^ *[1-9]\d* pass$/m);
    expect({ code, failed: output.split('\n').filter((line) => line.startsWith('(fail)') || line.startsWith('error:')) }).toEqual({
      code: 0,
      failed: [],
    });
  }, 180_000);
