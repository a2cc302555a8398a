import { expect, test } from 'bun:test';
import { Logging } from '../../platform/telemetry/index.ts';
import type { WorkloadCertificate } from './certificate.ts';
import { CertificateManager, MAX_CONCURRENT_FETCHES } from './certificate-manager.ts';

const logger = new Logging({ filter: 'off', sink: (bytes) => bytes.length }).logger('test');
const HOUR = 3_600_000;

const certificate = (identity: string, notBefore: number, lifetime = HOUR): WorkloadCertificate => ({
  identity,
  notBefore,
  notAfter: notBefore + lifetime,
  chain: [],
  roots: [],
  serverTls: {},
  clientTls: {},
});

/** A CA whose answers the test gives by hand. */
class ManualCa {
  readonly asked: { identity: string; answer: PromiseWithResolvers<WorkloadCertificate> }[] = [];
  readonly fetch = (identity: string): Promise<WorkloadCertificate> => {
    const answer = Promise.withResolvers<WorkloadCertificate>();
    this.asked.push({ identity, answer });
    return answer.promise;
  };
}

const settle = () => new Promise<void>((done) => setImmediate(done));

test('concurrent requests for one identity share one fetch', async () => {
  const ca = new ManualCa();
  const manager = new CertificateManager({ fetch: ca.fetch, logger });
  manager.prefetch('a');
  const first = manager.get('a');
  const second = manager.get('a');
  expect(ca.asked).toHaveLength(1);
  ca.asked[0]!.answer.resolve(certificate('a', Date.now()));
  expect(await first).toBe(await second);
  await settle();
  expect(ca.asked).toHaveLength(1);
  expect(manager.current('a')).toBe(await first);
  manager.close();
});

test('a connection that waits goes before a prefetch when all places are taken', async () => {
  const ca = new ManualCa();
  const manager = new CertificateManager({ fetch: ca.fetch, logger });
  for (let i = 0; i < MAX_CONCURRENT_FETCHES; i++) manager.prefetch(`busy${i}`);
  manager.prefetch('warm');
  const urgent = manager.get('urgent');
  expect(ca.asked).toHaveLength(MAX_CONCURRENT_FETCHES);
  ca.asked[0]!.answer.resolve(certificate('busy0', Date.now()));
  await settle();
  expect(ca.asked.at(-1)!.identity).toBe('urgent');
  ca.asked.at(-1)!.answer.resolve(certificate('urgent', Date.now()));
  await urgent;
  manager.close();
});

test('a refused fetch is told to those who wait, and the next try waits its time', async () => {
  const ca = new ManualCa();
  let now = 1_000_000;
  const manager = new CertificateManager({ fetch: ca.fetch, logger, now: () => now, random: () => 0.5 });
  const waiting = manager.get('a');
  ca.asked[0]!.answer.reject(new Error('not you'));
  await expect(waiting).rejects.toThrow('not you');
  await settle();
  expect([...manager.entries()][0]).toMatchObject({ state: 'Unavailable', error: 'not you' });
  await expect(manager.get('a')).rejects.toThrow('not you');
  expect(ca.asked).toHaveLength(1);
  now += 1001;
  const again = manager.get('a');
  expect(ca.asked).toHaveLength(2);
  ca.asked[1]!.answer.resolve(certificate('a', now));
  await again;
  manager.close();
});

test('a failed renewal keeps the old certificate until it expires', async () => {
  const ca = new ManualCa();
  let now = Date.now();
  const manager = new CertificateManager({ fetch: ca.fetch, logger, now: () => now });
  const seen: (WorkloadCertificate | undefined)[] = [];
  manager.watch('a', (next) => void seen.push(next));
  manager.prefetch('a');
  // Half of its life is already over: it is renewed at once, after the shortest pause.
  ca.asked[0]!.answer.resolve(certificate('a', now - HOUR / 2 - 1));
  await settle();
  expect(seen).toHaveLength(1);
  now += 1001;
  await Bun.sleep(1100);
  expect(ca.asked).toHaveLength(2);
  ca.asked[1]!.answer.reject(new Error('down'));
  await settle();
  expect(manager.current('a')).toBeDefined();
  now += HOUR;
  expect(manager.current('a')).toBeUndefined();
  manager.close();
});

test('an identity is forgotten unless a pod still uses it', async () => {
  const ca = new ManualCa();
  const manager = new CertificateManager({ fetch: ca.fetch, logger });
  const stop = manager.watch('a', () => {});
  manager.forget('a');
  expect([...manager.entries()]).toHaveLength(1);
  stop();
  const waiting = manager.get('a');
  manager.forget('a');
  expect([...manager.entries()]).toHaveLength(0);
  await expect(waiting).rejects.toThrow('no longer needed');
  manager.close();
});

test('a clock that jumps forward past the expiry costs a fetch, and one that is set back after a refusal does not keep an identity waiting', async () => {
  const ca = new ManualCa();
  let now = 1_000 * HOUR;
  const manager = new CertificateManager({ fetch: ca.fetch, logger, now: () => now, random: () => 0.5 });
  const first = manager.get('a');
  ca.asked[0]!.answer.resolve(certificate('a', now));
  await first;
  now += 48 * HOUR;
  expect(manager.current('a')).toBeUndefined();
  const second = manager.get('a');
  expect(ca.asked).toHaveLength(2);
  ca.asked[1]!.answer.reject(new Error('the authority thinks otherwise'));
  await expect(second).rejects.toThrow('thinks otherwise');
  // Ordinarily the next try waits; what waits for a day does so by a clock that was wrong.
  await expect(manager.get('a')).rejects.toThrow('thinks otherwise');
  now -= 24 * HOUR;
  const third = manager.get('a');
  expect(ca.asked).toHaveLength(3);
  ca.asked[2]!.answer.resolve(certificate('a', now));
  expect((await third).notBefore).toBe(now);
  manager.close();
});
