import { expect, setDefaultTimeout, test } from 'bun:test';
import fc from 'fast-check';
import type { HeaderList } from '../http2/types.ts';
import { type Authority, formatAuthority, parseAuthority } from './authority.ts';
import { type Baggage, encodeBaggage, MAX_BAGGAGE_VALUE, parseBaggage } from './baggage.ts';
import { buildConnectRequest, buildConnectResponse, parseConnectRequest, responseBaggage, responseStatus } from './connect.ts';
import { encodeForwarded, parseForwardedHost } from './forwarded.ts';
import { formatIp, parseIp } from './ip.ts';
import { encodeProxyHeader, encodeProxyLine } from './proxy-protocol.ts';
import { makeTraceparent, parseTraceparent } from './traceparent.ts';

// The machine may be busy with other things; no test here measures time.
setDefaultTimeout(60_000);

const authorityOf = (text: string): Authority | string => {
  const result = parseAuthority(text);
  return result.ok ? result.value : result.error;
};

const GOOD: readonly (readonly [text: string, authority: Authority, canonical?: string])[] = [
  ['10.0.0.1:80', { kind: 'ip', address: '10.0.0.1', port: 80 }],
  ['[fd00::1]:15008', { kind: 'ip', address: 'fd00::1', port: 15_008 }],
  ['[FD00:0:0:0::0001]:1', { kind: 'ip', address: 'fd00::1', port: 1 }, '[fd00::1]:1'],
  ['[::ffff:10.0.0.1]:80', { kind: 'ip', address: '::ffff:10.0.0.1', port: 80 }],
  ['[::]:65535', { kind: 'ip', address: '::', port: 65_535 }],
  ['web.default.svc.cluster.local:8080', { kind: 'hostname', hostname: 'web.default.svc.cluster.local', port: 8080 }],
  ['Web.Default:1', { kind: 'hostname', hostname: 'web.default', port: 1 }, 'web.default:1'],
  ['a_b.example:80', { kind: 'hostname', hostname: 'a_b.example', port: 80 }],
];
for (const [text, authority, canonical = text] of GOOD) {
  test(`takes the authority ${text}`, () => {
    expect(authorityOf(text)).toEqual(authority);
    expect(formatAuthority(authority)).toBe(canonical);
  });
}

const BAD: readonly string[] = [
  '', ':', ':80', '10.0.0.1', '10.0.0.1:', '10.0.0.1:0', '10.0.0.1:65536', '10.0.0.1:080', '10.0.0.1:+80', '10.0.0.1:8 0', '10.0.0.01:80', '10.0.0.256:80', '10.0.0:80',
  '10.0.0.1.2:80', '1:80', '0x7f.1:80', 'fd00::1:80', '[fd00::1]', '[fd00::1]80', '[fd00::1%eth0]:80', '[fd00::1::2]:80', '[10.0.0.1]:80', '[]:80', '[1:2:3:4:5:6:7]:80',
  '[1:2:3:4:5:6:7:8:9]:80', '[12345::]:80', '[::1.2.3.4:1]:80', '[::1', 'web..local:80', '-web.local:80', 'web-.local:80', 'web.local.:80', 'me@web:80', 'we b:80', 'wéb:80',
  'http://web:80', `${'a'.repeat(64)}.b:80`, `${'a.'.repeat(130)}b:80`,
]; // biome-ignore format: a plain list
for (const text of BAD) test(`refuses the authority ${JSON.stringify(text.slice(0, 40))}`, () => expect(authorityOf(text)).toBeString());

test('any address is its own inverse as text and octets', () => {
  const octets = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 }).map((all) => Uint8Array.from(all)),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  );
  fc.assert(
    fc.property(octets, (address) => {
      const text = formatIp(address);
      expect(parseIp(text)).toEqual(address);
      expect(authorityOf(formatAuthority({ kind: 'ip', address: text, port: 80 }))).toEqual({ kind: 'ip', address: text, port: 80 });
    }),
    { numRuns: 1000 },
  );
});

