/** `npm run bench -- l4`: what L4 hops with mutual TLS cost, against no proxy, a plain relay, Envoy sidecars and real ztunnels, interleaved in one run. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Arm } from './arm.ts';
import { CipherWatch } from './cipher.ts';
import { l4Report } from './l4-report.ts';
import type { L4Result } from './l4-result.ts';
import { L4_FAMILIES, type L4Family } from './l4-workloads.ts';
import { type Circumstances, mergeResults, readResults } from './result.ts';
import { measureAll, proxiesMemory } from './run.ts';
import { cleanUp, keepAwake, sh } from './shell.ts';
import { makeNodes } from './topology.ts';

const REPORT = path.join(import.meta.dir, 'RESULTS.md');
/** What was found out about the budgets that are missed; goes into the report. */
const NOTES = path.join(import.meta.dir, 'l4-notes.md');
const DATA = path.join(import.meta.dir, 'results-l4.json');
const IDS = L4_FAMILIES.flatMap((family) => family.workloads.map((workload) => workload.id));
const ABOUT = Object.fromEntries(L4_FAMILIES.map(({ name, about }) => [name, about]));
/** What a process does after its start is over by then. */
const SETTLE_MS = 3000;

export interface L4Options {
  readonly blocks: number;
  readonly seconds: number;
  readonly only: readonly string[];
  readonly workload: readonly string[];
  readonly json: boolean;
  readonly publish: boolean;
  readonly report: boolean;
}

/** The families with what `--only` and `--workload` leave of them; a workload may be named by its family. */
function chosen(options: L4Options): readonly L4Family[] {
  const isChosen = (words: readonly string[], ...names: readonly string[]) =>
    words.length === 0 || names.some((name) => words.includes(name));
  return L4_FAMILIES.map((family) => ({
    ...family,
    arms: family.arms.filter(([name]) => name === 'direct' || isChosen(options.only, name)),
    workloads: family.workloads.filter((workload) => isChosen(options.workload, workload.id, family.name)),
  })).filter(({ arms, workloads }) => workloads.length > 0 && arms.length > 0);
}

async function measureFamily(family: L4Family, options: L4Options, circumstances: Circumstances): Promise<L4Result[]> {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'lateen-bench-'));
  try {
    makeNodes();
    for (const cpu of [0, 1]) keepAwake(cpu);
    const watch = new CipherWatch();
    const arms: Arm[] = [];
    const ciphers: Record<string, string> = {};
    for (const [name, make] of family.arms) {
      console.error(`starting ${name}`);
      const arm = await make(work, arms.length + 1);
      arms.push(arm);
      const suite = watch.take().get(arm.address);
      if (suite !== undefined) ciphers[arm.name] = suite;
    }
    watch.close();
    await Bun.sleep(SETTLE_MS);
    const idle = arms.map((arm) => ({ arm: arm.name, ...proxiesMemory(arm) }));
    const results: L4Result[] = [];
    for (const workload of family.workloads) {
      const own = arms.filter(({ name }) => workload.without?.includes(name) !== true);
      results.push({
        id: workload.id,
        kind: workload.kind,
        family: family.name,
        name: workload.name,
        circumstances,
        ciphers,
        arms: own.map(({ name, about }) => ({ name, about })),
        idle,
        blocks: await measureAll(own, [workload], options),
      });
    }
    return results;
  } finally {
    cleanUp();
    if (process.env['BENCH_KEEP'] === undefined) sh('rm', '-rf', work);
  }
}

const notes = () => (fs.existsSync(NOTES) ? fs.readFileSync(NOTES, 'utf8') : '');

function publish(results: readonly L4Result[]): void {
  const all = mergeResults(readResults<L4Result>(DATA), results, IDS);
  fs.writeFileSync(DATA, `${JSON.stringify(all)}\n`);
  fs.writeFileSync(REPORT, l4Report(all, ABOUT, notes()));
}

export async function runL4(options: L4Options): Promise<number> {
  const unknown = options.workload.find((id) => !IDS.includes(id) && !L4_FAMILIES.some(({ name }) => name === id));
  if (unknown !== undefined) {
    console.error(
      `bench: no workload or family is called '${unknown}'. Families: ${L4_FAMILIES.map(({ name }) => name).join(', ')}. Workloads: ${IDS.join(', ')}`,
    );
    return 2;
  }
  if (options.report) {
    if (mergeResults(readResults<L4Result>(DATA), [], IDS).length === 0) {
      console.error(`bench: there is no ${path.basename(DATA)} to report. Measure first: sudo npm run bench -- l4 --publish`);
      return 2;
    }
    publish([]);
    return 0;
  }
  if (process.getuid?.() !== 0) {
    console.error('bench: network namespaces and pinning need root. Run: sudo npm run bench -- l4');
    return 2;
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      cleanUp();
      process.exit(130);
    });
  }
  const circumstances: Circumstances = {
    blocks: options.blocks,
    seconds: options.seconds,
    kernel: os.release().split('-')[0]!,
    processor: os.cpus()[0]?.model ?? 'unknown',
    bun: Bun.version,
  };
  const results: L4Result[] = [];
  for (const family of chosen(options)) {
    results.push(...(await measureFamily(family, options, circumstances)));
    // After each family, so that a failure in a later one loses nothing.
    if (options.publish) publish(results);
  }
  console.log(options.json ? JSON.stringify(results) : l4Report(results, ABOUT));
  return 0;
}
