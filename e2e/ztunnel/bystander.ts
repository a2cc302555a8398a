/** Somebody who has nothing to do with an attack: a connection in use and new ones, all the time, and none may fail. */
import { expect } from 'bun:test';
import fs from 'node:fs';
import { dial, type Peer } from './apps.ts';
import { type TestProxy, until } from './lab.ts';
import type { Node, Pod } from './network.ts';

const PAUSE_MS = 20;
const MIB = 1024 * 1024;

class Bystander {
  readonly failures: string[] = [];
  requests = 0;
  connections = 0;
  #over = false;
  readonly #loops: Promise<void>[];

  /** `ip:port` has to echo. */
  constructor(from: Pod | Node, ip: string, port: number) {
    this.#loops = [this.#keepAlive(dial(from, ip, port)), this.#anew(() => dial(from, ip, port))];
  }

  async #keepAlive(peer: Peer): Promise<void> {
    try {
      await peer.connected.promise;
      for (; !this.#over; this.requests++) {
        const before = peer.received;
        peer.send('ping');
        await peer.bytes(before + 4);
        await Bun.sleep(PAUSE_MS);
      }
      peer.finish();
      await peer.closed.promise;
    } catch (error) {
      this.failures.push(`the open connection, after ${this.requests} requests: ${(error as Error).message}`);
    }
  }

  async #anew(open: () => Peer): Promise<void> {
    for (; !this.#over; this.connections++) {
      const peer = open();
      try {
        await peer.connected.promise;
        peer.send('ping');
        await peer.bytes(4);
        peer.finish();
        await peer.closed.promise;
      } catch (error) {
        this.failures.push(`new connection ${this.connections}: ${(error as Error).message}`);
        peer.socket?.terminate();
      }
      await Bun.sleep(PAUSE_MS);
    }
  }

  /** Ends it; what went wrong, which should be nothing. */
  async finish(): Promise<readonly string[]> {
    this.#over = true;
    await Promise.all(this.#loops);
    if (this.requests === 0 || this.connections === 0) this.failures.push('the bystander was never served');
    return this.failures;
  }
}

export function privateBytes(pid: number): number {
  const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  return 1024 * (kib('Private_Clean') + kib('Private_Dirty'));
}

/** The most a proxy's private memory grows while `body` runs, in MiB. */
async function growthDuring(proxy: TestProxy, body: () => Promise<void>): Promise<number> {
  const { pid } = proxy.process;
  const before = privateBytes(pid);
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, privateBytes(pid));
  }, 50);
  try {
    await body();
  } finally {
    clearInterval(timer);
  }
  return (Math.max(most, privateBytes(pid)) - before) / MIB;
}

/** Runs `attack` beside a bystander of `ip:port`, who must not notice it; the private memory of each proxy may grow by `limitMib` at most. */
export async function besideBystander(
  [from, ip, port]: readonly [Pod | Node, string, number],
  proxies: readonly TestProxy[],
  limitMib: number,
  attack: () => Promise<void>,
): Promise<void> {
  const other = new Bystander(from, ip, port);
  const grown: number[] = [];
  let failures: readonly string[] = [];
  try {
    await until('the bystander to be served', () => other.requests > 3 && other.connections > 3);
    const measured = proxies.reduce(
      (body, proxy) => async () => {
        grown.push(await growthDuring(proxy, body));
      },
      attack,
    );
    await measured();
  } finally {
    failures = await other.finish();
  }
  expect(failures).toEqual([]);
  for (const mib of grown) expect(mib).toBeLessThan(limitMib);
}
