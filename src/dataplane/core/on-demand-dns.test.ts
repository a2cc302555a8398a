import { describe, expect, test } from 'bun:test';
import { FAILURE_TTL_MS, MAX_LOOKUPS, MAX_NAMES, OnDemandDns, type Resolution, type ResolvedAddress } from './on-demand-dns.ts';

type Records = Readonly<Record<string, readonly ResolvedAddress[]>>;
const at = (ttlSeconds: number, ...addresses: string[]): ResolvedAddress[] => addresses.map((address) => ({ address, ttlSeconds }));

/** Names with their records by family, and a clock in the hand of the test. */
function world(records: Records, options: { ipv6?: boolean; local?: Records; random?: () => number } = {}) {
  const state = { now: 0, asked: [] as string[], records, held: undefined as Promise<void> | undefined };
  const dns = new OnDemandDns({
    source: {
      query: async (hostname, family) => {
        state.asked.push(`${hostname} ${family}`);
        await state.held;
        const found = state.records[`${hostname} ${family}`];
        if (found === undefined) throw new Error(`no ${family === 4 ? 'A' : 'AAAA'} of ${hostname}`);
        return found;
      },
      local: async (hostname) => options.local?.[hostname] ?? [],
    },
    ipv6: options.ipv6 ?? true,
    now: () => state.now,
    random: options.random ?? (() => 0),
  });
  const ask = (hostname: string, family: 4 | 6 = 4) => new Promise<Resolution>((resolve) => dns.resolve(hostname, family, resolve));
  return { dns, ask, state };
}
const ok = (address: string): Resolution => ({ ok: true, address });

describe('an address', () => {
  test('is of the family of the request where there is one, else of the other', async () => {
    const { ask } = world({
      'both 4': at(60, '192.0.2.1'),
      'both 6': at(60, 'fd00::1'),
      'four 4': at(60, '192.0.2.2'),
      'six 6': at(60, 'fd00::2'),
    });
    expect([await ask('both', 4), await ask('both', 6)]).toEqual([ok('192.0.2.1'), ok('fd00::1')]);
    expect([await ask('four', 6), await ask('six', 4)]).toEqual([ok('192.0.2.2'), ok('fd00::2')]);
  });

  test('is drawn from all of the family, for each connection anew', async () => {
    let draw = 0;
    const { ask, state } = world({ 'many 4': at(60, 'a', 'b', 'c') }, { random: () => draw });
    const seen: Resolution[] = [];
    for (draw of [0, 0.4, 0.99]) seen.push(await ask('many'));
    expect(seen).toEqual([ok('a'), ok('b'), ok('c')]);
    expect(state.asked).toEqual(['many 4', 'many 6']);
  });

  test('of IPv6 is not asked for where IPv6 is off', async () => {
    const { ask, state } = world({ 'six 6': at(60, 'fd00::2') }, { ipv6: false, local: { six: at(30, 'fd00::3') } });
    expect((await ask('six')).ok).toBe(false);
    expect(state.asked).toEqual(['six 4']);
  });

  test('comes from the system where the nameservers know none', async () => {
    const { ask } = world({}, { local: { 'in-hosts': at(30, '127.0.0.9') } });
    expect(await ask('in-hosts')).toEqual(ok('127.0.0.9'));
  });
});

describe('an answer', () => {
  test('is kept as long as the shortest of its records says, and no connection waits meanwhile', async () => {
    const { ask, dns, state } = world({ 'db 4': at(60, '192.0.2.1'), 'db 6': at(10, 'fd00::1') });
    await ask('db');
    let settled: Resolution | undefined;
    state.now = 9_999;
    dns.resolve('db', 4, (resolution) => {
      settled = resolution;
    });
    expect(settled).toEqual(ok('192.0.2.1'));
    state.now = 10_000;
    state.records = { 'db 4': at(60, '192.0.2.7') };
    expect(await ask('db')).toEqual(ok('192.0.2.7'));
    expect(state.asked).toHaveLength(4);
  });

  test('that there is none is kept for a moment, with the reason', async () => {
    const { ask, state } = world({});
    expect(await ask('nobody')).toEqual({ ok: false, error: 'no A of nobody' });
    state.records = { 'nobody 4': at(60, '192.0.2.1') };
    expect((await ask('nobody')).ok).toBe(false);
    state.now = FAILURE_TTL_MS;
    expect(await ask('nobody')).toEqual(ok('192.0.2.1'));
  });

  test('is shared by all who wait for it', async () => {
    const { ask, state } = world({ 'db 4': at(60, '192.0.2.1'), 'db 6': at(60, 'fd00::1') });
    expect(await Promise.all([ask('db', 4), ask('db', 6), ask('db', 4)])).toEqual([ok('192.0.2.1'), ok('fd00::1'), ok('192.0.2.1')]);
    expect(state.asked).toEqual(['db 4', 'db 6']);
  });
});

describe('limits', () => {
  test(`${MAX_NAMES} names are kept, the one asked for least recently makes room`, async () => {
    const { ask, dns, state } = world(
      Object.fromEntries(Array.from({ length: MAX_NAMES + 1 }, (_, i) => [`n${i} 4`, at(600, '192.0.2.1')])),
    );
    for (let i = 0; i < MAX_NAMES; i++) await ask(`n${i}`);
    await ask('n0');
    await ask(`n${MAX_NAMES}`);
    expect(dns.size).toBe(MAX_NAMES);
    const before = state.asked.length;
    await ask('n0');
    expect(state.asked).toHaveLength(before);
    await ask('n1');
    expect(state.asked).toHaveLength(before + 2);
  });

  test('more lookups at once than there may be are refused, those under way are joined', async () => {
    const { ask, state } = world({});
    const gate = Promise.withResolvers<void>();
    state.held = gate.promise;
    const waiting = Array.from({ length: MAX_LOOKUPS }, (_, i) => ask(`n${i}`));
    expect(await ask('one-more')).toEqual({ ok: false, error: 'too many host names are being looked up' });
    const joined = ask('n0');
    gate.resolve();
    expect(await joined).toEqual({ ok: false, error: 'no A of n0' });
    await Promise.all(waiting);
    expect((await ask('one-more')).ok).toBe(false);
    expect(state.asked).toContain('one-more 4');
  });
});
