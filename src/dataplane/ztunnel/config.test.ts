import { expect, test } from 'bun:test';
import { ConfigError } from '../core/config.ts';
import { parseDuration } from '../core/duration.ts';
import { readConfig } from './config.ts';

const problemsOf = (env: NodeJS.ProcessEnv): readonly string[] => {
  try {
    readConfig(env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
};

test('an empty environment gives the defaults of a real ztunnel', () => {
  const config = readConfig({});
  expect(config).toMatchObject({
    mode: 'shared',
    packetMark: 1337,
    clusterId: 'Kubernetes',
    streamWindow: 4 * 1024 * 1024,
    connectionWindow: 16 * 1024 * 1024,
    frameSize: 1024 * 1024,
    poolMaxStreams: 100,
    poolRelease: 300_000,
    terminationDeadline: 5000,
    keepalive: { time: 180, interval: 180, probes: 9 },
    adminPort: 15_000,
    statsPort: 15_020,
    originalSource: undefined,
    inpodSocket: '/var/run/ztunnel/ztunnel.sock',
    dns: { addresses: ['127.0.0.1', '::1'], port: 15_053, preferredNamespace: undefined },
  });
  expect(config.xds).toMatchObject({ host: 'localhost', port: 15_012, serverName: 'localhost' });
});

test('addresses get the scheme https, and an empty one switches its client off', () => {
  const config = readConfig({ XDS_ADDRESS: 'istiod.istio-system.svc:15012', CA_ADDRESS: '', ALT_XDS_HOSTNAME: 'istiod' });
  expect(config.xds).toMatchObject({ host: 'istiod.istio-system.svc', port: 15_012, serverName: 'istiod' });
  expect(config.ca).toBeUndefined();
  expect(readConfig({ XDS_ADDRESS: 'http://[fd00::1]:15010' }).xds).toMatchObject({ host: 'fd00::1', port: 15_010 });
});

test('every bad value is named with the remedy, all at once', () => {
  const problems = problemsOf({
    IPV6_ENABLED: 'maybe',
    SECRET_TTL: '1 fortnight',
    POOL_MAX_STREAMS_PER_CONNECTION: '0',
    PROXY_MODE: 'sidecar',
    HTTP2_FRAME_SIZE: '12',
  });
  expect(problems).toHaveLength(5);
  expect(problems.join('\n')).toContain('environment variable IPV6_ENABLED: value "maybe" is not a boolean: use "true" or "false"');
  expect(problems.join('\n')).toContain('environment variable PROXY_MODE: value "sidecar" must be "shared" or "dedicated"');
});

test('dedicated mode needs its workload and has no mark by default', () => {
  expect(problemsOf({ PROXY_MODE: 'dedicated' })).toHaveLength(1);
  const config = readConfig({ PROXY_MODE: 'dedicated', PROXY_WORKLOAD_INFO: 'ns/pod/account' });
  expect(config.dedicatedWorkload).toEqual({ namespace: 'ns', name: 'pod', serviceAccount: 'account' });
  expect(config.packetMark).toBeUndefined();
});

test('the drain deadline follows the grace period of the pod', () => {
  const deadline = (env: NodeJS.ProcessEnv) => readConfig(env).terminationDeadline;
  expect(deadline({ TERMINATION_GRACE_PERIOD_SECONDS: '30' })).toBe(25_000);
  expect(deadline({ TERMINATION_GRACE_PERIOD_SECONDS: '10' })).toBe(9000);
  expect(deadline({ TERMINATION_GRACE_PERIOD_SECONDS: '1' })).toBe(1000);
  expect(deadline({ TERMINATION_GRACE_PERIOD_SECONDS: '30', CONNECTION_TERMINATION_DEADLINE: '2s' })).toBe(2000);
});

test('ports and addresses come from the proxy configuration', () => {
  const config = readConfig({
    PROXY_CONFIG: 'proxyAdminPort: 25000\nstatsPort: 25020\ndiscoveryAddress: cp.example:1234\nproxyMetadata:\n  KEY: 1\n',
  });
  expect(config).toMatchObject({ adminPort: 25_000, statsPort: 25_020, xds: { host: 'cp.example', port: 1234 } });
  expect(config.nodeMetadata).toEqual({ KEY: '1' });
  expect(problemsOf({ PROXY_CONFIG: 'statsPort: many' })).toEqual(['proxy configuration: statsPort is "many", which is not a port']);
});

test('metadata of the node: the proxy configuration’s with or without the prefix, then the environment’s with it, and nothing else', () => {
  const env = {
    PROXY_CONFIG: JSON.stringify({
      discoveryAddress: 'istiod-rev0.istio-system-2:15012',
      proxyMetadata: { ISTIO_META_BAR: 'bar', ISTIO_META_FOOBAR: 'overwritten', ISTIO_META_TWICE: 'configured', NO_PREFIX: 'no-prefix' },
    }),
    ISTIO_META_INCLUDE_THIS: 'from-env',
    ISTIO_META_TWICE: 'environment',
    NOT_INCLUDED: 'x',
    ISTIO_META_CLUSTER_ID: 'test-cluster',
    XDS_HEADER_HEADER_FOO: 'foo',
    XDS_HEADER_HEADER_BAR: 'bar',
    CA_HEADER_HEADER_BAZ: 'baz',
  };
  const config = readConfig(env);
  expect(config.nodeMetadata).toEqual({
    BAR: 'bar',
    FOOBAR: 'overwritten',
    TWICE: 'environment',
    NO_PREFIX: 'no-prefix',
    INCLUDE_THIS: 'from-env',
    CLUSTER_ID: 'test-cluster',
  });
  expect(config).toMatchObject({
    clusterId: 'test-cluster',
    readinessPort: 15_021,
    xds: { host: 'istiod-rev0.istio-system-2', port: 15_012 },
  });
  expect([...config.xds!.headers.keys()].sort()).toEqual(['HEADER_BAR', 'HEADER_FOO']);
  expect([...config.ca!.headers.keys()]).toEqual(['HEADER_BAZ']);
});

test('what this proxy cannot do is refused, not ignored', () => {
  expect(problemsOf({ FAKE_CA: 'true', XDS_ON_DEMAND: 'true' })).toHaveLength(2);
  expect(problemsOf({ COMPLIANCE_POLICY: 'fips-140-2' })).toEqual([
    expect.stringMatching(/^COMPLIANCE_POLICY: "fips-140-2" cannot be kept/),
  ]);
  expect(problemsOf({ COMPLIANCE_POLICY: 'pqc', TLS12_ENABLED: 'true' })).toEqual([expect.stringContaining('TLS12_ENABLED')]);
  for (const value of ['', 'pqc', 'PQC']) expect(problemsOf({ COMPLIANCE_POLICY: value })).toEqual([]);
});

test('durations have units', () => {
  expect(parseDuration('1h30m')).toBe(5_400_000);
  expect(parseDuration('150ms')).toBe(150);
  expect(parseDuration('1.5s')).toBe(1500);
  expect(parseDuration('86400s')).toBe(86_400_000);
  for (const text of ['', '5', 's', '5 parsecs', '-5s', '5s!']) expect(parseDuration(text)).toBeUndefined();
});

test('the DNS proxy is switched and placed by the proxy metadata, variables first', () => {
  const dns = (env: NodeJS.ProcessEnv) => readConfig(env).dns;
  expect(dns({ ISTIO_META_DNS_CAPTURE: 'false' })).toBeUndefined();
  expect(dns({ ISTIO_META_DNS_CAPTURE: 'yes' })).toBeUndefined();
  expect(dns({ ISTIO_META_DNS_CAPTURE: 'True' })).toBeDefined();
  expect(dns({ PROXY_CONFIG: 'proxyMetadata: { ISTIO_META_DNS_CAPTURE: "false" }' })).toBeUndefined();
  expect(dns({ PROXY_CONFIG: 'proxyMetadata: { DNS_CAPTURE: "false" }', ISTIO_META_DNS_CAPTURE: 'true' })).toBeDefined();
  expect(dns({ ISTIO_META_DNS_PROXY_ADDR: '127.0.0.1:5353', PREFERED_SERVICE_NAMESPACE: 'shared' })).toEqual({
    addresses: ['127.0.0.1'],
    port: 5353,
    preferredNamespace: 'shared',
  });
  expect(dns({ ISTIO_META_DNS_PROXY_ADDR: '[::1]:53' })).toMatchObject({ addresses: ['::1'], port: 53 });
  expect(dns({ IPV6_ENABLED: 'false' })).toMatchObject({ addresses: ['127.0.0.1'] });
});

test.each(['10.0.0.1:53', 'localhost', 'localhost:0', 'localhost:70000', '0.0.0.0:15053', 'example.com:53'])(
  'the DNS proxy is not put on %s, which is not loopback',
  (address) => {
    expect(problemsOf({ ISTIO_META_DNS_PROXY_ADDR: address })).toEqual([
      `ISTIO_META_DNS_PROXY_ADDR: "${address}" is not a port of loopback: write "localhost:15053", which redirect rules expect`,
    ]);
  },
);
