/** When certificates are asked for, on a clock of the test's own: the cases of a real ztunnel's certificate manager (ambient contract 5.2, 11.1). */
import { expect, test } from 'bun:test';
import { Logging } from '../../platform/telemetry/index.ts';
import type { WorkloadCertificate } from './certificate.ts';
import { CertificateManager, MAX_CONCURRENT_FETCHES } from './certificate-manager.ts';

const logger = new Logging({ filter: 'off', sink: (bytes) => bytes.length }).logger('test');
const SECOND = 1000;
const HOUR = 3600 * SECOND;
const START = Date.UTC(2026, 0, 1);

/** A clock and an authority that takes a second for each certificate. */
class World {
  now = START;
  readonly fetches: { readonly identity: string; readonly at: number }[] = [];
  /** Asked now and not answered yet, and the most of them so far. */
  #busy = 0;
  most = 0;
  isDown = false;
  readonly #timers = new Set<{ at: number; run: () => void }>();
  readonly manager: CertificateManager;

  constructor() {
    this.manager = new CertificateManager({
      logger,
      now: () => this.now,
      random: () => 0.5,
      after: (delay, run) => this.#after(delay, run),
      fetch: (identity) => this.#fetch(identity),
    });
  }

  #after(delay: number, run: () => void): () => void {
    const timer = { at: this.now + delay, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  #fetch(identity: string): Promise<WorkloadCertificate> {
    this.fetches.push({ identity, at: this.now - START });
    this.most = Math.max(this.most, ++this.#busy);
    const { promise, resolve, reject } = Promise.withResolvers<WorkloadCertificate>();
    this.#after(SECOND, () => {
      this.#busy--;
      if (this.isDown) reject(new Error('down'));
      else resolve({ identity, notBefore: this.now, notAfter: this.now + HOUR, chain: [], roots: [], serverTls: {}, clientTls: {} });
    });
    return promise;
  }

  /** Lets time pass; whatever is due happens at its moment. */
  async pass(duration: number): Promise<void> {
    const end = this.now + duration;
    for (;;) {
      await new Promise<void>((done) => setImmediate(done));
      const next = [...this.#timers].sort((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      this.#timers.delete(next);
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    this.now = end;
  }

  get order(): string[] {
    return this.fetches.map(({ identity }) => identity);
  }
}

test('a certificate is renewed at half its life, not before, and again at half of the next', async () => {
  const world = new World();
  void world.manager.get('a');
  await world.pass(2 * SECOND);
  // Valid from the answer on, a second after the question.
  await world.pass(HOUR / 2 - 2 * SECOND);
  expect(world.fetches).toHaveLength(1);
  await world.pass(SECOND);
  expect(world.fetches.at(-1)).toEqual({ identity: 'a', at: HOUR / 2 + SECOND });
  await world.pass(HOUR / 2 + SECOND);
  expect(world.fetches.at(-1)).toEqual({ identity: 'a', at: HOUR + 2 * SECOND });
  world.manager.close();
});

test('all identities are renewed, each in its turn', async () => {
  const world = new World();
  for (const identity of ['a', 'b', 'c', 'd']) world.manager.prefetch(identity);
  await world.pass(2 * SECOND);
  const first = world.order;
  await world.pass(HOUR / 2);
  expect(world.order.slice(4)).toEqual(first);
  world.manager.close();
});

test('a connection’s certificate goes before those asked for in advance, whether or not it was one of them', async () => {
  for (const urgent of ['new', 'warm3']) {
    const world = new World();
    for (let i = 0; i < MAX_CONCURRENT_FETCHES; i++) world.manager.prefetch(`busy${i}`);
    for (let i = 1; i <= 3; i++) world.manager.prefetch(`warm${i}`);
    void world.manager.get(urgent);
    await world.pass(SECOND);
    expect(world.order[MAX_CONCURRENT_FETCHES]).toBe(urgent);
    await world.pass(5 * SECOND);
    expect(new Set(world.order).size).toBe(world.order.length);
    expect(world.most).toBe(MAX_CONCURRENT_FETCHES);
    world.manager.close();
  }
});

test('as many as may be are fetched at once', async () => {
  const world = new World();
  const all = Promise.all(Array.from({ length: MAX_CONCURRENT_FETCHES }, (_, i) => world.manager.get(`id${i}`)));
  await world.pass(SECOND);
  expect(await all).toHaveLength(MAX_CONCURRENT_FETCHES);
  world.manager.close();
});

test('failures are tried again after 1, 2, 4 … seconds, at most 150, and a success starts anew', async () => {
  const world = new World();
  world.isDown = true;
  world.manager.prefetch('a');
  await world.pass(1000 * SECOND);
  const gaps = world.fetches.map(({ at }, i) => (i === 0 ? 0 : (at - world.fetches[i - 1]!.at) / SECOND - 1)).slice(1);
  expect(gaps.slice(0, 10)).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 150, 150]);
  world.isDown = false;
  await world.pass(152 * SECOND);
  expect(world.manager.current('a')).toBeDefined();
  world.isDown = true;
  const before = world.fetches.length;
  await world.pass(HOUR / 2 + 5 * SECOND);
  const [renewal, again] = world.fetches.slice(before);
  expect((again!.at - renewal!.at) / SECOND).toBe(2);
  world.manager.close();
});

