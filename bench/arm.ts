/** One thing to measure: a client pod, an address to call, and the proxies in between. */
import type { Running } from './shell.ts';

export interface Arm {
  readonly name: string;
  /** What it is, for the table. */
  readonly about: string;
  /** Namespace the client runs in. */
  readonly client: string;
  readonly address: string;
  readonly port: number;
  readonly proxies: readonly Running[];
}

/** A workload, as the client's arguments. `rate` 0 is a closed loop. */
export interface Workload {
  readonly name: string;
  readonly connections: number;
  readonly rate: number;
  readonly fresh: boolean;
}

/** One block of one arm under one workload. Latencies in microseconds. */
export interface Block {
  readonly arm: string;
  readonly workload: string;
  readonly requests: number;
  readonly errors: number;
  readonly rps: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  /** Processor time of the arm's proxies per request. */
  readonly cpuPerRequest: number;
  /** Soft interrupt time of the machine per request. */
  readonly softirqPerRequest: number;
  readonly pssKib: number;
  readonly privateKib: number;
}
