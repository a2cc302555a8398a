/** One thing to measure: a client pod, an address to call, and the proxies in between. */
import type { Client } from './clients.ts';
import type { Running } from './shell.ts';
import type { Quantiles } from './stats.ts';

export interface Arm {
  readonly name: string;
  /** What it is, for the table. */
  readonly about: string;
  /** Namespace the client runs in. */
  readonly client: string;
  readonly address: string;
  readonly port: number;
  /** Processors of the client. */
  readonly loadCpus: string;
  /** Routes of the client where they are not just the address, as `load.ts` takes them. */
  readonly routes?: string;
  /** The measured applications. */
  readonly origins: readonly Running[];
  readonly proxies: readonly Running[];
  /** The one of the proxies that is a waypoint. */
  readonly waypoint?: Running;
}

/** A workload, as the client's arguments. `rate` 0 is a closed loop. */
export interface Workload {
  readonly name: string;
  readonly connections: number;
  readonly rate: number;
  readonly fresh: boolean;
  /** What sends it; absent: the HTTP/1.1 client, one request after another. */
  readonly client?: Client;
  /** At most that many blocks: figures that hardly vary, or take long. */
  readonly blocks?: number;
  /** Whether the arms run it once before it counts; they do unless this is false. */
  readonly warmUp?: boolean;
  /** Connections that are opened and then left idle, instead of a client. */
  readonly held?: number;
}

/** One block of one arm under one workload. Latencies in microseconds. */
export interface Block extends Quantiles {
  readonly arm: string;
  readonly workload: string;
  readonly requests: number;
  readonly errors: number;
  readonly rps: number;
  /** Requests per second the schedule held (open loop). */
  readonly offered?: number;
  /** Further distributions a client took, by name. */
  readonly series?: Readonly<Record<string, Quantiles>>;
  /** Processor time of the arm's proxies per request. */
  readonly cpuPerRequest: number;
  /** Soft interrupt time of the machine per request. */
  readonly softirqPerRequest: number;
  readonly pssKib: number;
  readonly privateKib: number;
  /** As if the proxies were alone on their node; absent in older measurements. */
  readonly wholeKib?: number;
  /** The waypoint's part of processor time and memory, in arms that have one. */
  readonly waypoint?: { readonly cpuPerRequest: number; readonly pssKib: number; readonly privateKib: number };
  /** How busy the proxies kept their core and client and application theirs, from 0 to 1. */
  readonly proxiesBusy: number;
  readonly loadBusy: number;
  /** Share of the machine's time the hypervisor gave to others, from 0 to 1. */
  readonly steal: number;
  /** Share of the machine's time that processes outside the measured arm used, from 0 to 1. */
  readonly foreign: number;
}