test('a connection meets the last failure until it is time to try again, then waits for the next try', async () => {
  const world = new World();
  world.isDown = true;
  const first = world.manager.get('a');
  first.catch(() => {});
  await world.pass(SECOND);
  await expect(first).rejects.toThrow('down');
  world.isDown = false;
  await expect(world.manager.get('a')).rejects.toThrow('down');
  expect(world.fetches).toHaveLength(1);
  await world.pass(3 * SECOND);
  expect((await world.manager.get('a')).identity).toBe('a');
  world.manager.close();
});

test('a certificate that cannot be renewed serves until it expires, then its users are told, and told of the next', async () => {
  const world = new World();
  const seen: boolean[] = [];
  world.manager.watch('a', (certificate) => void seen.push(certificate !== undefined));
  const first = world.manager.get('a');
  await world.pass(SECOND);
  const certificate = await first;
  world.isDown = true;
  await world.pass(HOUR - 2 * SECOND);
  expect(world.manager.current('a')).toBe(certificate);
  expect(await world.manager.get('a')).toBe(certificate);
  expect(seen).toEqual([true]);
  await world.pass(200 * SECOND);
  expect(world.manager.current('a')).toBeUndefined();
  expect(seen.slice(0, 2)).toEqual([true, false]);
  world.isDown = false;
  await world.pass(200 * SECOND);
  expect(seen.at(-1)).toBe(true);
  world.manager.close();
});

test('an identity forgotten while it is fetched is told to who waits, and is not kept', async () => {
  const world = new World();
  const waiting = world.manager.get('a');
  waiting.catch(() => {});
  world.manager.forget('a');
  await expect(waiting).rejects.toThrow('no longer needed');
  await world.pass(HOUR);
  expect([...world.manager.identities()]).toEqual([]);
  expect(world.fetches).toHaveLength(1);
  world.manager.close();
});

test('an identity forgotten later is not renewed', async () => {
  const world = new World();
  world.manager.prefetch('a');
  await world.pass(2 * SECOND);
  world.manager.forget('a');
  await world.pass(HOUR);
  expect(world.fetches).toHaveLength(1);
  expect(world.manager.current('a')).toBeUndefined();
  world.manager.close();
});

test('asking what there is fetches nothing', async () => {
  const world = new World();
  expect(world.manager.current('a')).toBeUndefined();
  await world.pass(HOUR);
  expect(world.fetches).toEqual([]);
});
