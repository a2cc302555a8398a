import { expect, test } from 'bun:test';
import { acceptsGzip, chooseFormat, expose, metricsResponse } from './exposition.ts';
import { labelSet, OVERFLOW_LABEL, Registry } from './metrics.ts';
import { SharedPages } from './shared-pages.ts';

const lines = (text: string) => text.split('\n').filter((line) => line !== '' && !line.includes('lateen_metric_series_overflow'));

test('writes a counter with the _total sample in both formats, and with the suffix in the family name only in classic text', () => {
  const registry = new Registry();
  registry.counter('istio_tcp_connections_opened_total', 'Opened.', ['reporter']).labels({ reporter: 'source' }).inc(3);
  expect(lines(expose(registry, 'openmetrics'))).toEqual([
    '# HELP istio_tcp_connections_opened Opened.',
    '# TYPE istio_tcp_connections_opened counter',
    'istio_tcp_connections_opened_total{reporter="source"} 3',
    '# EOF',
  ]);
  expect(lines(expose(registry, 'text'))).toEqual([
    '# HELP istio_tcp_connections_opened_total Opened.',
    '# TYPE istio_tcp_connections_opened_total counter',
    'istio_tcp_connections_opened_total{reporter="source"} 3',
  ]);
});

test('gives the same handle for the same labels in any order of keys', () => {
  const family = new Registry().counter('x', 'X.', ['a', 'b']);
  expect(family.labels({ a: '1', b: '2' })).toBe(family.labels({ b: '2', a: '1' }));
  expect(family.labels({ a: '12', b: '' })).not.toBe(family.labels({ a: '1', b: '2' }));
});

test('lets families with the same label names share one label set, and refuses it where the names differ', () => {
  const registry = new Registry();
  const names = ['a', 'b'];
  const [x, y] = [registry.counter('x', 'X.', names), registry.counter('y', 'Y.', names)];
  const set = labelSet(names, { a: '1', b: '2' });
  expect(x.of(set)).toBe(x.labels({ a: '1', b: '2' }));
  expect(y.of(set).values).toBe(x.of(set).values);
  expect(() => registry.counter('z', 'Z.', ['b', 'a']).of(set)).toThrow('metric z has the labels b, a, not a, b');
});

test('leaves a label without value out, and keeps it apart from an empty one', () => {
  const registry = new Registry();
  const family = registry.gauge('g', 'G.', ['region', 'zone']);
  family.labels({ region: 'eu' }).set(1);
  family.labels({ region: 'eu', zone: '' }).set(2);
  family.labels().set(3);
  expect(lines(expose(registry, 'text')).slice(2)).toEqual(['g{region="eu"} 1', 'g{region="eu",zone=""} 2', 'g 3']);
});

test('refuses a label the family does not have', () => {
  const family = new Registry().counter('x', 'X.', ['a']);
  expect(() => family.labels({ b: '1' })).toThrow('metric x has no label b; it has a');
});

test('escapes label values and help texts', () => {
  const registry = new Registry();
  registry.gauge('g', 'two\nlines \\', ['v']).labels({ v: 'a"b\\c\nd' }).set(1);
  expect(lines(expose(registry, 'text'))).toEqual(['# HELP g two\\nlines \\\\', '# TYPE g gauge', 'g{v="a\\"b\\\\c\\nd"} 1']);
});

test('puts observations at a bound into its bucket and cumulates the buckets', () => {
  const registry = new Registry();
  const histogram = registry.histogram('h', 'H.', [1, 0.5, 10], ['q']).labels({ q: 'A' });
  for (const value of [0.5, 0.6, 1, 11]) histogram.observe(value);
  const samples = [
    'h_bucket{q="A",le="0.5"} 1',
    'h_bucket{q="A",le="1.0"} 3',
    'h_bucket{q="A",le="10.0"} 3',
    'h_bucket{q="A",le="+Inf"} 4',
  ];
  expect(lines(expose(registry, 'openmetrics')).slice(2)).toEqual([...samples, 'h_sum{q="A"} 13.1', 'h_count{q="A"} 4', '# EOF']);
  expect(expose(registry, 'text')).toContain('le="1"} 3');
});

test('counts into one overflow series past the limit of series, and says which metric overflowed', () => {
  const registry = new Registry({ maxSeriesPerFamily: 2 });
  const family = registry.counter('x', 'X.', ['who']);
  for (const who of ['a', 'b', 'c', 'd', 'a']) family.labels({ who }).inc();
  const text = expose(registry, 'text');
  expect(text).toContain('x_total{who="a"} 2');
  expect(text).toContain(`x_total{who="${OVERFLOW_LABEL}"} 2`);
  expect(text).not.toContain('who="c"');
  expect(text).toContain('lateen_metric_series_overflow_total{metric="x"} 2');
});

test('exposes a removed series no longer', () => {
  const registry = new Registry();
  const family = registry.gauge('g', 'G.', ['a']);
  family.labels({ a: '1' }).set(1);
  family.remove({ a: '1' });
  expect(expose(registry, 'text')).not.toContain('a="1"');
});

test('gives the same family for the same shape and refuses another shape', () => {
  const registry = new Registry();
  expect(registry.counter('x', 'X.', ['a'])).toBe(registry.counter('x_total', 'X.', ['a']));
  expect(() => registry.gauge('x', 'X.', ['a'])).toThrow('registered twice');
  expect(() => registry.counter('x', 'X.', ['b'])).toThrow('registered twice');
});

test('runs collectors before writing', () => {
  const registry = new Registry();
  const gauge = registry.gauge('open', 'O.');
  let open = 0;
  registry.onCollect(() => gauge.set(open));
  open = 7;
  expect(expose(registry, 'text')).toContain('open 7');
});

test.each([
  [undefined, 'text'],
  ['*/*', 'text'],
  ['text/plain', 'text'],
  ['application/openmetrics-text', 'openmetrics'],
  ['application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1', 'openmetrics'],
  ['application/openmetrics-text;q=0.2,text/plain;q=0.9', 'text'],
  ['application/openmetrics-text;q=0', 'text'],
] as const)('answers Accept %p with %s', (accept, format) => {
  expect(chooseFormat(accept)).toBe(format);
});

test.each([
  ['gzip', true],
  ['br, gzip;q=0.5', true],
  ['gzip;q=0', false],
  ['*', true],
  ['identity', false],
  [null, false],
] as const)('reads Accept-Encoding %p as gzip %p', (header, yes) => {
  expect(acceptsGzip(header)).toBe(yes);
});

test('serves compressed OpenMetrics with its content type over a real socket', async () => {
  const registry = new Registry();
  const family = registry.counter('x', 'X.', ['n']);
  for (let n = 0; n < 100; n++) family.labels({ n: String(n) }).inc();
  const pages = new SharedPages();
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: (request, self) => metricsResponse(() => registry, request, pages, self.pendingRequests),
  });
  const headers = { accept: 'application/openmetrics-text', 'accept-encoding': 'gzip' };
  const response = await fetch(`http://127.0.0.1:${server.port}/metrics`, { headers });
  expect(response.headers.get('content-type')).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
  expect(response.headers.get('content-encoding')).toBe('gzip');
  expect(await response.text()).toEndWith('x_total{n="99"} 1\n# EOF\n');
  const classic = await fetch(`http://127.0.0.1:${server.port}/metrics`, { headers: { accept: '*/*', 'accept-encoding': 'gzip' } });
  expect(classic.headers.get('content-encoding')).toBe('gzip');
  expect(await classic.text()).toBe(expose(registry, 'text'));
  await server.stop(true);
});
