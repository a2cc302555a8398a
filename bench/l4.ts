/** `npm run bench -- l4`: what two L4 hops with mutual TLS cost, against no proxy, a plain relay and Envoy sidecars, interleaved in one run. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Arm, Block, Workload } from './arm.ts';
import { directArm, envoyArm, type MakeArm, relayArm } from './arms.ts';
import { l4Report } from './report.ts';
import { BUN, cleanUp, cpuMicros, keepAwake, memoryKib, sh, softirqMicros } from './shell.ts';
import { makeNodes } from './topology.ts';
import { istioArm, lateenArm } from './ztunnel.ts';

const WORKLOADS: readonly Workload[] = [
  { name: '1000 rps open loop, 64 connections', connections: 64, rate: 1000, fresh: false },
  { name: '1000 rps open loop, 4 connections', connections: 4, rate: 1000, fresh: false },
  { name: 'closed loop, 64 connections', connections: 64, rate: 0, fresh: false },
  { name: 'new connection per request, 8 at a time', connections: 8, rate: 0, fresh: true },
];

export interface L4Options {
  readonly blocks: number;
  readonly seconds: number;
  readonly only: readonly string[];
  readonly json: boolean;
  readonly publish: boolean;
}

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

export async function runL4(options: L4Options): Promise<number> {
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
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'lateen-bench-'));
  try {
    makeNodes();
    for (const cpu of [0, 1]) keepAwake(cpu);
    const makers: readonly (readonly [string, MakeArm])[] = [
      ['direct', directArm],
      ['relay', relayArm],
      ['lateen', lateenArm],
      ...(istioArm ? [['ztunnel', istioArm] as const] : []),
      ['envoy-http', envoyArm('http')],
      ['envoy-tcp', envoyArm('tcp')],
    ];
    const wanted = makers.filter(([name]) => options.only.length === 0 || name === 'direct' || options.only.includes(name));
    const arms: Arm[] = [];
    for (const [, make] of wanted) arms.push(await make(work, arms.length + 1));
    const blocks: Block[] = [];
    for (const workload of WORKLOADS) {
      for (const arm of arms) await measure(arm, workload, Math.max(3, options.seconds / 2)); // warm-up, not counted
      for (let index = 0; index < options.blocks; index++) {
        for (const arm of order(arms, index)) {
          const block = await measure(arm, workload, options.seconds);
          blocks.push(block);
          console.error(
            `${workload.name} · block ${index + 1}/${options.blocks} · ${arm.name}: ${block.rps.toFixed(0)} rps, p50/p90/p99 ${block.p50.toFixed(0)}/${block.p90.toFixed(0)}/${block.p99.toFixed(0)} µs, ${block.errors} errors`,
          );
        }
      }
    }
    const report = l4Report(arms, WORKLOADS, blocks, {
      blocks: options.blocks,
      seconds: options.seconds,
      kernel: os.release().split('-')[0]!,
      processor: os.cpus()[0]?.model ?? 'unknown',
      bun: Bun.version,
    });
    if (options.json) console.log(JSON.stringify(blocks));
    else console.log(report);
    if (options.publish) {
      fs.writeFileSync(path.join(import.meta.dir, 'RESULTS.md'), report);
      fs.writeFileSync(path.join(import.meta.dir, 'results-l4.json'), `${JSON.stringify(blocks)}\n`);
    }
    return 0;
  } finally {
    cleanUp();
    if (process.env['BENCH_KEEP'] === undefined) sh('rm', '-rf', work);
  }
}
