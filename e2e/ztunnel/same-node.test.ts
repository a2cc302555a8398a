/** What an application, a policy and an operator see must not depend on where the two pods are, nor on whether their node proxy joins them: the same cases run in each placement. */
import { expect, test } from 'bun:test';
import path from 'node:path';

/** Cases of two nodes that can have one instead. */
const ANYWHERE = ['matrix', 'life'];
/** Cases of one node, which run joined by themselves. */
const ON_ONE_NODE = ['recursion', 'peer-authentication', 'crl-one-node'];
/** The loss of the other node's proxy is the one case that needs two. */
const SKIPPED: Readonly<Record<string, number>> = { life: 1 };

/** Runs a suite in a process of its own; what is wrong with how it ended. */
async function problemOf(suite: string, placement: string): Promise<string | undefined> {
  const child = Bun.spawn([process.execPath, 'test', '--timeout', '120000', path.join(import.meta.dir, `${suite}.test.ts`)], {
    env: { ...process.env, LATEEN_E2E_PLACEMENT: placement },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  const skipped = Number(/^ *(\d+) skip$/m.exec(err)?.[1] ?? 0);
  if (code === 0 && skipped === (SKIPPED[suite] ?? 0)) return undefined;
  console.error(`${out}${err}`);
  return `${suite}: exit code ${code}, ${skipped} skipped`;
}

for (const [placement, words, suites] of [
  ['one-node', 'through a tunnel of the node proxy to itself', [...ANYWHERE, ...ON_ONE_NODE]],
  ['joined', 'joined in the node proxy', [...ANYWHERE, 'identity']],
] as const) {
  test(`every case of the matrix, of a connection's life and of who may speak holds ${words}`, async () => {
    // Two at a time: most of their time is waiting.
    const left = [...suites];
    const problems: string[] = [];
    const work = async (): Promise<void> => {
      for (let suite = left.pop(); suite !== undefined; suite = left.pop()) {
        const problem = await problemOf(suite, placement);
        if (problem !== undefined) problems.push(problem);
      }
    };
    await Promise.all([work(), work()]);
    expect(problems).toEqual([]);
  }, 400_000);
}
