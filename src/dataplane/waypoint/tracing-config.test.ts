import { describe, expect, test } from 'bun:test';
import { ConfigReader } from '../core/config-reader.ts';
import { readTracing } from './tracing-config.ts';

const read = (env: Record<string, string>) => {
  const reader = new ConfigReader(env);
  return { config: readTracing(reader), problems: reader.problems };
};
const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };

test('nothing is recorded without an endpoint, or when it is turned off', () => {
  for (const env of [
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: '' },
    { ...ENDPOINT, OTEL_SDK_DISABLED: 'true' },
    { ...ENDPOINT, OTEL_TRACES_EXPORTER: 'none' },
  ])
    expect(read(env)).toEqual({ config: undefined, problems: [] });
});

test('an endpoint alone has the defaults of OpenTelemetry, and of Istio for the share', () => {
  expect(read(ENDPOINT)).toEqual({
    problems: [],
    config: {
      url: 'http://collector:4318/v1/traces',
      headers: {},
      serviceName: undefined,
      resource: {},
      sampler: { isParentBased: true, ratio: 0.01 },
      maxQueue: 2048,
      maxBatch: 512,
      delay: 5000,
      timeout: 10_000,
    },
  });
});

test.each([
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'https://c/base/' }, 'https://c/base/v1/traces'],
  [{ ...ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://t:1/as/it/is' }, 'http://t:1/as/it/is'],
])('takes a base and appends to it, or the whole URL for traces: %j', (env, url) => {
  expect(read(env).config?.url).toBe(url);
});

test.each([
  [{ OTEL_TRACES_SAMPLER: 'always_on' }, { isParentBased: false, ratio: 1 }],
  [{ OTEL_TRACES_SAMPLER: 'always_off' }, { isParentBased: false, ratio: 0 }],
  [
    { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.25' },
    { isParentBased: false, ratio: 0.25 },
  ],
  [{ OTEL_TRACES_SAMPLER: 'parentbased_always_on' }, { isParentBased: true, ratio: 1 }],
  [{ OTEL_TRACES_SAMPLER: 'parentbased_traceidratio' }, { isParentBased: true, ratio: 1 }],
  [{ OTEL_TRACES_SAMPLER_ARG: '0' }, { isParentBased: true, ratio: 0 }],
] as [Record<string, string>, object][])('samples as %j says', (env, sampler) => {
  expect(read({ ...ENDPOINT, ...env }).config?.sampler).toEqual(sampler as never);
});

test('reads lists of pairs, percent-encoded', () => {
  const { config } = read({
    ...ENDPOINT,
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20a%3Db, x-tenant = one',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment=test',
    OTEL_SERVICE_NAME: 'front',
  });
  expect(config).toMatchObject({
    headers: { authorization: 'Bearer a=b', 'x-tenant': 'one' },
    resource: { 'deployment.environment': 'test' },
    serviceName: 'front',
  });
});

describe('says what cannot be understood', () => {
  test.each([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' }, 'OTEL_EXPORTER_OTLP_ENDPOINT'],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'nonsense' }, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'],
    [{ ...ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, '"grpc" is not spoken'],
    [{ ...ENDPOINT, OTEL_TRACES_SAMPLER: 'sometimes' }, 'OTEL_TRACES_SAMPLER'],
    [{ ...ENDPOINT, OTEL_TRACES_SAMPLER_ARG: '1.5' }, 'OTEL_TRACES_SAMPLER_ARG'],
    [{ ...ENDPOINT, OTEL_TRACES_SAMPLER_ARG: 'x' }, 'OTEL_TRACES_SAMPLER_ARG'],
    [{ ...ENDPOINT, OTEL_BSP_SCHEDULE_DELAY: 'soon' }, 'OTEL_BSP_SCHEDULE_DELAY'],
  ] as [Record<string, string>, string][])('%j', (env, text) => {
    const { problems } = read(env);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(text);
  });

  test('without repeating what may be a secret', () => {
    const { problems } = read({ ...ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS: 'topsecret' });
    expect(problems).toHaveLength(1);
    expect(problems[0]).not.toContain('topsecret');
  });
});
