/** The documentation's shell blocks are run, page by page, from top to bottom, on a cluster of their own. */
import { afterAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import path from 'node:path';
import { ROOT, type Sandbox, sandbox } from './support/cluster.ts';
import { shellBlocks } from './support/markdown.ts';

const pages = [
  'README.md',
  ...[...new Bun.Glob('{docs,examples}/**/*.md').scanSync({ cwd: ROOT })].filter((page) => !page.startsWith('docs/decisions/')).sort(),
];
const boxes: Sandbox[] = [];
afterAll(async () => {
  for (const box of boxes) await box.close();
});

test('a block is only left out with a reason', () => {
  expect(shellBlocks('```sh\na\nb\n```\n<!-- not run: too long -->\n```sh\nc\n```\n')).toEqual([
    { line: 1, code: 'a\nb', notRun: undefined },
    { line: 6, code: 'c', notRun: 'too long' },
  ]);
});

for (const page of pages) {
  const blocks = shellBlocks(fs.readFileSync(path.join(ROOT, page), 'utf8'));
  for (const block of blocks.filter((one) => one.notRun !== undefined))
    test.skip(`${page}:${block.line} is not run: ${block.notRun}`, () => {});
  const script = blocks.filter((one) => one.notRun === undefined);
  if (script.length === 0) continue;
  test(`what ${page} says to type works, top to bottom`, async () => {
    const box = sandbox();
    boxes.push(box);
    for (const block of script) {
      const ran = await box.run(['sh', '-eu', '-c', block.code], { timeout: 180_000 });
      if (ran.code !== 0) throw new Error(`${page}:${block.line} ended with exit code ${ran.code}\n${block.code}\n${ran.out}\n${ran.err}`);
    }
  }, 400_000);
}
