/** One client connection of the soak, with everything it sends and gets back checked. */
import { dial, type Peer } from '../ztunnel/apps.ts';
import type { Node, Pod } from '../ztunnel/network.ts';
import { BLOCK, isIntact } from './servers.ts';

/** Longer than any queue in the way may take, far shorter than a run. */
const PATIENCE_MS = 20_000;

export class Failure extends Error {}

export class Connection {
  readonly peer: Peer;
  /** As errors name it. */
  readonly route: string;
  #intact = true;
  #position = 0;

  constructor(from: Pod | Node, ip: string, port: number) {
    this.route = `${from.name} -> ${ip}:${port}`;
    this.peer = dial(from, ip, port);
    this.peer.handle = (chunk) => {
      this.#intact &&= isIntact(chunk, this.#position);
      this.#position += chunk.length;
    };
  }

  /** Collects text instead of checking blocks. */
  asText(): this {
    this.peer.handle = undefined;
    return this;
  }

  async connected(): Promise<this> {
    await this.#within('the connection', this.peer.connected.promise);
    return this;
  }

  /** Sends a block and waits for it to come back. */
  async request(): Promise<void> {
    const until = this.peer.received + BLOCK.length;
    this.peer.send(BLOCK);
    await this.received(until);
  }

  /** Waits for this many bytes in all. */
  async received(count: number, what = 'an answer'): Promise<void> {
    await this.#within(what, this.peer.bytes(count));
    if (!this.#intact) throw new Failure(`${this.route}: bytes came back changed`);
  }

  /** Finishes, and waits for the other side to do the same. */
  async close(): Promise<void> {
    this.peer.finish();
    const error = await this.#within('the end', this.peer.closed.promise);
    if (error !== undefined) throw new Failure(`${this.route}: closed with ${error.message}`);
  }

  abort(): void {
    this.peer.socket?.terminate();
  }

  async #within<T>(what: string, promise: Promise<T>): Promise<T> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error(`no ${what} for ${PATIENCE_MS} ms`)), PATIENCE_MS);
    try {
      return await Promise.race([promise, late]);
    } catch (error) {
      this.abort();
      throw new Failure(`${this.route}: ${(error as Error).message}`);
    } finally {
      clearTimeout(timer);
    }
  }
}
