/** Running arms against workloads: pinned, interleaved, block by block. */
import path from 'node:path';
import type { Arm, Block, Workload } from './arm.ts';
import { BUN, cpuMicros, memoryKib, softirqMicros } from './shell.ts';

async function measure(arm: Arm, workload: Workload, seconds: number): Promise<Block> {
  const cpuBefore = arm.proxies.reduce((sum, proxy) => sum + cpuMicros(proxy.pid), 0);
  const softirqBefore = softirqMicros();
  const argv = [arm.address, arm.port, workload.connections, workload.rate, seconds, workload.fresh ? 1 : 0].map(String);
  const client = Bun.spawn(
    ['nsenter', `--net=/run/netns/${arm.client}`, 'taskset', '-c', '0', BUN, path.join(import.meta.dir, 'load.ts'), ...argv],
    { stdout: 'pipe', stderr: 'pipe' },
  );
  const [out, err, code] = await Promise.all([new Response(client.stdout).text(), new Response(client.stderr).text(), client.exited]);
  if (code !== 0) throw new Error(`the client failed in arm ${arm.name}: ${err.slice(0, 500)}`);
  const seen = JSON.parse(out) as { requests: number; errors: number; rps: number; p50: number; p90: number; p99: number; p999: number };
  const cpu = arm.proxies.reduce((sum, proxy) => sum + cpuMicros(proxy.pid), 0) - cpuBefore;
  const memory = arm.proxies.map((proxy) => memoryKib(proxy.pid));
  return {
    arm: arm.name,
    workload: workload.name,
    ...seen,
    cpuPerRequest: cpu / Math.max(seen.requests, 1),
    softirqPerRequest: (softirqMicros() - softirqBefore) / Math.max(seen.requests, 1),
    pssKib: memory.reduce((sum, one) => sum + one.pss, 0),
    privateKib: memory.reduce((sum, one) => sum + one.private, 0),
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
          `${workload.name} · block ${index + 1}/${options.blocks} · ${arm.name}: ${block.rps.toFixed(0)} rps, p50/p90/p99 ${block.p50.toFixed(0)}/${block.p90.toFixed(0)}/${block.p99.toFixed(0)} µs, ${block.cpuPerRequest.toFixed(0)} µs CPU, ${block.errors} errors`,
        );
      }
    }
  }
  return blocks;
}
