import { expect, test } from 'bun:test';
import { parseAccessLine } from './denial.ts';
import { countConnections, countRequests, parseMetrics } from './proxy-metrics.ts';
import { processorMs, proxyKind } from './proxy-usage.ts';

const labels = (reporter: string, source: string, destination: string, security: string) =>
  `reporter="${reporter}",source_workload_namespace="${source}",destination_workload_namespace="${destination}",connection_security_policy="${security}"`;

test('reads names, labels with escapes, values and exemplar-free OpenMetrics lines', () => {
  const text = '# HELP a_total x\na_total{x="a\\"b",y="c\\\\d"} 3\nb 1.5e2\n# EOF\n';
  expect(parseMetrics(text)).toEqual([
    { name: 'a_total', labels: { x: 'a"b', y: 'c\\d' }, value: 3 },
    { name: 'b', labels: {}, value: 150 },
  ]);
});

test('counts an encrypted connection once although both proxies report it, and every plaintext one', () => {
  const text = [
    `istio_tcp_connections_opened_total{${labels('source', 'a', 'b', 'mutual_tls')}} 5`,
    `istio_tcp_connections_opened_total{${labels('destination', 'a', 'b', 'mutual_tls')}} 5`,
    `istio_tcp_connections_opened_total{${labels('source', 'a', 'b', 'unknown')}} 2`,
    `istio_tcp_connections_opened_total{${labels('destination', 'unknown', 'b', 'unknown')}} 9`,
    `istio_tcp_connections_closed_total{${labels('destination', 'a', 'b', 'mutual_tls')}} 4`,
  ].join('\n');
  expect(countConnections(parseMetrics(text), new Set(['a', 'b']))).toEqual({ mutualTls: 5, plaintext: 2 });
});

test('reads the plain layout of the access log', () => {
  const line =
    '2026-01-02T03:04:05.678901Z\terror\taccess\tconnection complete\tsrc.addr=10.244.1.5:4000 src.workload="intruder-1" src.namespace="ai-clients" src.identity="spiffe://cluster.local/ns/ai-clients/sa/intruder" direction="inbound" bytes_sent=0 bytes_recv=0 duration="12ms" error="connection closed due to policy rejection: explicitly denied by: ai-inference/deny-intruder"';
  expect(parseAccessLine(line)).toEqual({
    at: Date.parse('2026-01-02T03:04:05.678Z'),
    durationMs: 12,
    direction: 'inbound',
    sourceNamespace: 'ai-clients',
    sourceIdentity: 'spiffe://cluster.local/ns/ai-clients/sa/intruder',
    error: 'connection closed due to policy rejection: explicitly denied by: ai-inference/deny-intruder',
  });
});

test('reads the JSON layout, and passes over other lines', () => {
  expect(
    parseAccessLine(
      '{"level":"info","time":"2026-01-02T03:04:05.678901Z","scope":"access","message":"connection complete","direction":"outbound","duration":"3ms"}',
    ),
  ).toMatchObject({
    direction: 'outbound',
    durationMs: 3,
    error: undefined,
  });
  for (const line of ['', '{"level":', '2026-01-02T03:04:05Z\tinfo\tready\tlistening']) expect(parseAccessLine(line)).toBeUndefined();
});

test('counts the requests of a waypoint over codes and destinations, and nobody else’s', () => {
  const text = [
    'istio_requests_total{reporter="waypoint",response_code="200",destination_service_name="a"} 5',
    'istio_requests_total{reporter="waypoint",response_code="503",destination_service_name="b"} 2',
    'istio_requests_total{reporter="source",response_code="200"} 9',
    'istio_request_bytes_count{reporter="waypoint"} 9',
  ].join('\n');
  expect(countRequests(parseMetrics(text))).toBe(7);
});

test('knows a proxy by the program it runs, not by a shell that names it', () => {
  expect(proxyKind(['/x/bun.exe', '/src/cli/main.ts', 'proxy', 'ztunnel'])).toBe('ztunnel');
  expect(proxyKind(['/x/bun.exe', '/src/cli/main.ts', 'proxy', 'waypoint', ''])).toBe('waypoint');
  expect(proxyKind(['/venv/envoy/_bin/envoy', '--config-path', 'x'])).toBe('envoy');
  expect(proxyKind(['sh', '-c', 'lateen proxy ztunnel'])).toBeUndefined();
  expect(proxyKind(['/x/bun.exe', 'main.ts', 'node-agent'])).toBeUndefined();
});

test('reads the processor time of a process whose name looks like more fields', () => {
  expect(processorMs('42 (a b) c) S 1 2 3 4 5 6 7 8 9 10 70 30 0 0 20 0 1')).toBe(1_000);
  expect(processorMs('')).toBe(0);
});
