/**
 * `npm test`: the checks, the unit tests and the whole-system tests, then one line with the count. Output of each part is shown as it comes;
 * a part that cannot run here says so in the count of skipped tests, never in silence. What failed is repeated in front of the count, as hours later often only the
 * end of this is left.
 */
interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

const total: Count = { passed: 0, failed: 0, skipped: 0 };
/** Commands that failed, and what they said about it. */
const failures: string[] = [];
/** Lines repeated of one failure, its last ones, and of all. */
const MAX_FAILURE_LINES = 40;
const MAX_REPEATED_LINES = 90;
/** What a command has written may take so long to arrive after its end. */
const LAST_OUTPUT_MS = 5_000;
const bun = 'node_modules/.bin/bun';

/** Runs a command, passes its output through, returns it with the exit code. */
async function run(command: readonly string[]): Promise<{ code: number; output: string }> {
  console.log(`\n# ${command.join(' ')}`);
  const child = Bun.spawn([...command], { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });
  let output = '';
  const pass = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      process.stdout.write(chunk);
      output += decoder.decode(chunk, { stream: true });
    }
  };
  const passed = Promise.all([pass(child.stdout), pass(child.stderr)]);
  const code = await child.exited;
  // A process that a test left behind may hold the output open.
  await Promise.race([passed, Bun.sleep(LAST_OUTPUT_MS)]);
  return { code, output };
}

/** One check counts as one test. */
async function check(step: string): Promise<void> {
  const { code, output } = await run([bun, 'scripts/check.ts', step]);
  if (code === 0) total.passed++;
  else {
    total.failed++;
    failures.push(lastLines(output.trimEnd(), MAX_FAILURE_LINES));
  }
}

const lastLines = (text: string, count: number): string => text.split('\n').slice(-count).join('\n');

/** What stands in front of each line that names a failed test, back to the line of the test before. */
function failuresIn(output: string): string[] {
  const found = new Map<string, string>();
  let lines: string[] = [];
  for (const line of output.split('\n')) {
    lines.push(line);
    const ended = /^\((pass|fail|skip|todo)\) (.*?)( \[[\d.]+ms\])?$/.exec(line);
    if (ended === null) continue;
    // The summary names it again, without the reason.
    const name = ended[2]!;
    if (ended[1] === 'fail' && !found.has(name)) found.set(name, lastLines(lines.join('\n'), MAX_FAILURE_LINES));
    lines = [];
  }
  return [...found.values()];
}

/** The last number in front of `word` on a line of its own, as `bun test` closes. */
function closing(output: string, word: string): number {
  const all = [...output.matchAll(new RegExp(`^\\s*(\\d+) ${word}$`, 'gm'))];
  return Number(all.at(-1)?.[1] ?? 0);
}

async function suite(path: string, timeout: number): Promise<void> {
  const { code, output } = await run([bun, 'test', '--timeout', String(timeout), path]);
  const failed = closing(output, 'fail');
  total.passed += closing(output, 'pass');
  total.skipped += closing(output, 'skip') + closing(output, 'todo');
  // A suite that died (or found no test) has failed even if it counted nothing.
  total.failed += failed === 0 && code !== 0 ? 1 : failed;
  if (code !== 0) failures.push(...(failed === 0 ? [lastLines(output.trimEnd(), MAX_FAILURE_LINES)] : failuresIn(output)));
}

await Promise.all(['format and lint', 'types', 'import direction', 'dead exports'].map(check));
await suite('./src', 30_000);
await suite('./examples', 30_000);
await suite('./bench', 30_000);
await suite('./fuzz', 30_000);
await suite('./e2e', 180_000);

if (failures.length > 0) console.log(`\n# what failed\n${lastLines(failures.join('\n\n'), MAX_REPEATED_LINES)}`);
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed === 0 ? 0 : 1);
