import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { AccessLog, jsonLine, type RequestEntry, textLine } from './access-log.ts';
import { LineBuffer } from './line-buffer.ts';

const entry = (over: Partial<RequestEntry> = {}): RequestEntry => ({
  start: Date.UTC(2026, 0, 31, 12, 0, 0, 7),
  method: 'GET',
  path: '/reviews/1?full=yes',
  protocol: 'HTTP/1.1',
  status: 200,
  flags: '',
  details: 'via_upstream',
  failure: '',
  bytesReceived: 1,
  bytesSent: 345,
  duration: 12.4,
  upstreamTime: 11.6,
  forwardedFor: '10.9.8.7',
  userAgent: 'curl/8.5.0',
  requestId: '6f1d5c2e-0000-4000-8000-000000000001',
  authority: 'reviews:80',
  upstreamHost: '10.0.0.2:8080',
  upstreamCluster: 'inbound-vip|80|http|reviews.default.svc.cluster.local',
  downstreamLocal: '240.0.0.1:80',
  downstreamRemote: '10.0.0.1:4000',
  downstreamPrincipal: 'spiffe://cluster.local/ns/default/sa/client',
  serverName: '',
  routeName: 'HTTPRoute/default/reviews/0',
  traceId: 'a'.repeat(32),
  ...over,
});
/** As if nothing had come of it. */
const EMPTY: RequestEntry = entry({
  method: '-',
  path: '-',
  protocol: '-',
  status: 0,
  details: '',
  bytesReceived: 0,
  bytesSent: 0,
  duration: 0,
  upstreamTime: -1,
  forwardedFor: '',
  userAgent: '',
  requestId: '',
  authority: '',
  upstreamHost: '',
  upstreamCluster: '',
  downstreamLocal: '',
  downstreamRemote: '',
  downstreamPrincipal: '',
  routeName: '',
  traceId: '',
});
const written = (format: typeof textLine, one: RequestEntry): string => {
  const buffer = new LineBuffer();
  format(buffer, one);
  return new TextDecoder().decode(buffer.take());
};
/** Anything a client or an endpoint may put into a field. */
const hostile = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('"', '\\', '\n', '\r\n', '\u0000', '\u001b[31m', 'é', '日本', '😀', '\ud800', ' ', '" 500 -'),
);

/** The operators of Istio's default format in their order. */
const FIELDS =
  'START_TIME METHOD PATH PROTOCOL RESPONSE_CODE RESPONSE_FLAGS RESPONSE_CODE_DETAILS CONNECTION_TERMINATION_DETAILS UPSTREAM_TRANSPORT_FAILURE_REASON BYTES_RECEIVED BYTES_SENT DURATION UPSTREAM_SERVICE_TIME X_FORWARDED_FOR USER_AGENT REQUEST_ID AUTHORITY UPSTREAM_HOST UPSTREAM_CLUSTER UPSTREAM_LOCAL_ADDRESS DOWNSTREAM_LOCAL_ADDRESS DOWNSTREAM_REMOTE_ADDRESS REQUESTED_SERVER_NAME ROUTE_NAME'.split(
    ' ',
  );
/** As a reader of Istio's logs takes a line apart; undefined: it is none. */
const takeApart = (line: string): Record<string, string> | undefined => {
  const text = '"((?:[^"\\\\]|\\\\.)*)"';
  const word = '(\\S+)';
  const layout = `^\\[${word}\\] "(\\S*) ((?:[^"\\\\]|\\\\.)*) (\\S+)" ${`${word} `.repeat(4)}${text} ${`${word} `.repeat(4)}${`${text} `.repeat(5)}${`${word} `.repeat(5)}${word}\\n$`;
  const match = new RegExp(layout).exec(line);
  return match === null ? undefined : Object.fromEntries(FIELDS.map((field, i) => [field, match[i + 1]!]));
};

