import { expect, test } from 'bun:test';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { levelOf, parseFilter } from './log-filter.ts';
import { quote, raw, timestamp } from './log-format.ts';
import { Logging, MAX_PENDING_LOG_CHARACTERS } from './logger.ts';

const NOW = Date.UTC(2026, 7, 20, 12, 34, 56) + 123.456;

function captured(options: { filter?: string; format?: 'plain' | 'json' } = {}) {
  const chunks: string[] = [];
  const sink = (bytes: Uint8Array) => {
    chunks.push(Buffer.from(bytes).toString());
    return bytes.length;
  };
  return { logging: new Logging({ ...options, sink, now: () => NOW }), chunks };
}

test('writes an access line exactly in the layout of ztunnel', () => {
  const { logging, chunks } = captured();
  logging.logger('access').info('connection complete', {
    'src.addr': raw('10.0.0.1:4000'),
    'src.workload': 'client-1',
    'dst.service': undefined,
    direction: 'outbound',
    bytes_sent: 39,
    duration: '1ms',
  });
  logging.flush();
  expect(chunks.join('')).toBe(
    '2026-08-20T12:34:56.123456Z\tinfo\taccess\tconnection complete\tsrc.addr=10.0.0.1:4000 src.workload="client-1" direction="outbound" bytes_sent=39 duration="1ms"\n',
  );
});

test('writes a line without fields without a trailing tab, and keeps a message on its line', () => {
  const { logging, chunks } = captured();
  logging.logger('proxy').warn('two\nlines');
  logging.flush();
  expect(chunks.join('')).toBe('2026-08-20T12:34:56.123456Z\twarn\tproxy\ttwo\\nlines\n');
});

test('writes JSON with level, time, scope, message and the fields', () => {
  const { logging, chunks } = captured({ format: 'json' });
  logging.logger('access').error('connection complete', { 'src.addr': raw('[::1]:1'), bytes: 3n, n: 4, error: 'a"b', gone: undefined });
  logging.flush();
  expect(JSON.parse(chunks.join(''))).toEqual({
    level: 'error',
    time: '2026-08-20T12:34:56.123456Z',
    scope: 'access',
    message: 'connection complete',
    'src.addr': '[::1]:1',
    bytes: '3',
    n: 4,
    error: 'a"b',
  });
});

test('quotes strings as Rust prints them, and cuts very long ones', () => {
  expect(quote('plain ünïcode')).toBe('"plain ünïcode"');
  expect(quote('a"b\\c\n\t\r\0\u001b\u0085')).toBe('"a\\"b\\\\c\\n\\t\\r\\0\\u{1b}\\u{85}"');
  expect(quote('x'.repeat(10_000)).length).toBeLessThan(5000);
});

test('keeps the microseconds of neighbouring seconds apart', () => {
  expect(timestamp(1000.001)).toBe('1970-01-01T00:00:01.000001Z');
  expect(timestamp(999.9999)).toBe('1970-01-01T00:00:00.999999Z');
});

test.each([
  ['info', 'proxy', 'info'],
  ['info,access=off', 'access', 'off'],
  ['info,access=off,proxy=debug', 'proxy::inbound', 'debug'],
  ['info,access=off,proxy=debug', 'proxying', 'info'],
  ['warn,proxy=debug,proxy::inbound=trace', 'proxy::inbound', 'trace'],
  ['info,ztunnel::proxy=debug', 'proxy', 'debug'],
  ['proxy', 'proxy', 'trace'],
  ['proxy=debug', 'xds', 'error'],
  ['', 'xds', 'info'],
  ['WARN', 'xds', 'warn'],
] as const)('filter %p lets target %s say %s', (text, target, level) => {
  const parsed = parseFilter(text);
  if (!parsed.ok) throw new Error(parsed.error);
  expect(['off', 'error', 'warn', 'info', 'debug', 'trace'][levelOf(parsed.value, target)]).toBe(level);
});

test('changes what loggers say at run time, refuses a bad filter and goes back on reset', () => {
  const { logging } = captured({ filter: 'info,access=off' });
  const access = logging.logger('access');
  const proxy = logging.logger('proxy');
  expect([access.enabled('error'), proxy.enabled('info'), proxy.enabled('debug')]).toEqual([false, true, false]);
  expect(logging.setFilter('debug')).toBeUndefined();
  expect([access.enabled('debug'), proxy.enabled('debug')]).toEqual([true, true]);
  expect(logging.setFilter('proxy=loud')).toContain('"loud" is not a level');
  expect(logging.filter).toBe('debug');
  logging.resetFilter();
  expect([access.enabled('error'), proxy.enabled('info')]).toEqual([false, true]);
});

test('writes the lines of one loop turn together', async () => {
  const { logging, chunks } = captured();
  const log = logging.logger('a');
  for (let i = 0; i < 100; i++) log.info(`line ${i}`);
  expect(chunks).toEqual([]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(chunks.length).toBe(1);
  expect(chunks[0]!.split('\n').length).toBe(101);
});

test('keeps what a full pipe does not take, in order and without repeating bytes', () => {
  let out = '';
  let room = 7;
  const sink = (bytes: Uint8Array) => {
    if (room === 0) throw Object.assign(new Error('full'), { code: 'EAGAIN' });
    const taken = Math.min(room, bytes.length);
    out += Buffer.from(bytes.subarray(0, taken)).toString();
    room -= taken;
    return taken;
  };
  const logging = new Logging({ sink, now: () => NOW });
  logging.logger('a').info('first');
  expect(logging.flush()).toBe(false);
  logging.logger('a').info('second');
  room = 1000;
  expect(logging.flush()).toBe(true);
  expect(out).toBe('2026-08-20T12:34:56.123456Z\tinfo\ta\tfirst\n2026-08-20T12:34:56.123456Z\tinfo\ta\tsecond\n');
});

test('drops and counts lines when the reader does not read, and says so later', () => {
  let open = false;
  let out = '';
  const sink = (bytes: Uint8Array) => {
    if (!open) throw Object.assign(new Error('full'), { code: 'EAGAIN' });
    out += Buffer.from(bytes).toString();
    return bytes.length;
  };
  const logging = new Logging({ sink, now: () => NOW, format: 'json' });
  const log = logging.logger('a');
  const text = 'x'.repeat(100_000);
  for (let i = 0; i < MAX_PENDING_LOG_CHARACTERS / 100_000 + 3; i++) log.info(text);
  expect(logging.dropped).toBeGreaterThan(0);
  const lost = logging.dropped;
  open = true;
  logging.flush();
  expect(JSON.parse(out.trim().split('\n').at(-1)!)).toMatchObject({ level: 'warn', scope: 'log', lost });
});

test('writes the last lines when the process exits at once', async () => {
  const file = path.join(os.tmpdir(), `lateen-log-${process.pid}.ts`);
  const index = path.join(import.meta.dir, 'index.ts');
  fs.writeFileSync(file, `import { processLogging } from '${index}'; processLogging().logger('main').info('bye'); process.exit(0);`);
  const child = Bun.spawn([process.execPath, file], { stdout: 'pipe', env: { ...process.env, RUST_LOG: 'info' } });
  expect(await new Response(child.stdout).text()).toEndWith('\tinfo\tmain\tbye\n');
  fs.unlinkSync(file);
});
