/** Fuzzes one target in a thread of its own, so that a decoder that never returns can be noticed and ended. */
import { Session, type Tally } from './session.ts';
import { targets } from './targets.ts';

export interface Order {
  readonly target: string;
  readonly seed: number;
  readonly milliseconds: number;
  /** Two 32-bit numbers (executions, length of the input), then the input at work. */
  readonly shared: SharedArrayBuffer;
}
export interface Report {
  readonly tally: Tally;
  readonly crashes: readonly { readonly bytes: Uint8Array; readonly problem: string }[];
  readonly heapGrowth: number;
}

const BATCH = 200;
const WARM_UP_MS = 3_000;

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<Order>) => {
  const { target, seed, milliseconds, shared } = data;
  const numbers = new Int32Array(shared, 0, 2);
  const input = new Uint8Array(shared, 8);
  const session = new Session(targets.find(({ name }) => name === target)!, seed);
  const before = (bytes: Uint8Array): void => {
    input.set(bytes);
    numbers[1] = bytes.length;
    numbers[0]!++;
  };
  const started = performance.now();
  let heap = 0;
  while (performance.now() - started < milliseconds) {
    session.run(BATCH, before);
    if (heap === 0 && performance.now() - started > Math.min(WARM_UP_MS, milliseconds / 2)) {
      Bun.gc(true);
      heap = process.memoryUsage().heapUsed;
    }
  }
  Bun.gc(true);
  const report: Report = {
    tally: session.tally,
    crashes: session.crashes,
    heapGrowth: heap === 0 ? 0 : process.memoryUsage().heapUsed - heap,
  };
  self.postMessage(report);
};