test('IPv6 text follows RFC 5952: the longest run of zeros, never one group alone', () => {
  const canonical = (text: string): string => formatIp(parseIp(text)!);
  expect(canonical('2001:db8:0:0:1:0:0:1')).toBe('2001:db8::1:0:0:1');
  expect(canonical('2001:db8:0:1:1:1:1:1')).toBe('2001:db8:0:1:1:1:1:1');
  expect(canonical('1:0:0:2:0:0:0:3')).toBe('1:0:0:2::3');
  expect(canonical('0:0:0:0:0:0:0:1')).toBe('::1');
  expect(canonical('1::')).toBe('1::');
});

const FULL: Baggage = {
  clusterId: 'Kubernetes',
  namespace: 'ai-inference',
  workloadType: 'deployment',
  workloadName: 'inference-api-v1',
  serviceName: 'inference-api',
  serviceVersion: 'v1',
  region: 'eu-west',
  zone: 'eu-west-1a',
};
const FULL_TEXT =
  'k8s.cluster.name=Kubernetes,k8s.namespace.name=ai-inference,k8s.deployment.name=inference-api-v1,service.name=inference-api,service.version=v1,cloud.region=eu-west,cloud.availability_zone=eu-west-1a';

test('writes and reads baggage in ztunnel’s form', () => {
  expect(encodeBaggage(FULL)).toBe(FULL_TEXT);
  expect(parseBaggage(FULL_TEXT)).toEqual(FULL);
  expect(encodeBaggage({})).toBe('');
  expect(encodeBaggage({ workloadType: 'job', workloadName: 'train' })).toBe('k8s.job.name=train');
});

test('ignores unknown baggage keys and empty values, and lets the last of a repeated key win', () => {
  expect(parseBaggage('x=y, service.name = a ,service.name=b,service.version=,junk,=,k8s.pod.name=p')).toEqual({
    serviceName: 'b',
    workloadType: 'pod',
    workloadName: 'p',
  });
  expect(parseBaggage('')).toEqual({});
});

test('never sends a baggage value that would break the list or the header', () => {
  expect(encodeBaggage({ clusterId: 'a,b', namespace: 'c=d', serviceName: 'e\r\nf', serviceVersion: '', region: 'ok' })).toBe(
    'cloud.region=ok',
  );
});

test('baggage decodes to what was encoded, and decoding never throws', () => {
  const word = fc.option(fc.string({ unit: fc.constantFrom(...'abcXYZ019-._/:+'), minLength: 1, maxLength: 20 }), { nil: undefined });
  const workload = fc.option(
    fc.record({ workloadType: fc.constantFrom('deployment', 'cronjob', 'pod', 'job'), workloadName: fc.constantFrom('a', 'b-1') }),
    { nil: {} },
  );
  const baggage = fc.tuple(
    workload,
    fc.record({ clusterId: word, namespace: word, serviceName: word, serviceVersion: word, region: word, zone: word }),
  );
  fc.assert(
    fc.property(baggage, fc.string(), (parts, junk) => {
      const known = Object.fromEntries(Object.entries({ ...parts[0], ...parts[1] }).filter(([, value]) => value !== undefined)) as Baggage;
      expect(parseBaggage(encodeBaggage(known))).toEqual(known);
      expect(parseBaggage(junk)).toBeObject();
    }),
  );
});

test('writes forwarded with the source in quotes, and reads only its host', () => {
  expect(encodeForwarded('10.0.0.1', 4_000)).toBe('for="10.0.0.1:4000"');
  expect(encodeForwarded('fd00::1', 1, 'web.default.svc.cluster.local')).toBe('for="[fd00::1]:1";host=web.default.svc.cluster.local');
  expect(parseForwardedHost('for="10.0.0.1:4000";host=web.local')).toBe('web.local');
  expect(parseForwardedHost('Host="web.local"; for=x')).toBe('web.local');
  for (const text of ['for="10.0.0.1:4000"', '', 'host=', 'hosts=a', ';;==']) expect(parseForwardedHost(text)).toBeUndefined();
});

