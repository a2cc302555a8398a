import { describe, expect, test } from 'bun:test';
import type { BackendPolicy } from '../plan.ts';
import type { IstioTrafficPolicy } from './destination-rule-object.ts';
import { destinationRule, meshOf, service } from './test-mesh.ts';

const reviews = service('reviews');
const compile = (trafficPolicy: IstioTrafficPolicy) => {
  const mesh = meshOf({ services: [reviews], destinationRules: [destinationRule({ host: 'reviews', trafficPolicy })] });
  return { ...mesh.rules[0]!, policyOfService: mesh.planOf(reviews).policy };
};

const HASH = { httpHeaderName: 'X-User' };
const header = { kind: 'header', name: 'x-user' } as const;
const OUTLIER = {
  interval: 10_000,
  baseEjectionTime: 30_000,
  maxEjectionPercent: 10,
  minHealthPercent: 0,
  splitExternalLocalOrigin: false,
};

describe('parts of a traffic policy', () => {
  const cases: [string, IstioTrafficPolicy, BackendPolicy][] = [
    ['nothing', {}, {}],
    ['least request', { loadBalancer: { simple: 'LEAST_REQUEST' } }, { loadBalancer: { kind: 'least-request' } }],
    ['its older name', { loadBalancer: { simple: 'LEAST_CONN' } }, { loadBalancer: { kind: 'least-request' } }],
    ['unspecified', { loadBalancer: { simple: 'UNSPECIFIED' } }, { loadBalancer: { kind: 'least-request' } }],
    ['round robin', { loadBalancer: { simple: 'ROUND_ROBIN' } }, { loadBalancer: { kind: 'round-robin' } }],
    ['random', { loadBalancer: { simple: 'RANDOM' } }, { loadBalancer: { kind: 'random' } }],
    [
      'a hash of a header',
      { loadBalancer: { consistentHash: HASH } },
      { loadBalancer: { kind: 'ring-hash', hash: header, minimumRingSize: 1024 } },
    ],
    [
      'a ring of a size',
      { loadBalancer: { consistentHash: { ...HASH, ringHash: { minimumRingSize: 7 } } } },
      { loadBalancer: { kind: 'ring-hash', hash: header, minimumRingSize: 7 } },
    ],
    [
      'the older size',
      { loadBalancer: { consistentHash: { ...HASH, minimumRingSize: 9 } } },
      { loadBalancer: { kind: 'ring-hash', hash: header, minimumRingSize: 9 } },
    ],
    [
      'maglev',
      { loadBalancer: { consistentHash: { ...HASH, maglev: {} } } },
      { loadBalancer: { kind: 'maglev', hash: header, tableSize: 65_537 } },
    ],
    [
      'maglev of a size, on a cookie',
      { loadBalancer: { consistentHash: { httpCookie: { name: 'u', path: '/', ttl: '0s' }, maglev: { tableSize: 101 } } } },
      { loadBalancer: { kind: 'maglev', hash: { kind: 'cookie', name: 'u', path: '/', ttl: 0 }, tableSize: 101 } },
    ],
    [
      'on a query parameter',
      { loadBalancer: { consistentHash: { httpQueryParameterName: 'Q' } } },
      { loadBalancer: { kind: 'ring-hash', hash: { kind: 'query', name: 'Q' }, minimumRingSize: 1024 } },
    ],
    [
      'on the source address',
      { loadBalancer: { consistentHash: { useSourceIp: true } } },
      { loadBalancer: { kind: 'ring-hash', hash: { kind: 'source-ip' }, minimumRingSize: 1024 } },
    ],
    [
      'locality',
      { loadBalancer: { localityLbSetting: { distribute: [{ from: 'a/*', to: { 'a/1/*': 80, 'b/*': 20 } }] } } },
      {
        locality: {
          isEnabled: true,
          distribute: [
            {
              from: 'a/*',
              to: [
                { locality: 'a/1/*', weight: 80 },
                { locality: 'b/*', weight: 20 },
              ],
            },
          ],
        },
      },
    ],
    [
      'locality failover, switched off',
      { loadBalancer: { localityLbSetting: { enabled: false, failover: [{ from: 'a', to: 'b' }], failoverPriority: ['x=y'] } } },
      { locality: { isEnabled: false, failover: [{ from: 'a', to: 'b' }], failoverPriority: ['x=y'] } },
    ],
    ['warm-up', { loadBalancer: { warmupDurationSecs: '2m' } }, { warmup: { duration: 120_000, minimumPercent: 10, aggression: 1 } }],
    [
      'warm-up in full',
      { loadBalancer: { simple: 'ROUND_ROBIN', warmup: { duration: '1s', minimumPercent: 0, aggression: 2.5 } } },
      { loadBalancer: { kind: 'round-robin' }, warmup: { duration: 1000, minimumPercent: 0, aggression: 2.5 } },
    ],
    [
      'connection pools',
      {
        connectionPool: {
          tcp: { maxConnections: 1, connectTimeout: '2s', maxConnectionDuration: '3s', idleTimeout: '4s' },
          http: {
            http1MaxPendingRequests: 5,
            http2MaxRequests: 6,
            maxRequestsPerConnection: 7,
            maxRetries: 8,
            idleTimeout: '9s',
            h2UpgradePolicy: 'UPGRADE',
            useClientProtocol: true,
            maxConcurrentStreams: 10,
          },
        },
      },
      {
        connectionPool: {
          maxConnections: 1,
          connectTimeout: 2000,
          tcpIdleTimeout: 4000,
          maxConnectionDuration: 3000,
          maxPendingRequests: 5,
          maxRequests: 6,
          maxRequestsPerConnection: 7,
          maxRetries: 8,
          idleTimeout: 9000,
          maxConcurrentStreams: 10,
          useClientProtocol: true,
          h2Upgrade: true,
        },
      },
    ],
    [
      'the idle time of TCP is that of HTTP where it has none; 0 is unset',
      { connectionPool: { tcp: { idleTimeout: '4s', maxConnections: 0 }, http: { h2UpgradePolicy: 'DO_NOT_UPGRADE' } } },
      { connectionPool: { tcpIdleTimeout: 4000, idleTimeout: 4000, h2Upgrade: false } },
    ],
    ["outlier detection with Istio's defaults", { outlierDetection: {} }, { outlier: { consecutive5xx: 5, ...OUTLIER } }],
    [
      'outlier detection in full; 0 turns a detector off',
      {
        outlierDetection: {
          consecutive5xxErrors: 0,
          consecutiveGatewayErrors: 3,
          splitExternalLocalOriginErrors: true,
          consecutiveLocalOriginFailures: 2,
          interval: '1s',
          baseEjectionTime: '2s',
          maxEjectionPercent: 100,
          minHealthPercent: 50,
        },
      },
      {
        outlier: {
          consecutiveGatewayErrors: 3,
          consecutiveLocalOriginFailures: 2,
          splitExternalLocalOrigin: true,
          interval: 1000,
          baseEjectionTime: 2000,
          maxEjectionPercent: 100,
          minHealthPercent: 50,
        },
      },
    ],
    [
      'local failures have a default once they are told apart',
      { outlierDetection: { splitExternalLocalOriginErrors: true } },
      { outlier: { consecutive5xx: 5, consecutiveLocalOriginFailures: 5, ...OUTLIER, splitExternalLocalOrigin: true } },
    ],
    ['no TLS', { tls: { mode: 'DISABLE' } }, { tls: { mode: 'disable' } }],
    ["the mesh's TLS", { tls: { mode: 'ISTIO_MUTUAL', sni: 'a' } }, { tls: { mode: 'mesh', sni: 'a' } }],
    [
      'simple TLS',
      { tls: { mode: 'SIMPLE', caCertificates: '/ca', subjectAltNames: ['a'], insecureSkipVerify: true } },
      { tls: { mode: 'simple', caCertificates: '/ca', subjectAltNames: ['a'], insecureSkipVerify: true } },
    ],
    ['mutual TLS from a secret', { tls: { mode: 'MUTUAL', credentialName: 's' } }, { tls: { mode: 'mutual', credentialName: 's' } }],
    [
      'mutual TLS from files',
      { tls: { mode: 'MUTUAL', clientCertificate: '/c', privateKey: '/k' } },
      { tls: { mode: 'mutual', clientCertificate: '/c', privateKey: '/k' } },
    ],
    ['the PROXY protocol', { proxyProtocol: {} }, { proxyProtocol: 1 }],
    ['its second version', { proxyProtocol: { version: 'V2' } }, { proxyProtocol: 2 }],
    [
      'settings of a port, which inherit nothing',
      {
        loadBalancer: { simple: 'RANDOM' },
        portLevelSettings: [
          { port: { number: 90 }, tls: { mode: 'SIMPLE' } },
          { port: { number: 80 }, loadBalancer: { simple: 'ROUND_ROBIN' } },
        ],
      },
      {
        loadBalancer: { kind: 'random' },
        ports: [
          { port: 80, policy: { loadBalancer: { kind: 'round-robin' } } },
          { port: 90, policy: { tls: { mode: 'simple' } } },
        ],
      },
    ],
  ];
  test.each(cases)('%s', (_, written, expected) => {
    const { policyOfService, problems } = compile(written);
    expect([policyOfService, problems]).toEqual([expected, []]);
  });

  const unsupported: [string, IstioTrafficPolicy, string, BackendPolicy][] = [
    ['passing through', { loadBalancer: { simple: 'PASSTHROUGH' } }, 'loadBalancer.simple', {}],
    ['awareness of zones', { loadBalancer: { zoneAwareLbSetting: {} } }, 'loadBalancer.zoneAwareLbSetting', {}],
    [
      'attributes of cookies',
      { loadBalancer: { consistentHash: { httpCookie: { name: 'u', attributes: [{ name: 'Secure' }] } } } },
      'loadBalancer.consistentHash.httpCookie.attributes',
      { loadBalancer: { kind: 'ring-hash', hash: { kind: 'cookie', name: 'u' }, minimumRingSize: 1024 } },
    ],
    [
      'warm-up at random',
      { loadBalancer: { simple: 'RANDOM', warmupDurationSecs: '1s' } },
      'loadBalancer',
      { loadBalancer: { kind: 'random' } },
    ],
    [
      'keepalive of TCP',
      { connectionPool: { tcp: { tcpKeepalive: { probes: 1 } } } },
      'connectionPool.tcp.tcpKeepalive',
      { connectionPool: {} },
    ],
    [
      'keepalive of HTTP/2',
      { connectionPool: { http: { http2KeepAlive: {} } } },
      'connectionPool.http.http2KeepAlive',
      { connectionPool: {} },
    ],
    [
      'errors of old',
      { outlierDetection: { consecutiveErrors: 3 } },
      'outlierDetection.consecutiveErrors',
      { outlier: { consecutive5xx: 5, ...OUTLIER } },
    ],
    [
      'other statuses as errors',
      { outlierDetection: { outlierDetectionHttpErrorCodes: [429] } },
      'outlierDetection.outlierDetectionHttpErrorCodes',
      { outlier: { consecutive5xx: 5, ...OUTLIER } },
    ],
    ['tunnels through a proxy', { tunnel: { targetHost: 'a', targetPort: 1 } }, 'tunnel', {}],
    ['budgets for retries', { retryBudget: { percent: 20 } }, 'retryBudget', {}],
  ];
  test.each(unsupported)('%s: left out and reported', (_, written, path, expected) => {
    const { policyOfService, problems, condition, isRefused } = compile(written);
    expect([policyOfService, isRefused]).toEqual([expected, false]);
    expect(problems).toMatchObject([{ kind: 'unsupported', path: `spec.trafficPolicy.${path}` }]);
    expect(condition).toMatchObject({ status: 'True', reason: 'UnsupportedValue' });
  });

  const invalid: [string, IstioTrafficPolicy, string][] = [
    ['an unknown balancer', { loadBalancer: { simple: 'BEST' } }, 'loadBalancer.simple'],
    ['a name of Object.prototype', { loadBalancer: { simple: 'constructor' } }, 'loadBalancer.simple'],
    ['two balancers', { loadBalancer: { simple: 'RANDOM', consistentHash: HASH } }, 'loadBalancer'],
    ['a hash of nothing', { loadBalancer: { consistentHash: {} } }, 'loadBalancer.consistentHash'],
    ['a hash of two', { loadBalancer: { consistentHash: { ...HASH, useSourceIp: true } } }, 'loadBalancer.consistentHash'],
    ['two algorithms', { loadBalancer: { consistentHash: { ...HASH, ringHash: {}, maglev: {} } } }, 'loadBalancer.consistentHash'],
    [
      'a table that is not prime',
      { loadBalancer: { consistentHash: { ...HASH, maglev: { tableSize: 100 } } } },
      'loadBalancer.consistentHash.maglev.tableSize',
    ],
    [
      'a ring too large',
      { loadBalancer: { consistentHash: { ...HASH, ringHash: { minimumRingSize: 1e9 } } } },
      'loadBalancer.consistentHash.ringHash.minimumRingSize',
    ],
    [
      'shares that do not make 100',
      { loadBalancer: { localityLbSetting: { distribute: [{ from: 'a', to: { b: 1 } }] } } },
      'loadBalancer.localityLbSetting.distribute[0].to',
    ],
    [
      'failover to itself',
      { loadBalancer: { localityLbSetting: { failover: [{ from: 'a', to: 'a' }] } } },
      'loadBalancer.localityLbSetting.failover[0]',
    ],
    [
      'shares beside failover',
      { loadBalancer: { localityLbSetting: { distribute: [{ from: 'a', to: { b: 100 } }], failoverPriority: ['a'] } } },
      'loadBalancer.localityLbSetting',
    ],
    ['a count below 0', { connectionPool: { tcp: { maxConnections: -1 } } }, 'connectionPool.tcp.maxConnections'],
    ['a time', { connectionPool: { tcp: { connectTimeout: 'soon' } } }, 'connectionPool.tcp.connectTimeout'],
    ['an upgrade policy', { connectionPool: { http: { h2UpgradePolicy: 'MAYBE' } } }, 'connectionPool.http.h2UpgradePolicy'],
    ['an ejected share', { outlierDetection: { maxEjectionPercent: 101 } }, 'outlierDetection.maxEjectionPercent'],
    ['a TLS mode', { tls: { mode: 'toString' } }, 'tls.mode'],
    ['mutual TLS without a certificate', { tls: { mode: 'MUTUAL' } }, 'tls'],
    ["files beside the mesh's certificates", { tls: { mode: 'ISTIO_MUTUAL', caCertificates: '/ca' } }, 'tls'],
    ['a secret beside files', { tls: { mode: 'SIMPLE', credentialName: 'a', caCertificates: '/ca' } }, 'tls'],
    ['a revocation list, which would not be heeded', { tls: { mode: 'SIMPLE', caCrl: '/crl' } }, 'tls.caCrl'],
    ['a PROXY version', { proxyProtocol: { version: 'V3' } }, 'proxyProtocol.version'],
    ['a port twice', { portLevelSettings: [{ port: { number: 1 } }, { port: { number: 1 } }] }, 'portLevelSettings[1].port'],
    ['settings of no port', { portLevelSettings: [{}] }, 'portLevelSettings[0].port.number'],
  ];
  test.each(invalid)('%s refuses the object', (_, written, path) => {
    const { problems, condition, isRefused, services, policyOfService } = compile(written);
    expect(problems.filter(({ kind }) => kind === 'invalid').map((problem) => problem.path)).toEqual([`spec.trafficPolicy.${path}`]);
    expect([condition, isRefused, services, policyOfService]).toMatchObject([
      { status: 'False', reason: 'Invalid' },
      true,
      [],
      undefined,
    ] as unknown[]);
  });
});

