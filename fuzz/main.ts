/** `npm run fuzz`: damaged inputs for every decoder, for a while; exit code 1 when one of them does what it must not. */
import fs from 'node:fs';
import { parseArgs } from 'node:util';
import { check } from './check.ts';
import { writeCrash } from './corpus.ts';
import { MAX_INPUT_BYTES } from './mutate.ts';
import { Random } from './random.ts';
import { targets } from './targets.ts';
import type { Order, Report } from './worker.ts';

const USAGE = `Usage: npm run fuzz -- [--minutes N] [--target NAME]… [--seed N]
       npm run fuzz -- --target NAME --input FILE

  --minutes N    for all targets together (default 10)
  --target NAME  only this one (repeatable): ${targets.map(({ name }) => name).join(', ')}
  --seed N       of the mutations (default: the time); the same seed and corpus give the same inputs
  --input FILE   run one input and say what it does

Inputs that do something new are added to fuzz/corpus, crashes are written to fuzz/crashes with the line that repeats them.`;

/** One input may not take longer; its thread is ended then. */
const HANG_MS = 10_000;
/** Objects that stay beyond the pool of inputs. */
const MAX_HEAP_GROWTH = 64 * 1024 * 1024;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    target: { type: 'string', multiple: true, default: [] },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    input: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const chosen = values.target.length === 0 ? targets : targets.filter(({ name }) => values.target.includes(name));
const seed = Number(values.seed);
const minutes = Number(values.minutes);
if (values.help || chosen.length < values.target.length || chosen.length === 0 || !(minutes > 0) || !Number.isInteger(seed)) {
  console.error(USAGE);
  process.exit(values.help ? 0 : 2);
}
if (values.input !== undefined) {
  const outcome = check(chosen[0]!, fs.readFileSync(values.input), new Random(seed));
  console.log(outcome.ok ? `ok: ${outcome.signature}` : outcome.problem);
  process.exit(outcome.ok ? 0 : 1);
}

/** Runs one target in a thread; a hang is reported with the input it hangs on. */
function run(target: string, milliseconds: number): Promise<Report | { readonly hang: Uint8Array }> {
  const shared = new SharedArrayBuffer(8 + MAX_INPUT_BYTES);
  const numbers = new Int32Array(shared, 0, 2);
  const worker = new Worker(new URL('worker.ts', import.meta.url).href);
  return new Promise((resolve, reject) => {
    let last = -1;
    const watch = setInterval(() => {
      if (numbers[0] === last && last > 0) finish({ hang: Uint8Array.from(new Uint8Array(shared, 8, numbers[1])) });
      last = numbers[0]!;
    }, HANG_MS);
    const finish = (result: Report | { readonly hang: Uint8Array }): void => {
      clearInterval(watch);
      worker.terminate();
      resolve(result);
    };
    worker.onmessage = ({ data }: MessageEvent<Report>) => finish(data);
    worker.onerror = (event) => {
      clearInterval(watch);
      reject(new Error(`${target}: ${event.message}`));
    };
    const order: Order = { target, seed, milliseconds, shared };
    worker.postMessage(order);
  });
}

console.log(`seed ${seed}, ${minutes} minutes for ${chosen.length} targets`);
let executions = 0;
let signatures = 0;
let kept = 0;
let failures = 0;
for (const [index, target] of chosen.entries()) {
  const result = await run(target.name, (minutes * 60_000) / chosen.length);
  const crashes = 'hang' in result ? [{ bytes: result.hang, problem: `no end within ${HANG_MS} ms` }] : [...result.crashes];
  for (const { bytes, problem } of crashes) {
    failures++;
    console.log(`CRASH ${target.name}: ${problem.split('\n', 4).join('\n  ')}\n  ${writeCrash(target.name, bytes, problem)}`);
  }
  if ('hang' in result) continue;
  if (result.heapGrowth > MAX_HEAP_GROWTH) {
    failures++;
    console.log(`CRASH ${target.name}: the heap grew by ${Math.round(result.heapGrowth / 1024 / 1024)} MiB`);
  }
  const { tally } = result;
  executions += tally.executions;
  signatures += tally.signatures;
  kept += tally.kept;
  console.log(
    `${index + 1}/${chosen.length} ${target.name}: ${tally.executions} executions, ${tally.signatures} signatures, ${tally.kept} new inputs kept, heap ${(result.heapGrowth / 1024 / 1024).toFixed(1)} MiB`,
  );
}
console.log(`${executions} executions, ${signatures} signatures, ${kept} new inputs kept, ${failures} crashes`);
process.exit(failures === 0 ? 0 : 1);
