/** Running arms against workloads: pinned, interleaved, block by block. */
import type { Arm, Block, Workload } from './arm.ts';
import { httpClient } from './clients.ts';
import { awakeMicros, cpuMicros, machineMicros, memoryKib, type Running } from './shell.ts';

const CORES = navigator.hardwareConcurrency;

/** Runs the client once against an arm. What the arm's processes used is counted from its start to its end. */
async function measure(arm: Arm, workload: Workload, seconds: number): Promise<Block> {
  const client = workload.client ?? httpClient(workload);
  const cpuOf = (processes: readonly Running[]) => processes.reduce((sum, one) => sum + cpuMicros(one.pid), 0);
  const waypoints = arm.waypoint === undefined ? [] : [arm.waypoint];
  const groups = [arm.proxies, waypoints, [arm.origin]];
  const before = { cpu: groups.map(cpuOf), machine: machineMicros(), awake: awakeMicros(), at: performance.now() };
  const child = Bun.spawn(['nsenter', `--net=/run/netns/${arm.client}`, 'taskset', '-c', '0', ...client.argv(arm, seconds)], {
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  if (code !== 0) throw new Error(`the client failed in arm ${arm.name}: ${err.slice(0, 500)}`);
  const took = (performance.now() - before.at) * 1000;
  const machine = machineMicros();
  const [proxies = 0, waypoint = 0, origin = 0] = groups.map((group, index) => cpuOf(group) - before.cpu[index]!);
  const load = origin + Number(child.resourceUsage()?.cpuTime.total ?? 0);
  const foreign = machine.busy - before.machine.busy - (awakeMicros() - before.awake) - proxies - load;
  // Not before: reading a long log takes the processor.
  const seen = client.read(out);
  const perRequest = (micros: number) => micros / Math.max(seen.requests, 1);
  const memoryOf = (processes: readonly Running[]) => {
    const each = processes.map((one) => memoryKib(one.pid));
    return { pssKib: each.reduce((sum, one) => sum + one.pss, 0), privateKib: each.reduce((sum, one) => sum + one.private, 0) };
  };
  return {
    arm: arm.name,
    workload: workload.name,
    ...seen,
    cpuPerRequest: perRequest(proxies),
    softirqPerRequest: perRequest(machine.softirq - before.machine.softirq),
    ...memoryOf(arm.proxies),
    ...(arm.waypoint === undefined ? {} : { waypoint: { cpuPerRequest: perRequest(waypoint), ...memoryOf(waypoints) } }),
    proxiesBusy: proxies / took,
    loadBusy: load / took,
    steal: (machine.steal - before.machine.steal) / (took * CORES),
    foreign: Math.max(0, foreign) / (took * CORES),
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
    for (const arm of arms) await measure(arm, workload, Math.max(3, options.seconds / 2));
    for (let index = 0; index < options.blocks; index++) {
      for (const arm of order(arms, index)) {
        const block = await measure(arm, workload, options.seconds);
        blocks.push(block);
        console.error(
          `${workload.name} · block ${index + 1}/${options.blocks} · ${arm.name}: ${block.rps.toFixed(0)} rps, p50/p90/p99 ${block.p50.toFixed(0)}/${block.p90.toFixed(0)}/${block.p99.toFixed(0)} µs, ${block.cpuPerRequest.toFixed(0)} µs CPU, ${block.errors} errors, others ${((block.foreign + block.steal) * 100).toFixed(1)} %`,
        );
      }
    }
  }
  return blocks;
}
