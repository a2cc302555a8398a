import { expect, test } from 'bun:test';
import { type DestinationRule, DestinationRuleKind, type LoadBalancerSettings, type TrafficPolicy } from './index.ts';

const rule = (spec: Partial<DestinationRule['spec']>): DestinationRule => ({
  metadata: { name: 'd', namespace: 'bookinfo' },
  spec: { host: 'reviews', ...spec },
});
const wrongFields = (spec: Partial<DestinationRule['spec']>): string[] =>
  DestinationRuleKind.validate(rule(spec)).map((problem) => problem.field);

const TP = 'spec.trafficPolicy';
const everything: TrafficPolicy = {
  loadBalancer: {
    consistentHash: { httpHeaderName: 'x-user', maglev: { tableSize: 65537 } },
    warmup: { duration: '30s', aggression: 1.5 },
  },
  connectionPool: {
    tcp: { maxConnections: 10, connectTimeout: '30ms', idleTimeout: '0s', tcpKeepalive: { time: '7200s', interval: '75s' } },
    http: { http2MaxRequests: 100, http2KeepAlive: { interval: '10s', timeout: '1s' } },
  },
  outlierDetection: { consecutive5xxErrors: 7, interval: '5m', baseEjectionTime: '15m', maxEjectionPercent: 100 },
  tls: { mode: 'ISTIO_MUTUAL' },
  portLevelSettings: [{ port: { number: 80 }, loadBalancer: { simple: 'ROUND_ROBIN' } }],
};

test.each<[string, TrafficPolicy, string[]]>([
  ['much in it', everything, []],
  ['nothing in it', {}, [TP]],
  ['tunnel and PROXY protocol', { tunnel: { targetHost: 'a', targetPort: 1 }, proxyProtocol: {} }, [`${TP}.proxyProtocol`]],
  [
    'a bad tunnel',
    { tunnel: { protocol: 'GET', targetHost: 'a_', targetPort: 0 } },
    ['protocol', 'targetHost', 'targetPort'].map((f) => `${TP}.tunnel.${f}`),
  ],
  ['a port that is none', { portLevelSettings: [{ port: { number: 0 }, tls: {} }] }, [`${TP}.portLevelSettings[0].port.number`]],
  ['a port without settings', { portLevelSettings: [{ port: { number: 1 } }] }, [`${TP}.portLevelSettings[0]`]],
  ['settings without a port', { portLevelSettings: [{ tls: {} }] }, [`${TP}.portLevelSettings[0].port`]],
  ['an empty pool', { connectionPool: {} }, [`${TP}.connectionPool`]],
  ['a negative limit', { connectionPool: { http: { maxRetries: -1 } } }, [`${TP}.connectionPool.http.maxRetries`]],
  [
    'half a keepalive',
    { connectionPool: { http: { http2KeepAlive: { interval: '1s' } } } },
    [`${TP}.connectionPool.http.http2KeepAlive.timeout`],
  ],
  [
    'an upgrade and the protocol of the client',
    { connectionPool: { http: { h2UpgradePolicy: 'UPGRADE', useClientProtocol: true } } },
    [`${TP}.connectionPool.http.useClientProtocol`],
  ],
  ['a bad timeout', { connectionPool: { tcp: { connectTimeout: '0s' } } }, [`${TP}.connectionPool.tcp.connectTimeout`]],
  ['too large a share', { outlierDetection: { maxEjectionPercent: 101 } }, [`${TP}.outlierDetection.maxEjectionPercent`]],
  [
    'local errors that are not split off',
    { outlierDetection: { consecutiveLocalOriginFailures: 1 } },
    [`${TP}.outlierDetection.consecutiveLocalOriginFailures`],
  ],
  ['mutual TLS without a certificate', { tls: { mode: 'MUTUAL' } }, [`${TP}.tls.clientCertificate`, `${TP}.tls.privateKey`]],
  ['mutual TLS with a credential', { tls: { mode: 'MUTUAL', credentialName: 'c' } }, []],
  ['a credential and a file', { tls: { mode: 'SIMPLE', credentialName: 'c', caCertificates: 'f' } }, [`${TP}.tls.caCertificates`]],
  [
    'verification against nothing',
    { tls: { mode: 'SIMPLE', insecureSkipVerify: true, caCertificates: 'f' } },
    [`${TP}.tls.caCertificates`],
  ],
])('a traffic policy with %s', (_title, trafficPolicy, expected) => {
  expect(wrongFields({ trafficPolicy })).toEqual(expected);
  const inSubset = expected.map((field) => field.replace(TP, 'spec.subsets[0].trafficPolicy'));
  expect(wrongFields({ subsets: [{ name: 'v1', trafficPolicy }] })).toEqual(inSubset);
});