test('makes a traceparent of random octets that its parser takes', () => {
  const random = Uint8Array.from({ length: 24 }, (_, at) => at + 1);
  const text = makeTraceparent(random);
  expect(text).toBe('00-0102030405060708090a0b0c0d0e0f10-1112131415161718-00');
  expect(text.length).toBe(55);
  expect(parseTraceparent(text)).toEqual({ traceId: '0102030405060708090a0b0c0d0e0f10', spanId: '1112131415161718', flags: 0 });
  expect(() => makeTraceparent(random.subarray(1))).toThrow(RangeError);
});

test('takes no traceparent but a valid one', () => {
  const a = 'a'.repeat(32);
  const b = 'b'.repeat(16);
  for (const text of [
    '',
    `ff-${a}-${b}-00`,
    `01-${a}-${b}-000`,
    `00-${a}-${b}-00-what-comes-later`,
    `0-${a}-${b}-00`,
    `00-${'0'.repeat(32)}-${b}-00`,
    `00-${a}-${'0'.repeat(16)}-00`,
    `00-${a.toUpperCase()}-${b}-00`,
    `00-${a}-${b}-00 `,
    `00-${a}-${b}-0`,
  ]) {
    expect(parseTraceparent(text)).toBeUndefined();
  }
});

test('reads what it knows of a traceparent of a later version', () => {
  const read = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), flags: 9 };
  const text = `cc-${read.traceId}-${read.spanId}-09`;
  expect(parseTraceparent(text)).toEqual(read);
  expect(parseTraceparent(`${text}-what-comes-later`)).toEqual(read);
  expect(parseTraceparent(`${text}.`)).toBeUndefined();
});

const TARGET: Authority = { kind: 'ip', address: '10.244.1.7', port: 8080 };

test('builds a CONNECT without :scheme and :path, and reads it back', () => {
  const traceparent = makeTraceparent(new Uint8Array(24).fill(7));
  const headers = buildConnectRequest({
    authority: formatAuthority(TARGET),
    baggage: encodeBaggage(FULL),
    forwarded: encodeForwarded('10.244.0.3', 41_000, 'web.local'),
    traceparent,
    network: 'net-1',
  });
  expect(headers.map(([name]) => name)).toEqual([':method', ':authority', 'baggage', 'forwarded', 'traceparent', 'x-forwarded-network']);
  expect(parseConnectRequest(headers)).toEqual({
    ok: true,
    value: { authority: TARGET, baggage: FULL, forwardedHost: 'web.local', traceparent, network: 'net-1' },
  });
  expect(buildConnectRequest({ authority: '10.244.1.7:8080', baggage: '' })).toEqual([
    [':method', 'CONNECT'],
    [':authority', '10.244.1.7:8080'],
  ]);
});

test('refuses other methods and missing or broken authorities with 400, and says why', () => {
  const refused: readonly (readonly [headers: HeaderList, rule: 'bad-method' | 'bad-authority', reason: string])[] = [
    [
      [
        [':method', 'GET'],
        [':authority', '10.0.0.1:80'],
      ],
      'bad-method',
      'expected method CONNECT, got GET',
    ],
    [[], 'bad-method', 'expected method CONNECT, got none'],
    [[[':method', 'CONNECT']], 'bad-authority', 'the request has no :authority'],
    [
      [
        [':method', 'CONNECT'],
        [':authority', 'web'],
      ],
      'bad-authority',
      'authority "web": it has no port',
    ],
  ];
  for (const [headers, rule, reason] of refused)
    expect(parseConnectRequest(headers)).toEqual({ ok: false, error: { status: 400, rule, reason } });
});

