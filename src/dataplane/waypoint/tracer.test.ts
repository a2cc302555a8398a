import { expect, test } from 'bun:test';
import type { SpanExporter } from '../../platform/telemetry/index.ts';
import type { HeaderList } from '../../protocol/index.ts';
import type { Client } from './client.ts';
import { ExchangeRecord } from './exchange-record.ts';
import { requestSpan } from './request-span.ts';
import { propagated, Tracer } from './tracer.ts';

const CLIENT: Client = {
  workload: undefined,
  identity: { trustDomain: 'cluster.local', namespace: 'clients', serviceAccount: 'client' },
  principal: 'spiffe://cluster.local/ns/clients/sa/client',
  namespace: 'clients',
  ip: '10.0.0.1',
  address: '10.0.0.1:4000',
  target: '240.0.0.1:80',
  service: undefined,
  destination: undefined,
  port: 80,
};
const recordOf = (headers: HeaderList, over: object = {}): ExchangeRecord =>
  new ExchangeRecord(
    {
      method: 'GET',
      path: '/',
      authority: 'reviews:80',
      scheme: 'http',
      headers,
      version: 'HTTP/1.1',
      contentLength: 0,
      upgrade: '',
      acceptsTrailers: false,
      ...over,
    },
    CLIENT,
    0,
  );
// Only its presence matters here.
const exporter = {} as SpanExporter;
const begun = (tracer: Tracer, headers: HeaderList = []): ExchangeRecord => {
  const record = recordOf(headers);
  record.requestId = 'r';
  tracer.begin(record);
  return record;
};
const PARENT = `00-${'a'.repeat(32)}-${'b'.repeat(16)}`;

test('samples about the share of the traces that begin here', () => {
  const tracer = new Tracer({ sampler: { isParentBased: true, ratio: 0.25 }, exporter });
  let sampled = 0;
  for (let i = 0; i < 4000; i++) if (begun(tracer).isSampled) sampled++;
  expect(Math.abs(sampled - 1000)).toBeLessThan(4.5 * Math.sqrt(4000 * 0.25 * 0.75));
});

test.each([
  [0, 0],
  [1, 100],
])('a share of %d samples none or all', (ratio, expected) => {
  const tracer = new Tracer({ sampler: { isParentBased: true, ratio }, exporter });
  let sampled = 0;
  for (let i = 0; i < 100; i++) if (begun(tracer).isSampled) sampled++;
  expect(sampled).toBe(expected);
});

test('the same trace is chosen by every waypoint that samples as much or more', () => {
  const low = `00-${'a'.repeat(18)}${'1'.repeat(14)}-${'b'.repeat(16)}-00`;
  const high = `00-${'0'.repeat(18)}${'f'.repeat(14)}-${'b'.repeat(16)}-00`;
  const chosen = (ratio: number, traceparent: string): boolean =>
    begun(new Tracer({ sampler: { isParentBased: false, ratio }, exporter }), [['traceparent', traceparent]]).isSampled;
  expect([chosen(0.01, low), chosen(0.5, low), chosen(0.99, low)]).toEqual([false, false, true]);
  expect([chosen(0.01, high), chosen(0.5, high), chosen(0.99, high)]).toEqual([true, true, true]);
});

test('a parent decides, unless the sampler does not ask it', () => {
  const sampled = (isParentBased: boolean, ratio: number, flags: string): boolean =>
    begun(new Tracer({ sampler: { isParentBased, ratio }, exporter }), [['traceparent', `${PARENT}-${flags}`]]).isSampled;
  expect([sampled(true, 0, '01'), sampled(true, 1, '00'), sampled(false, 0, '01'), sampled(false, 1, '00')]).toEqual([
    true,
    false,
    false,
    true,
  ]);
});

test('keeps the flag of random ids and no other it does not know', () => {
  const tracer = new Tracer({ sampler: { isParentBased: true, ratio: 0 }, exporter });
  expect(begun(tracer, [['traceparent', `${PARENT}-ff`]]).traceparent).toEndWith('-03');
  expect(begun(tracer, [['traceparent', `${PARENT}-fc`]]).traceparent).toEndWith('-00');
});

test('puts its context in the place of the client’s, and leaves everything else', () => {
  const headers: HeaderList = [
    ['accept', '*/*'],
    ['traceparent', `${PARENT}-01`],
    ['tracestate', 'a=1'],
    ['x-request-id', 'own'],
    ['tracestate', 'b=2'],
  ];
  const record = begun(new Tracer({ sampler: { isParentBased: true, ratio: 0 }, exporter }), headers);
  expect(propagated(record)).toEqual([
    ['accept', '*/*'],
    ['tracestate', 'a=1'],
    ['x-request-id', 'own'],
    ['tracestate', 'b=2'],
    ['traceparent', record.traceparent],
  ]);
  expect(requestSpan(record, 1).traceState).toBe('a=1,b=2');
});

test('a span has what the conventions want of odd requests', () => {
  const record = recordOf([], { method: 'BREW', path: '/pot?strong=1', authority: '[fd00::1]:8080', version: 'HTTP/2' });
  record.status = 0;
  record.flag('DC');
  record.details = 'downstream_remote_disconnect';
  const span = requestSpan(record, 2);
  expect(span.end - span.start).toBe(2_000_000n);
  expect(span.error).toBe('status DC');
  expect(span.attributes).toMatchObject({
    'http.request.method': '_OTHER',
    'http.request.method_original': 'BREW',
    'url.path': '/pot',
    'url.query': 'strong=1',
    'server.address': 'fd00::1',
    'server.port': 8080,
    'network.protocol.version': '2',
    'error.type': 'DC',
  });
  expect(span.attributes['http.response.status_code']).toBeUndefined();
});

test.each([
  [0, undefined],
  [5, undefined],
  [14, '14'],
])('of gRPC statuses those are errors that are the server’s fault: %d', (grpcStatus, error) => {
  const record = recordOf([['content-type', 'application/grpc']]);
  record.status = 200;
  record.grpcStatus = grpcStatus;
  expect(requestSpan(record, 1).attributes).toMatchObject({ 'rpc.system': 'grpc', 'rpc.grpc.status_code': grpcStatus });
  expect(requestSpan(record, 1).attributes['error.type']).toBe(error);
});