const LB = `${TP}.loadBalancer`;
test.each<[string, LoadBalancerSettings, string[]]>([
  ['a table that is not prime', { consistentHash: { maglev: { tableSize: 65536 } } }, [`${LB}.consistentHash.maglev.tableSize`]],
  ['a table too large', { consistentHash: { maglev: { tableSize: 5_000_011 } } }, [`${LB}.consistentHash.maglev.tableSize`]],
  [
    'two ring sizes',
    { consistentHash: { minimumRingSize: 9, ringHash: { minimumRingSize: 9 } } },
    [`${LB}.consistentHash.minimumRingSize`],
  ],
  [
    'an attribute twice',
    { consistentHash: { httpCookie: { name: 'c', ttl: '0s', attributes: [{ name: 'a' }, { name: 'a' }] } } },
    [`${LB}.consistentHash.httpCookie.attributes[1].name`],
  ],
  ['no aggression', { warmup: { duration: '1s', aggression: 0 } }, [`${LB}.warmup.aggression`]],
  ['a bad warm-up', { warmupDurationSecs: 'soon' }, [`${LB}.warmupDurationSecs`]],
  ['two settings of locality', { localityLbSetting: {}, zoneAwareLbSetting: {} }, [`${LB}.zoneAwareLbSetting`]],
  ['shares', { localityLbSetting: { distribute: [{ from: 'a/b/*', to: { 'a/b/*': 80, 'a/c/*': 20 } }] } }, []],
  [
    'shares that are too few',
    { localityLbSetting: { distribute: [{ from: 'a/*', to: { b: 99 } }] } },
    [`${LB}.localityLbSetting.distribute[0].to`],
  ],
  [
    'a star in the middle',
    { localityLbSetting: { distribute: [{ from: 'a/*/c', to: { b: 100 } }] } },
    [`${LB}.localityLbSetting.distribute`],
  ],
  [
    'a place within another',
    { localityLbSetting: { distribute: [{ from: 'a', to: { 'b/*': 50, 'b/c': 50 } }] } },
    [`${LB}.localityLbSetting.distribute[0].to`],
  ],
  ['failover to itself', { localityLbSetting: { failover: [{ from: 'a', to: 'a' }] } }, [`${LB}.localityLbSetting.failover[0]`]],
  ['failover of zones', { zoneAwareLbSetting: { failover: [{ from: 'a/b', to: 'c' }] } }, [`${LB}.zoneAwareLbSetting.failover[0]`]],
  [
    'shares and failover',
    { localityLbSetting: { distribute: [{ from: 'a', to: { b: 100 } }], failover: [{ from: 'a', to: 'b' }] } },
    [`${LB}.localityLbSetting.failover`],
  ],
  [
    'failover twice over',
    { localityLbSetting: { failover: [{ from: 'a', to: 'b' }], failoverPriority: ['topology.kubernetes.io/region'] } },
    [`${LB}.localityLbSetting.failoverPriority`],
  ],
])('a balancer with %s', (_title, loadBalancer, expected) => {
  expect(wrongFields({ trafficPolicy: { loadBalancer } })).toEqual(expected);
});

test.each<[string, Partial<DestinationRule['spec']>, string[]]>([
  ['a wildcard host', { host: '*.local' }, []],
  ['no host', { host: '' }, ['spec.host']],
  ['a subset twice', { subsets: [{ name: 'v1' }, { name: 'v1' }] }, ['spec.subsets[1].name']],
  ['a bad subset', { subsets: [{ name: 'v_1', labels: { a: 'b c' } }] }, ['spec.subsets[0].name', 'spec.subsets[0].labels']],
  ['a selector, exported', { workloadSelector: { matchLabels: { a: 'b' } }, exportTo: ['*'] }, ['spec.exportTo']],
  ['a selector with a wildcard', { workloadSelector: { matchLabels: { a: '*' } }, exportTo: ['.'] }, ['spec.workloadSelector.matchLabels']],
])('a DestinationRule with %s', (_title, spec, expected) => {
  expect(wrongFields(spec)).toEqual(expected);
});
