import { afterEach, expect, test } from 'bun:test';
import { expose } from './exposition.ts';
import { Registry } from './metrics.ts';
import type { SpanData } from './otlp-span.ts';
import { MAX_EXPORT_ATTEMPTS, SpanExporter, type SpanExporterOptions } from './span-exporter.ts';

const span = (name: string, over: Partial<SpanData> = {}): SpanData => ({
  traceId: 'a'.repeat(32),
  spanId: 'b'.repeat(16),
  parentSpanId: '',
  traceState: '',
  name,
  start: 1_700_000_000_000_000_001n,
  end: 1_700_000_000_500_000_000n,
  error: undefined,
  attributes: {},
  ...over,
});

interface Received {
  readonly headers: Headers;
  readonly body: { resourceSpans: { resource: object; scopeSpans: { scope: object; spans: { name: string }[] }[] }[] };
}

const open: { stop(force?: boolean): unknown }[] = [];
afterEach(() => {
  for (const server of open.splice(0)) server.stop(true);
});

/** A collector on loopback that keeps what it gets. */
const collector = (answer: (count: number) => Response | Promise<Response> = () => Response.json({})) => {
  const received: Received[] = [];
  const arrivals = { waiting: Promise.withResolvers<void>() };
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      received.push({ headers: request.headers, body: (await request.json()) as Received['body'] });
      const response = await answer(received.length);
      arrivals.waiting.resolve();
      arrivals.waiting = Promise.withResolvers();
      return response;
    },
  });
  open.push(server);
  return {
    url: `http://127.0.0.1:${server.port}/v1/traces`,
    received,
    arrival: () => arrivals.waiting.promise,
    names: () => received.map(({ body }) => body.resourceSpans[0]!.scopeSpans[0]!.spans.map(({ name }) => name)),
  };
};

const setUp = (url: string, over: Partial<SpanExporterOptions> = {}) => {
  const telemetry = new Registry();
  const failures: string[] = [];
  const exporter = new SpanExporter(
    {
      url,
      headers: { authorization: 'Bearer t' },
      resource: () => ({ 'service.name': 'waypoint.default' }),
      scope: 'lateen',
      maxQueue: 100,
      maxBatch: 10,
      delay: 1,
      timeout: 5000,
      backoff: 1,
      onFailure: (reason) => failures.push(reason),
      onRecovery: () => failures.push('recovered'),
      ...over,
    },
    telemetry,
  );
  const count = (name: string): number => {
    const line = expose(telemetry, 'text')
      .split('\n')
      .find((text) => text.startsWith(`${name} `) || text.startsWith(name.replace('}', '')));
    return Number(line?.slice(line.lastIndexOf(' ') + 1) ?? 0);
  };
  const dropped = (reason: string): number => count(`lateen_spans_dropped_total{reason="${reason}"}`);
  return { exporter, failures, exported: () => count('lateen_spans_exported_total'), dropped };
};

test('sends what came together in one request, as the JSON encoding of OTLP has it', async () => {
  const { url, received, arrival } = collector();
  const { exporter, exported } = setUp(url);
  exporter.add(span('first', { attributes: { text: 'a"b', whole: 7, part: 0.5, yes: true, none: undefined } }));
  exporter.add(span('second', { parentSpanId: 'c'.repeat(16), traceState: 'k=v', error: 'status 503' }));
  await arrival();
  await exporter.close(1000);
  expect(received).toHaveLength(1);
  expect(received[0]!.headers.get('content-type')).toBe('application/json');
  expect(received[0]!.headers.get('authorization')).toBe('Bearer t');
  expect(received[0]!.body as object).toEqual({
    resourceSpans: [
      {
        resource: { attributes: [{ key: 'service.name', value: { stringValue: 'waypoint.default' } }] },
        scopeSpans: [
          {
            scope: { name: 'lateen' },
            spans: [
              {
                traceId: 'a'.repeat(32),
                spanId: 'b'.repeat(16),
                flags: 0x101,
                name: 'first',
                kind: 2,
                startTimeUnixNano: '1700000000000000001',
                endTimeUnixNano: '1700000000500000000',
                attributes: [
                  { key: 'text', value: { stringValue: 'a"b' } },
                  { key: 'whole', value: { intValue: '7' } },
                  { key: 'part', value: { doubleValue: 0.5 } },
                  { key: 'yes', value: { boolValue: true } },
                ],
                status: {},
              },
              {
                traceId: 'a'.repeat(32),
                spanId: 'b'.repeat(16),
                parentSpanId: 'c'.repeat(16),
                traceState: 'k=v',
                flags: 0x301,
                name: 'second',
                kind: 2,
                startTimeUnixNano: '1700000000000000001',
                endTimeUnixNano: '1700000000500000000',
                attributes: [],
                status: { code: 2, message: 'status 503' },
              },
            ],
          },
        ],
      },
    ],
  });
  expect(exported()).toBe(2);
});

