import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { until } from '../ztunnel/lab.ts';
import { keyOf, WaypointLab } from './lab.ts';

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status: { readonly code?: number };
  readonly attributes: { key: string; value: { stringValue?: string; intValue?: string } }[];
}
interface Traces {
  readonly resourceSpans: {
    resource: { attributes: Span['attributes'] };
    scopeSpans: { spans: Span[] }[];
  }[];
}

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';
const FORM = /^00-([0-9a-f]{32})-([0-9a-f]{16})-(0[0-3])$/;
const attributesOf = (list: Span['attributes']): Record<string, string | undefined> =>
  Object.fromEntries(list.map(({ key, value }) => [key, value.stringValue ?? value.intValue]));

/** A waypoint in front of a service that says which headers it got, and of one that answers 503, and a collector. */
const setUp = async (env: Record<string, string>) => {
  const lab = new WaypointLab();
  const received: { path: string; body: Traces }[] = [];
  lab.inside(() => {
    Bun.serve({ hostname: '127.0.0.21', port: 8080, fetch: (request) => Response.json(Object.fromEntries(request.headers)) });
    Bun.serve({ hostname: '127.0.0.22', port: 8080, fetch: () => new Response('no', { status: 503 }) });
    Bun.serve({
      hostname: '127.0.0.30',
      port: 4318,
      async fetch(request) {
        received.push({ path: new URL(request.url).pathname, body: (await request.json()) as Traces });
        return Response.json({});
      },
    });
  });
  const ports = [{ port: 80, targetPort: 8080, protocol: 'HTTP11' as const }];
  await lab.start(
    [
      { name: 'echo', ports, endpoints: ['127.0.0.21'] },
      { name: 'broken', ports, endpoints: ['127.0.0.22'] },
    ],
    [{ service: keyOf('broken'), ports: [] }],
    { ACCESS_LOG_FORMAT: 'json', OTEL_BSP_SCHEDULE_DELAY: '10', ...env },
  );
  const get = async (service: string, path: string, headers: Record<string, string | string[]> = {}): Promise<Record<string, string>> => {
    const fields = Object.entries(headers).flatMap(([name, value]) => [value].flat().flatMap((one) => ['-H', `${name}: ${one}`]));
    const out = await lab.run('curl', '-sS', '-m', '10', ...fields, `http://127.0.0.1:${lab.open(service, 80)}${path}`);
    return service === 'echo' ? (JSON.parse(out) as Record<string, string>) : {};
  };
  const spans = (): Span[] =>
    received.flatMap(({ body }) => body.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((s) => s.spans)));
  return { lab, received, get, spans };
};