describe('the text format', () => {
  test('is Istio’s default, field by field', () => {
    const line = written(textLine, entry({ serverName: 'a.example' }));
    expect(line).toBe(
      '[2026-01-31T12:00:00.007Z] "GET /reviews/1?full=yes HTTP/1.1" 200 - via_upstream - "-" 1 345 12 12 "10.9.8.7" "curl/8.5.0" "6f1d5c2e-0000-4000-8000-000000000001" "reviews:80" "10.0.0.2:8080" inbound-vip|80|http|reviews.default.svc.cluster.local - 240.0.0.1:80 10.0.0.1:4000 a.example HTTPRoute/default/reviews/0\n',
    );
    expect(takeApart(line)).toEqual({
      START_TIME: '2026-01-31T12:00:00.007Z',
      METHOD: 'GET',
      PATH: '/reviews/1?full=yes',
      PROTOCOL: 'HTTP/1.1',
      RESPONSE_CODE: '200',
      RESPONSE_FLAGS: '-',
      RESPONSE_CODE_DETAILS: 'via_upstream',
      CONNECTION_TERMINATION_DETAILS: '-',
      UPSTREAM_TRANSPORT_FAILURE_REASON: '-',
      BYTES_RECEIVED: '1',
      BYTES_SENT: '345',
      DURATION: '12',
      UPSTREAM_SERVICE_TIME: '12',
      X_FORWARDED_FOR: '10.9.8.7',
      USER_AGENT: 'curl/8.5.0',
      REQUEST_ID: '6f1d5c2e-0000-4000-8000-000000000001',
      AUTHORITY: 'reviews:80',
      UPSTREAM_HOST: '10.0.0.2:8080',
      UPSTREAM_CLUSTER: 'inbound-vip|80|http|reviews.default.svc.cluster.local',
      UPSTREAM_LOCAL_ADDRESS: '-',
      DOWNSTREAM_LOCAL_ADDRESS: '240.0.0.1:80',
      DOWNSTREAM_REMOTE_ADDRESS: '10.0.0.1:4000',
      REQUESTED_SERVER_NAME: 'a.example',
      ROUTE_NAME: 'HTTPRoute/default/reviews/0',
    });
  });

  test('has a dash for what there is not', () => {
    expect(written(textLine, EMPTY)).toBe('[2026-01-31T12:00:00.007Z] "- - -" 0 - - - "-" 0 0 0 - "-" "-" "-" "-" "-" - - - - - -\n');
  });

  test('keeps its fields apart whatever comes from outside', () => {
    fc.assert(
      fc.property(hostile, hostile, hostile, hostile, (path, userAgent, authority, failure) => {
        const line = written(
          textLine,
          entry({ path: `/${path}`, userAgent, authority, failure, forwardedFor: userAgent, requestId: path }),
        );
        const fields = takeApart(line);
        expect(fields).toMatchObject({ RESPONSE_CODE: '200', BYTES_SENT: '345', ROUTE_NAME: 'HTTPRoute/default/reviews/0' });
        expect(line.slice(0, -1)).not.toMatch(/[\x00-\x1f\x7f-\uffff]/);
        if (userAgent !== '') expect(JSON.parse(`"${fields!['USER_AGENT']}"`)).toBe(userAgent);
      }),
    );
  });
});

describe('the JSON format', () => {
  test('has the keys of Istio’s default, and two of its own', () => {
    const line = JSON.parse(written(jsonLine, entry())) as Record<string, unknown>;
    expect(line).toEqual({
      start_time: '2026-01-31T12:00:00.007Z',
      method: 'GET',
      path: '/reviews/1?full=yes',
      protocol: 'HTTP/1.1',
      response_code: 200,
      response_flags: '-',
      response_code_details: 'via_upstream',
      connection_termination_details: null,
      upstream_transport_failure_reason: null,
      bytes_received: 1,
      bytes_sent: 345,
      duration: 12,
      upstream_service_time: 12,
      x_forwarded_for: '10.9.8.7',
      user_agent: 'curl/8.5.0',
      request_id: '6f1d5c2e-0000-4000-8000-000000000001',
      authority: 'reviews:80',
      upstream_host: '10.0.0.2:8080',
      upstream_cluster: 'inbound-vip|80|http|reviews.default.svc.cluster.local',
      upstream_local_address: null,
      downstream_local_address: '240.0.0.1:80',
      downstream_remote_address: '10.0.0.1:4000',
      requested_server_name: null,
      route_name: 'HTTPRoute/default/reviews/0',
      downstream_peer_uri_san: 'spiffe://cluster.local/ns/default/sa/client',
      trace_id: 'a'.repeat(32),
    });
  });

  test('has null for what there is not', () => {
    const line = JSON.parse(written(jsonLine, EMPTY)) as Record<string, unknown>;
    expect(line).toMatchObject({ upstream_service_time: null, user_agent: null, upstream_host: null, response_flags: '-', trace_id: null });
  });

  test('gives back whatever came from outside', () => {
    fc.assert(
      fc.property(hostile, hostile, hostile, (path, userAgent, failure) => {
        const text = written(jsonLine, entry({ path: `/${path}`, userAgent, failure }));
        expect(text.indexOf('\n')).toBe(text.length - 1);
        const line = JSON.parse(text) as Record<string, unknown>;
        expect(line).toMatchObject({ path: `/${path}`, user_agent: userAgent || null, upstream_transport_failure_reason: failure || null });
      }),
    );
  });
});

describe('a log', () => {
  test('writes its lines in order, however little the reader takes', () => {
    const taken: Uint8Array[] = [];
    let isBusy = false;
    const log = new AccessLog('text', (bytes) => {
      isBusy = !isBusy;
      if (isBusy) throw Object.assign(new Error('full'), { code: 'EAGAIN' });
      taken.push(bytes.slice(0, 100));
      return Math.min(bytes.length, 100);
    });
    for (let i = 0; i < 20; i++) log.write(entry({ path: `/${i}` }));
    for (let i = 0; i < 500; i++) log.flush();
    const lines = Buffer.concat(taken).toString().trimEnd().split('\n');
    expect(lines.map((line) => takeApart(`${line}\n`)?.['PATH'])).toEqual(Array.from({ length: 20 }, (_, i) => `/${i}`));
    expect(log.lost).toBe(0);
  });

  test('loses and counts what a reader that takes nothing leaves no room for', () => {
    const log = new AccessLog('text', () => 0);
    const path = `/${'x'.repeat(100_000)}`;
    for (let i = 0; i < 100; i++) log.write(entry({ path }));
    expect(log.lost).toBeGreaterThan(50);
    expect(log.lost).toBeLessThan(70);
  });

  test('that is turned off writes nothing', () => {
    let calls = 0;
    const log = new AccessLog('none', () => ++calls);
    log.write(entry());
    log.flush();
    expect(calls).toBe(0);
  });
});
