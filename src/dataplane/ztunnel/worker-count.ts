/**
 * How many processes carry traffic (ambient contract 11.2). Where the operator names a number of threads it is taken for a number of processes. Otherwise it is half
 * the threads a real ztunnel would start there, because one process does more than two threads of that do (`bench/RESULTS.md`) and costs memory.
 */
import os from 'node:os';
import type { ConfigReader } from '../core/config-reader.ts';

/** Processes one node proxy may have; each costs tens of MiB. More are not started. */
export const MAX_WORKERS = 64;
const DEFAULT_THREADS = 2;
const DEFAULT_THREADS_PER_CPU = 0.25;
const THREADS_PER_PROCESS = 2;

/** `concurrency` of the proxy configuration; `cpus`: those this process may use. Problems go to `reader`. */
export function readWorkerCount(reader: ConfigReader, concurrency: number | undefined, cpus = os.availableParallelism()): number {
  const limit = cpuQuantity(reader, 'ZTUNNEL_RESOURCE_CPU_LIMIT');
  const request = cpuQuantity(reader, 'ZTUNNEL_RESOURCE_CPU_REQUEST') ?? 0;
  const available = limit ?? Math.max(1, reader.integer('ZTUNNEL_CPU_LIMIT', cpus));
  return Math.min(explicit(reader, available, concurrency) ?? byDefault(limit, request, available), MAX_WORKERS);
}

function explicit(reader: ConfigReader, available: number, concurrency: number | undefined): number | undefined {
  const text = reader.optional('ZTUNNEL_WORKER_THREADS')?.trim();
  if (!text) return concurrency === undefined ? undefined : concurrency > 0 ? concurrency : available;
  const [, number = '', percent] = /^(\d+(?:\.\d+)?)(%?)$/.exec(text) ?? [];
  const value = Number(number);
  if (percent === '%' && value > 0 && value <= 100) return Math.max(1, Math.ceil((available * value) / 100));
  if (percent === '' && Number.isSafeInteger(value)) return value === 0 ? available : value;
  reader.problem(
    `environment variable ZTUNNEL_WORKER_THREADS: value "${text}" is neither a number of processes, nor 0 for all CPUs, nor a share such as "50%"`,
  );
  return undefined;
}

function byDefault(limit: number | undefined, request: number, available: number): number {
  const threads =
    limit === undefined ? Math.max(Math.ceil(available * DEFAULT_THREADS_PER_CPU), request, DEFAULT_THREADS) : Math.max(limit, request);
  return Math.ceil(threads / THREADS_PER_PROCESS);
}

/** A quantity of Kubernetes such as "2", "1.5" or "500m", in whole CPUs, rounded up. */
function cpuQuantity(reader: ConfigReader, name: string): number | undefined {
  const text = reader.optional(name)?.trim();
  if (!text) return undefined;
  const [, number = '', milli] = /^(\d+(?:\.\d+)?)(m?)$/.exec(text) ?? [];
  const cpus = milli === 'm' ? Number(number) / 1000 : Number(number);
  if (number !== '' && cpus > 0) return Math.ceil(cpus);
  reader.problem(`environment variable ${name}: value "${text}" is not a positive amount of CPU: write for example "2", "1.5" or "500m"`);
  return undefined;
}