test('sends a full batch without waiting, and the rest when it closes', async () => {
  const { url, names, arrival } = collector();
  const { exporter, exported } = setUp(url, { delay: 60_000, maxBatch: 2 });
  for (const name of ['1', '2', '3']) exporter.add(span(name));
  await arrival();
  expect(names()).toEqual([['1', '2']]);
  await exporter.close(5000);
  expect(names()).toEqual([['1', '2'], ['3']]);
  expect(exported()).toBe(3);
});

test('drops and counts what does not fit into the queue', async () => {
  const { url } = collector(() => new Promise<Response>(() => {}));
  const { exporter, dropped } = setUp(url, { maxQueue: 3, maxBatch: 2 });
  for (let i = 0; i < 8; i++) exporter.add(span(String(i)));
  // Two are under way, three wait.
  expect(dropped('queue-full')).toBe(3);
  await exporter.close(1);
});

test('tries again what a busy collector did not take', async () => {
  const { url, names } = collector((count) => (count < 3 ? new Response('', { status: count === 1 ? 429 : 503 }) : Response.json({})));
  const { exporter, exported, failures } = setUp(url, { maxBatch: 1 });
  exporter.add(span('a'));
  while (exported() === 0) await Bun.sleep(1);
  expect(names()).toEqual([['a'], ['a'], ['a']]);
  expect(failures).toEqual([]);
  await exporter.close(1000);
});

test('gives a batch up after some attempts, says so once, and says when it works again', async () => {
  let isUp = false;
  const { url, names } = collector(() => (isUp ? Response.json({}) : new Response('', { status: 503 })));
  const { exporter, exported, dropped, failures } = setUp(url, { maxBatch: 1 });
  exporter.add(span('a'));
  while (dropped('unreachable') < 1) await Bun.sleep(1);
  exporter.add(span('b'));
  while (dropped('unreachable') < 2) await Bun.sleep(1);
  expect(names()).toHaveLength(2 * MAX_EXPORT_ATTEMPTS);
  isUp = true;
  exporter.add(span('c'));
  while (exported() < 1) await Bun.sleep(1);
  expect(failures).toEqual(['the collector answered 503', 'recovered']);
  await exporter.close(1000);
});

test('does not repeat what the collector refuses', async () => {
  const { url, names, arrival } = collector(() => new Response('', { status: 400 }));
  const { exporter, dropped, failures } = setUp(url, { maxBatch: 1 });
  exporter.add(span('a'));
  await arrival();
  while (dropped('refused') === 0) await Bun.sleep(1);
  expect(names()).toHaveLength(1);
  expect(failures).toEqual(['the collector answered 400']);
  await exporter.close(1000);
});

test('counts what a collector rejects of a batch, and never more than there was', async () => {
  const { url } = collector((count) =>
    Response.json({ partialSuccess: { rejectedSpans: count === 1 ? '1' : '1000', errorMessage: 'too old' } }),
  );
  const { exporter, exported, dropped, failures } = setUp(url, { maxBatch: 2 });
  exporter.add(span('a'));
  exporter.add(span('b'));
  while (dropped('rejected') < 1) await Bun.sleep(1);
  expect(exported()).toBe(1);
  exporter.add(span('c'));
  while (dropped('rejected') < 2) await Bun.sleep(1);
  expect(exported()).toBe(1);
  expect(failures).toEqual(['too old']);
  await exporter.close(1000);
});

test('waits no longer for a dead collector than it is allowed to when it closes', async () => {
  const { url } = collector(() => new Promise<Response>(() => {}));
  const { exporter, dropped } = setUp(url, { delay: 60_000 });
  exporter.add(span('a'));
  await exporter.close(20);
  while (dropped('unreachable') === 0) await Bun.sleep(1);
  expect(dropped('unreachable')).toBe(1);
});

test('cuts long attribute values', async () => {
  const { url, received, arrival } = collector();
  const { exporter } = setUp(url);
  exporter.add(span('a', { attributes: { long: 'x'.repeat(100_000) } }));
  await arrival();
  expect(JSON.stringify(received[0]!.body).length).toBeLessThan(6000);
  await exporter.close(1000);
});
