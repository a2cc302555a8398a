import { describe, expect, test } from 'bun:test';
import { service, workload } from '../../mesh/test-fixtures.ts';
import { expose, OVERFLOW_LABEL, Registry } from '../../platform/telemetry/index.ts';
import { type RequestFacts, RequestMetrics, type RequestParties } from './request-metrics.ts';

const PARTIES: RequestParties = {
  source: workload('client'),
  sourcePrincipal: 'spiffe://cluster.local/ns/default/sa/client',
  destination: workload('reviews-v1'),
  service: service('reviews', '240.0.0.1'),
};
const facts = (over: Partial<RequestFacts> = {}): RequestFacts => ({
  protocol: 'http',
  status: 200,
  grpcStatus: -1,
  flags: '',
  duration: 3,
  requestBytes: 10,
  responseBytes: 20,
  requestMessages: 0,
  responseMessages: 0,
  ...over,
});
const setUp = (maxSeriesPerFamily?: number) => {
  const registry = new Registry(maxSeriesPerFamily === undefined ? {} : { maxSeriesPerFamily });
  const metrics = new RequestMetrics(registry);
  const lines = (name: string): string[] =>
    expose(registry, 'text')
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`));
  return {
    metrics,
    lines,
    sum: (name: string): number => lines(name).reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0),
  };
};

test('counts a request with the labels of Istio', () => {
  const { metrics, lines } = setUp();
  metrics.record(PARTIES, facts());
  expect(lines('istio_requests_total')).toHaveLength(1);
  for (const label of [
    'reporter="waypoint"',
    'source_workload="client"',
    'source_principal="spiffe://cluster.local/ns/default/sa/client"',
    'destination_workload="reviews-v1"',
    'destination_service="reviews.default.svc.cluster.local"',
    'request_protocol="http"',
    'response_code="200"',
    'grpc_response_status=""',
    'response_flags="-"',
    'connection_security_policy="mutual_tls"',
  ])
    expect(lines('istio_requests_total')[0]).toContain(label);
  expect(lines('istio_request_duration_milliseconds_bucket')).toHaveLength(20);
  expect(lines('istio_request_messages_total')).toEqual([]);
});

test('finds the series of the same kind of answer again', () => {
  const { metrics } = setUp();
  expect(metrics.series(PARTIES, facts())).toBe(metrics.series(PARTIES, facts({ duration: 9 })));
  expect(metrics.series(PARTIES, facts())).not.toBe(metrics.series(PARTIES, facts({ status: 503 })));
  expect(metrics.series(PARTIES, facts())).not.toBe(metrics.series(PARTIES, facts({ protocol: 'grpc' })));
  expect(metrics.series(PARTIES, facts())).not.toBe(metrics.series({ ...PARTIES, destination: workload('reviews-v2') }, facts()));
});

test('counts the messages of gRPC calls', () => {
  const { metrics, sum } = setUp();
  metrics.record(PARTIES, facts({ protocol: 'grpc', grpcStatus: 0, requestMessages: 3, responseMessages: 2 }));
  metrics.record(PARTIES, facts({ protocol: 'grpc', grpcStatus: 14, requestMessages: 1, responseMessages: 0 }));
  expect(sum('istio_request_messages_total')).toBe(4);
  expect(sum('istio_response_messages_total')).toBe(2);
});

test('keeps clients apart that the mesh does not know', () => {
  const { metrics, lines } = setUp();
  for (const name of ['a', 'b']) metrics.record({ ...PARTIES, source: undefined, sourcePrincipal: `spiffe://x/ns/y/sa/${name}` }, facts());
  expect(lines('istio_requests_total').map((line) => /source_principal="([^"]*)"/.exec(line)?.[1])).toEqual([
    'spiffe://x/ns/y/sa/a',
    'spiffe://x/ns/y/sa/b',
  ]);
});

describe('what an endpoint can make up', () => {
  test('statuses that do not exist share a series', () => {
    const { metrics, lines, sum } = setUp();
    for (let status = 600; status < 1000; status++) metrics.record(PARTIES, facts({ status }));
    for (let grpcStatus = 17; grpcStatus < 1000; grpcStatus++) metrics.record(PARTIES, facts({ protocol: 'grpc', grpcStatus }));
    expect(lines('istio_requests_total')).toHaveLength(2);
    expect(lines('istio_requests_total')[0]).toContain('response_code="other"');
    expect(lines('istio_requests_total')[1]).toContain('grpc_response_status="other"');
    expect(sum('istio_requests_total')).toBe(400 + 983);
  });

  test('neither the metrics nor what is remembered of them grows without bound, and nothing is lost', () => {
    const { metrics, lines, sum } = setUp(50);
    for (let status = 100; status < 600; status++) metrics.record(PARTIES, facts({ status }));
    // The first are remembered, the last are looked up each time.
    expect(metrics.series(PARTIES, facts({ status: 100 }))).toBe(metrics.series(PARTIES, facts({ status: 100 })));
    expect(metrics.series(PARTIES, facts({ status: 599 }))).not.toBe(metrics.series(PARTIES, facts({ status: 599 })));
    expect(lines('istio_requests_total')).toHaveLength(51);
    expect(lines('istio_requests_total').at(-1)).toContain(`response_code="${OVERFLOW_LABEL}"`);
    expect(sum('istio_requests_total')).toBe(500);
    expect(sum('istio_request_duration_milliseconds_count')).toBe(500);
  });
});
