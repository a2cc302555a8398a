/** Running arms against workloads: pinned, interleaved, block by block. */
import type { Arm, Block, Workload } from './arm.ts';
import { holdArgv, httpClient } from './clients.ts';
import {
  type CpuReading,
  cpuBetween,
  type Memory,
  machineMicros,
  memoryOf,
  processTree,
  type Running,
  readAwake,
  readCpu,
} from './shell.ts';

const CORES = navigator.hardwareConcurrency;

const pidsOf = (processes: readonly Running[]): readonly number[] => processes.flatMap(({ pid }) => processTree(pid));
const sumBetween = (before: readonly CpuReading[], after: readonly CpuReading[]): number =>
  before.reduce((sum, one, index) => sum + cpuBetween(one, after[index]!), 0);

/** Memory of all processes of an arm's proxies. */
export const proxiesMemory = (arm: Arm): Memory => memoryOf(pidsOf(arm.proxies));

/** What the machine and the groups of an arm's processes do from its making on. */
class Meter {
  readonly #groups: readonly (readonly number[])[];
  readonly #cpu: readonly (readonly CpuReading[])[];
  readonly #machine = machineMicros();
  readonly #awake = readAwake();
  readonly #at = performance.now();

  constructor(groups: readonly (readonly number[])[]) {
    this.#groups = groups;
    this.#cpu = groups.map((group) => group.map(readCpu));
  }

  /** `client`: processor time of a client that is not among the groups. */
  read(client = 0) {
    const took = (performance.now() - this.#at) * 1000;
    const machine = machineMicros();
    const [proxies = 0, waypoint = 0, origins = 0] = this.#groups.map((group, index) => sumBetween(this.#cpu[index]!, group.map(readCpu)));
    const load = origins + client;
    const foreign = machine.busy - this.#machine.busy - sumBetween(this.#awake, readAwake()) - proxies - load;
    return {
      took,
      proxies,
      waypoint,
      softirq: machine.softirq - this.#machine.softirq,
      shares: {
        proxiesBusy: proxies / took,
        loadBusy: load / took,
        steal: (machine.steal - this.#machine.steal) / (took * CORES),
        foreign: Math.max(0, foreign) / (took * CORES),
      },
    };
  }
}

const groupsOf = (arm: Arm) => [pidsOf(arm.proxies), arm.waypoint === undefined ? [] : pidsOf([arm.waypoint]), pidsOf(arm.origins)];

const spawnClient = (arm: Arm, argv: readonly string[], stdin: 'ignore' | 'pipe') =>
  Bun.spawn(['nsenter', `--net=/run/netns/${arm.client}`, 'taskset', '-c', arm.loadCpus, ...argv], {
    stdin,
    stdout: 'pipe',
    stderr: 'pipe',
  });

/** Runs the client once against an arm. What the arm's processes used is counted from its start to its end. */
async function measure(arm: Arm, workload: Workload, seconds: number): Promise<Block> {
  if (workload.held !== undefined) return measureHeld(arm, workload, workload.held, seconds);
  const client = workload.client ?? httpClient(workload);
  const meter = new Meter(groupsOf(arm));
  const child = spawnClient(arm, client.argv(arm, seconds), 'ignore');
  const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  if (code !== 0) throw new Error(`the client failed in arm ${arm.name}: ${err.slice(0, 500)}`);
  const used = meter.read(Number(child.resourceUsage()?.cpuTime.total ?? 0));
  // Not before: reading a long log takes the processor.
  const seen = client.read(out);
  const perRequest = (micros: number) => micros / Math.max(seen.requests, 1);
  return {
    arm: arm.name,
    workload: workload.name,
    ...seen,
    cpuPerRequest: perRequest(used.proxies),
    softirqPerRequest: perRequest(used.softirq),
    ...proxiesMemory(arm),
    ...(arm.waypoint === undefined ? {} : { waypoint: { cpuPerRequest: perRequest(used.waypoint), ...memoryOf(pidsOf([arm.waypoint])) } }),
    ...used.shares,
  };
}

/** What opening has started (growth of tables, collection) is over by then. */
const HELD_SETTLE_MS = 3000;

/** Opens connections, then lets them be. A request of the block is an open connection; its processor time that of the proxies per connection and second. */
async function measureHeld(arm: Arm, workload: Workload, count: number, seconds: number): Promise<Block> {
  const groups = groupsOf(arm);
  const child = spawnClient(arm, holdArgv(arm, count), 'pipe');
  const first = await child.stdout.getReader().read();
  const { held } = JSON.parse(new TextDecoder().decode(first.value)) as { held: number }; // printed by our own client
  await Bun.sleep(HELD_SETTLE_MS);
  const meter = new Meter(groups);
  await Bun.sleep(seconds * 1000);
  const used = meter.read();
  const memory = proxiesMemory(arm);
  await child.stdin!.end();
  await child.exited;
  return {
    arm: arm.name,
    workload: workload.name,
    requests: held,
    errors: count - held,
    rps: 0,
    p50: 0,
    p90: 0,
    p99: 0,
    p999: 0,
    cpuPerRequest: used.proxies / Math.max(held, 1) / seconds,
    softirqPerRequest: used.softirq / Math.max(held, 1) / seconds,
    ...memory,
    ...used.shares,
  };
}

/** Order of arms in block `index`: forward, then backward (A B C, C B A), so that a slow drift of the machine cancels in the pairs. */
function order<T>(arms: readonly T[], index: number): readonly T[] {
  return index % 2 === 0 ? arms : [...arms].reverse();
}

/** Every workload, every block, every arm; the warm-up is not counted. */
export async function measureAll(
  arms: readonly Arm[],
  workloads: readonly Workload[],
  options: { readonly blocks: number; readonly seconds: number },
): Promise<Block[]> {
  const blocks: Block[] = [];
  for (const workload of workloads) {
    if (workload.warmUp !== false) for (const arm of arms) await measure(arm, workload, Math.max(3, options.seconds / 2));
    const count = Math.min(options.blocks, workload.blocks ?? options.blocks);
    for (let index = 0; index < count; index++) {
      for (const arm of order(arms, index)) {
        const block = await measure(arm, workload, options.seconds);
        blocks.push(block);
        console.error(
          `${workload.name} · block ${index + 1}/${count} · ${arm.name}: ${block.rps.toFixed(0)} rps, p50/p90/p99 ${block.p50.toFixed(0)}/${block.p90.toFixed(0)}/${block.p99.toFixed(0)} µs, ${block.cpuPerRequest.toFixed(0)} µs CPU, ${block.errors} errors, others ${((block.foreign + block.steal) * 100).toFixed(1)} %`,
        );
      }
    }
  }
  return blocks;
}
