/** `npm run bench -- l4`: what two L4 hops with mutual TLS cost, against no proxy, a plain relay and Envoy sidecars, interleaved in one run. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Arm, Workload } from './arm.ts';
import { directArm, envoyArm, type MakeArm, relayArm } from './arms.ts';
import { l4Report } from './report.ts';
import { measureAll } from './run.ts';
import { cleanUp, keepAwake, sh } from './shell.ts';
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
      ['direct', directArm()],
      ['relay', relayArm],
      ['lateen', lateenArm],
      ...(istioArm ? [['ztunnel', istioArm] as const] : []),
      ['envoy-http', envoyArm('http')],
      ['envoy-tcp', envoyArm('tcp')],
    ];
    const wanted = makers.filter(([name]) => options.only.length === 0 || name === 'direct' || options.only.includes(name));
    const arms: Arm[] = [];
    for (const [, make] of wanted) arms.push(await make(work, arms.length + 1));
    const blocks = await measureAll(arms, WORKLOADS, options);
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
