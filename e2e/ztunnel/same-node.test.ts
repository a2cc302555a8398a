/** What an application, a policy and an operator see must not depend on where the two pods are, nor on whether their node proxy joins them: the same cases run in each placement. */
import { expect, test } from 'bun:test';
import path from 'node:path';

const CASES = ['matrix.test.ts', 'life.test.ts'].map((file) => path.join(import.meta.dir, file));

for (const [placement, words] of [
  ['one-node', 'through a tunnel of the node proxy to itself'],
  ['joined', 'joined in the node proxy'],
] as const) {
  test(`every case of the matrix and of a connection's life holds ${words}`, async () => {
    const child = Bun.spawn([process.execPath, 'test', '--timeout', '120000', ...CASES], {
      env: { ...process.env, LATEEN_E2E_PLACEMENT: placement },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    if (code !== 0) console.error(`${out}${err}`);
    expect(code).toBe(0);
    // The loss of the other node's proxy is the one case that needs two.
    expect(err).toMatch(/\n 1 skip\n 0 fail\n/);
  }, 400_000);
}