describe('a subset', () => {
  const policyOf = (trafficPolicy: IstioTrafficPolicy | undefined, own: IstioTrafficPolicy | undefined) => {
    const spec = { host: 'reviews', trafficPolicy, subsets: [{ name: 's', labels: {}, trafficPolicy: own }] };
    return meshOf({ services: [reviews], destinationRules: [destinationRule(spec)] }).planOf(reviews).subsets![0]!.policy;
  };
  const RANDOM = { loadBalancer: { simple: 'RANDOM' } };
  const DISABLED = { tls: { mode: 'DISABLE' } };

  test('without a policy has that of the service', () => {
    expect(policyOf(RANDOM, undefined)).toBeUndefined();
  });
  test('overrides part by part', () => {
    expect(policyOf({ ...RANDOM, ...DISABLED, proxyProtocol: {} }, { loadBalancer: { simple: 'ROUND_ROBIN' } })).toEqual({
      loadBalancer: { kind: 'round-robin' },
      tls: { mode: 'disable' },
      proxyProtocol: 1,
    });
  });
  test('replaces a part as a whole', () => {
    const warm = { loadBalancer: { warmupDurationSecs: '1s' } };
    expect(policyOf(warm, RANDOM)).toEqual({ loadBalancer: { kind: 'random' } });
  });
  test("on a port of the rule overrides the port's settings", () => {
    expect(policyOf({ portLevelSettings: [{ port: { number: 80 }, ...DISABLED }] }, RANDOM)).toEqual({
      loadBalancer: { kind: 'random' },
      ports: [{ port: 80, policy: { loadBalancer: { kind: 'random' }, tls: { mode: 'disable' } } }],
    });
  });
  test('with settings of a port has nothing else there but the PROXY protocol', () => {
    expect(policyOf({ ...RANDOM, proxyProtocol: {} }, { portLevelSettings: [{ port: { number: 80 }, ...DISABLED }] })).toEqual({
      loadBalancer: { kind: 'random' },
      proxyProtocol: 1,
      ports: [{ port: 80, policy: { tls: { mode: 'disable' }, proxyProtocol: 1 } }],
    });
  });
  test('alone is all there is', () => {
    expect(policyOf(undefined, RANDOM)).toEqual({ loadBalancer: { kind: 'random' } });
  });
});
