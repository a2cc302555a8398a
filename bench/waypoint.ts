/** `npm run bench -- waypoint`: what an L7 hop in the mesh costs, against Envoy in its place and against Envoy sidecars, interleaved in one run. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Arm } from './arm.ts';
import { type Circumstances, type IdleMemory, mergeResults, readResults } from './result.ts';
import { measureAll, proxiesMemory } from './run.ts';
import { cleanUp, keepAwake, memoryOf, processTree, sh } from './shell.ts';
import { makeNodes } from './topology.ts';
import { waypointReport } from './waypoint-report.ts';
import type { WorkloadResult } from './waypoint-result.ts';
import { FAMILIES, type Family } from './waypoint-workloads.ts';

const REPORT = path.join(import.meta.dir, 'RESULTS-waypoint.md');
/** What was found out about the targets that are missed; goes into the report. */
const NOTES = path.join(import.meta.dir, 'waypoint-notes.md');
const DATA = path.join(import.meta.dir, 'results-waypoint.json');
const IDS = FAMILIES.flatMap((family) => family.workloads.map((workload) => workload.id));
/** What a process does after its start is over by then. */
const SETTLE_MS = 3000;

export interface WaypointOptions {
  readonly blocks: number;
  readonly seconds: number;
  readonly only: readonly string[];
  readonly workload: readonly string[];
  readonly json: boolean;
  readonly publish: boolean;
  readonly report: boolean;
}

/** The families with what `--only` and `--workload` leave of them. */
function chosen(options: WaypointOptions): readonly Family[] {
  const isChosen = (words: readonly string[], name: string) => words.length === 0 || words.includes(name);
  return FAMILIES.map(({ arms, workloads }) => ({
    arms: arms.filter(([name]) => name === 'direct' || isChosen(options.only, name.split(',')[0]!)),
    workloads: workloads.filter((workload) => isChosen(options.workload, workload.id)),
  })).filter(({ arms, workloads }) => workloads.length > 0 && arms.some(([name]) => name !== 'direct' || options.only.includes(name)));
}

function idleMemory(arm: Arm): IdleMemory {
  return {
    arm: arm.name,
    ...proxiesMemory(arm),
    ...(arm.waypoint === undefined ? {} : { waypoint: memoryOf(processTree(arm.waypoint.pid)) }),
  };
}

async function measureFamily(family: Family, options: WaypointOptions, circumstances: Circumstances): Promise<WorkloadResult[]> {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'lateen-bench-'));
  try {
    makeNodes();
    for (const cpu of [0, 1]) keepAwake(cpu);
    const arms: Arm[] = [];
    for (const [name, make] of family.arms) {
      console.error(`starting ${name}`);
      arms.push(await make(work, arms.length + 1));
    }
    await Bun.sleep(SETTLE_MS);
    const idle = arms.map(idleMemory);
    const results: WorkloadResult[] = [];
    for (const workload of family.workloads) {
      results.push({
        id: workload.id,
        kind: workload.kind,
        name: workload.name,
        parts: workload.parts ?? 1,
        circumstances,
        arms: arms.map(({ name, about }) => ({ name, about })),
        idle,
        blocks: await measureAll(arms, [workload], options),
      });
    }
    return results;
  } finally {
    cleanUp();
    if (process.env['BENCH_KEEP'] === undefined) sh('rm', '-rf', work);
  }
}

function publish(results: readonly WorkloadResult[]): void {
  const all = mergeResults(readResults<WorkloadResult>(DATA), results, IDS);
  fs.writeFileSync(DATA, `${JSON.stringify(all)}\n`);
  fs.writeFileSync(REPORT, waypointReport(all, fs.existsSync(NOTES) ? fs.readFileSync(NOTES, 'utf8') : ''));
}

export async function runWaypointBench(options: WaypointOptions): Promise<number> {
  const unknown = options.workload.find((id) => !IDS.includes(id));
  if (unknown !== undefined) {
    console.error(`bench: no workload is called '${unknown}'. Workloads: ${IDS.join(', ')}`);
    return 2;
  }
  if (options.report) {
    if (!fs.existsSync(DATA)) {
      console.error(`bench: there is no ${path.basename(DATA)} to report. Measure first: sudo npm run bench -- waypoint --publish`);
      return 2;
    }
    publish([]);
    return 0;
  }
  if (process.getuid?.() !== 0) {
    console.error('bench: network namespaces and pinning need root. Run: sudo npm run bench -- waypoint');
    return 2;
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      cleanUp();
      process.exit(130);
    });
  }
  const families = chosen(options);
  if (families.some(({ workloads }) => workloads.some(({ kind }) => kind === 'grpc')) && Bun.which('h2load') === null) {
    console.error(
      'bench: gRPC calls are sent by h2load. Install the package nghttp2-client, or choose workloads without them by --workload.',
    );
    return 2;
  }
  const circumstances: Circumstances = {
    blocks: options.blocks,
    seconds: options.seconds,
    kernel: os.release().split('-')[0]!,
    processor: os.cpus()[0]?.model ?? 'unknown',
    bun: Bun.version,
  };
  const results: WorkloadResult[] = [];
  for (const family of families) {
    results.push(...(await measureFamily(family, options, circumstances)));
    // After each family, so that a failure in a later one loses nothing.
    if (options.publish) publish(results);
  }
  console.log(options.json ? JSON.stringify(results) : waypointReport(results));
  return 0;
}