describe('with a collector and every new trace sampled', () => {
  let all: Awaited<ReturnType<typeof setUp>>;
  beforeAll(async () => {
    all = await setUp({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.30:4318', OTEL_TRACES_SAMPLER_ARG: '1' });
  });
  afterAll(() => all.lab.stop());

  const spanOf = async (path: string): Promise<Span> => {
    const find = (): Span | undefined => all.spans().find(({ attributes }) => attributesOf(attributes)['url.path'] === path);
    await until(`the span of ${path}`, () => find() !== undefined);
    return find()!;
  };

  test('a trace begins at the waypoint, which is its first span', async () => {
    const seen = await all.get('echo', '/begun?q=1', { 'x-request-id': 'r-1', tracestate: 'left=over' });
    const [, traceId, spanId, flags] = FORM.exec(seen['traceparent']!)!;
    expect(flags).toBe('01');
    expect(seen['tracestate']).toBeUndefined();
    const span = await spanOf('/begun');
    expect(span).toMatchObject({ traceId: traceId!, spanId: spanId!, kind: 2, name: 'echo.default.svc.cluster.local:80/*', status: {} });
    expect(span.parentSpanId).toBeUndefined();
    expect(BigInt(span.endTimeUnixNano)).toBeGreaterThan(BigInt(span.startTimeUnixNano));
    expect(Math.abs(Number(span.startTimeUnixNano) / 1e6 - Date.now())).toBeLessThan(60_000);
    expect(attributesOf(span.attributes)).toMatchObject({
      'http.request.method': 'GET',
      'http.response.status_code': '200',
      'url.scheme': 'http',
      'url.query': 'q=1',
      'server.address': '127.0.0.1',
      'network.protocol.version': '1.1',
      component: 'proxy',
      upstream_cluster: 'inbound-vip|80|http|echo.default.svc.cluster.local',
      response_flags: '-',
      'guid:x-request-id': 'r-1',
      'istio.source_workload': 'client',
      'istio.source_namespace': 'clients',
      'istio.destination_workload': 'backend-127-0-0-21',
      'istio.destination_service': 'echo.default.svc.cluster.local',
    });
  });

  test('says which proxy it comes from', async () => {
    await all.get('echo', '/resource');
    await spanOf('/resource');
    expect(all.received[0]!.path).toBe('/v1/traces');
    expect(attributesOf(all.received[0]!.body.resourceSpans[0]!.resource.attributes)).toEqual({
      'service.name': 'waypoint-1.default',
      'k8s.cluster.name': 'Kubernetes',
      'k8s.namespace.name': 'default',
      'k8s.pod.name': 'waypoint-1',
    });
  });

  test('a sampled trace is continued, with the waypoint between the client and the endpoint', async () => {
    const seen = await all.get('echo', '/continued', { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: 'a=1,b=2', b3: '0' });
    const [, traceId, spanId, flags] = FORM.exec(seen['traceparent']!)!;
    expect([traceId, flags, seen['tracestate'], seen['b3']]).toEqual([TRACE, '01', 'a=1,b=2', '0']);
    expect(spanId).not.toBe(PARENT);
    expect(await spanOf('/continued')).toMatchObject({ traceId: TRACE, spanId: spanId!, parentSpanId: PARENT, traceState: 'a=1,b=2' });
    await until('the line of the log', () => all.lab.log.includes('/continued'));
    const line = all.lab.log.split('\n').find((text) => text.includes('/continued'))!;
    expect(JSON.parse(line)).toMatchObject({ trace_id: TRACE });
  });

  test('a trace its parent did not sample is not recorded here either', async () => {
    const seen = await all.get('echo', '/unsampled', { traceparent: `00-${TRACE}-${PARENT}-00` });
    expect(seen['traceparent']).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
    await all.get('echo', '/after-unsampled');
    await spanOf('/after-unsampled');
    expect(all.spans().some(({ attributes }) => attributesOf(attributes)['url.path'] === '/unsampled')).toBe(false);
  });

  test.each([
    ['a bad one', `00-${TRACE}-${PARENT}`],
    ['an id of zeros', `00-${'0'.repeat(32)}-${PARENT}-01`],
    ['two', [`00-${TRACE}-${PARENT}-01`, `00-${TRACE}-${'c'.repeat(16)}-01`]],
  ])('a context that is none is replaced: %s', async (_, traceparent) => {
    const seen = await all.get('echo', '/replaced', { traceparent, tracestate: 'a=1' });
    const [, traceId] = FORM.exec(seen['traceparent']!)!;
    expect(traceId).not.toBe(TRACE);
    expect(seen['tracestate']).toBeUndefined();
  });

  test('a failed request is an error', async () => {
    await all.get('broken', '/failed');
    const span = await spanOf('/failed');
    expect(span.status.code).toBe(2);
    expect(attributesOf(span.attributes)).toMatchObject({ 'http.response.status_code': '503', 'error.type': '503' });
  });

  test('B3 headers go through untouched', async () => {
    const b3 = { 'x-b3-traceid': TRACE, 'x-b3-spanid': PARENT, 'x-b3-sampled': '1' };
    expect(await all.get('echo', '/b3', b3)).toMatchObject(b3);
  });
});

describe('without a collector', () => {
  let none: Awaited<ReturnType<typeof setUp>>;
  beforeAll(async () => {
    none = await setUp({});
  });
  afterAll(() => none.lab.stop());

  test('a valid context goes through as it came, as no span is put in between', async () => {
    const sent = { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: 'a=1' };
    expect(await none.get('echo', '/', sent)).toMatchObject(sent);
  });

  test('a trace begins all the same, not sampled, and the log has its id', async () => {
    const [, traceId, , flags] = FORM.exec((await none.get('echo', '/begun'))['traceparent']!)!;
    expect(flags).toBe('00');
    await until('the line of the log', () => none.lab.log.includes(traceId!));
    expect(none.received).toEqual([]);
  });
});

test('spans that wait are sent at the end of a drain', async () => {
  const { lab, get, spans } = await setUp({
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.30:4318/own/path',
    OTEL_TRACES_SAMPLER: 'always_on',
    OTEL_BSP_SCHEDULE_DELAY: '600000',
    DRAIN_LINGER: '1ms',
  });
  await get('echo', '/last');
  expect(spans()).toEqual([]);
  lab.process.kill('SIGTERM');
  await lab.process.exited;
  expect(spans()).toHaveLength(1);
  await lab.stop();
});