test('an invalid traceparent is left out, and several baggage headers count as one', () => {
  const parsed = parseConnectRequest([
    ...buildConnectRequest({ authority: formatAuthority(TARGET), baggage: '' }),
    ['traceparent', 'junk'],
    ['baggage', 'service.name=a'],
    ['baggage', 'cloud.region=r'],
  ]);
  expect(parsed).toEqual({ ok: true, value: { authority: TARGET, baggage: { serviceName: 'a', region: 'r' } } });
});

test('the answer carries baggage only when there is some', () => {
  expect(buildConnectResponse('')).toEqual([[':status', '200']]);
  const answer = buildConnectResponse('service.name=a');
  expect(answer).toEqual([
    [':status', '200'],
    ['baggage', 'service.name=a'],
  ]);
  expect(responseBaggage(answer)).toEqual({ serviceName: 'a' });
  expect(responseBaggage(buildConnectResponse(''))).toBeUndefined();
  expect(responseStatus([[':status', '503']])).toBe(503);
  expect(responseStatus([])).toBe(0);
});

test('writes a PROXY v2 header with the identity of the client', () => {
  const header = encodeProxyHeader({
    source: { address: '10.0.0.1', port: 258 },
    destination: { address: '10.0.0.2', port: 80 },
    identity: 'spiffe://a/ns/b/sa/c',
  });
  expect(header.subarray(0, 16).toHex()).toBe('0d0a0d0a000d0a515549540a21110023');
  expect(header.subarray(16, 28).toHex()).toBe('0a0000010a00000201020050');
  expect(header.subarray(28, 31).toHex()).toBe('d00014');
  expect(new TextDecoder().decode(header.subarray(31))).toBe('spiffe://a/ns/b/sa/c');
});

test('writes IPv6 PROXY headers, and maps the IPv4 side of a mixed pair', () => {
  const plain = encodeProxyHeader({ source: { address: 'fd00::1', port: 1 }, destination: { address: 'fd00::2', port: 2 } });
  expect(plain.subarray(12).toHex()).toBe('21210024fd000000000000000000000000000001fd00000000000000000000000000000200010002');
  const mixed = encodeProxyHeader({ source: { address: '10.0.0.1', port: 1 }, destination: { address: 'fd00::2', port: 2 } });
  expect(mixed.subarray(16, 32).toHex()).toBe('00000000000000000000ffff0a000001');
  expect(() => encodeProxyHeader({ source: { address: 'web', port: 1 }, destination: { address: 'fd00::2', port: 2 } })).toThrow(
    '"web" is not an IP address',
  );
});

test('writes PROXY lines of version 1, both addresses of one family', () => {
  const text = (source: string, destination: string): string =>
    new TextDecoder().decode(
      encodeProxyLine({ source: { address: source, port: 56_324 }, destination: { address: destination, port: 443 } }),
    );
  expect(text('192.168.0.1', '192.168.0.11')).toBe('PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n');
  expect(text('fd00::1', 'fd00::2')).toBe('PROXY TCP6 fd00::1 fd00::2 56324 443\r\n');
  expect(text('10.0.0.1', 'fd00::2')).toBe('PROXY TCP6 ::ffff:10.0.0.1 fd00::2 56324 443\r\n');
  expect(() => text('10.0.0.1', 'web')).toThrow('"web" is not an IP address');
});

test('no parser throws on garbage', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'[]:.0123456789abcdef%-=;,"hostfr') }), (text) => {
      parseIp(text);
      parseAuthority(text);
      parseForwardedHost(text);
      parseTraceparent(text);
      parseConnectRequest([
        [':method', 'CONNECT'],
        [':authority', text],
      ]);
    }),
    { numRuns: 2000 },
  );
});

test('a value of baggage longer than any name is as if it were not there', () => {
  const longest = 'x'.repeat(MAX_BAGGAGE_VALUE);
  expect(parseBaggage(`k8s.pod.name=${longest},service.name=${longest}y`)).toEqual({ workloadName: longest, workloadType: 'pod' });
});
