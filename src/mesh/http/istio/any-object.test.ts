import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { decodeServicePlan, encodeServicePlan } from '../plan-codec.ts';
import { parseDuration } from './duration.ts';
import { problemText } from './problem.ts';
import { destinationRule, meshOf, service, virtualService } from './test-mesh.ts';

const texts = fc.oneof(
  fc.string(),
  fc.constantFrom('', '*', 'mesh', 'reviews', '/', '1s', '0s', 'v1', '503', '.*', '(', 'a%b', '%A%', ':authority'),
);
const times = fc.constantFrom('1s', '10ms', '1h', '2s', '1.5s', 'x');
const patterns = fc.constantFrom('.*', '*', 'v[0-9]+', '(');
const numbers = fc.constantFrom(-1, 0, 1, 80, 8080, 100, 200, 503, 70_000, 0.5);
/** Mostly absent: an object with one of each would hardly ever be valid. */
const optional = <T>(value: fc.Arbitrary<T>) => fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 2, arbitrary: value });
const maybe = <T extends Record<string, fc.Arbitrary<unknown>>>(fields: T) =>
  fc.record(Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, optional(value)])));
const match = fc.oneof(maybe({ exact: texts, prefix: texts }), maybe({ regex: patterns }));
const destination = fc.record({
  host: fc.oneof(fc.constant('reviews'), texts),
  subset: optional(texts),
  port: optional(maybe({ number: numbers })),
});
const names = fc.constantFrom('a', 'X-B', 'host', ':authority', ':path', 'c', 'd e');
const operations = maybe({ set: fc.dictionary(names, texts), add: fc.dictionary(names, texts), remove: fc.array(names, { maxLength: 3 }) });
const headers = maybe({ request: operations, response: operations });
const percent = maybe({ value: fc.constantFrom(0, 0.1, 50, 100, 101) });
const route = fc.array(fc.record({ destination, weight: optional(numbers), headers: optional(headers) }), { maxLength: 3 });
const sources = {
  port: numbers,
  sourceNamespace: texts,
  gateways: fc.array(texts, { maxLength: 2 }),
  destinationSubnets: fc.array(texts, { maxLength: 2 }),
};
const httpFields = maybe({
  name: texts,
  match: fc.array(
    maybe({
      uri: match,
      method: match,
      authority: match,
      headers: fc.dictionary(texts, match),
      queryParams: fc.dictionary(texts, match),
      ...sources,
    }),
    { maxLength: 2 },
  ),
  route,
  redirect: maybe({ uri: texts, authority: texts, port: numbers, scheme: texts, redirectCode: numbers, prefixRewrite: texts }),
  directResponse: fc.record({ status: numbers, body: optional(maybe({ string: texts, bytes: texts })) }),
  rewrite: maybe({ uri: texts, authority: texts, uriRegexRewrite: maybe({ match: patterns, rewrite: texts }) }),
  timeout: times,
  retries: maybe({ attempts: numbers, retryOn: fc.constantFrom('5xx,503', 'reset', '', 'x', 'retriable-headers'), backoff: times }),
  fault: maybe({ delay: maybe({ fixedDelay: times, percentage: percent }), abort: maybe({ httpStatus: numbers, percentage: percent }) }),
  mirror: destination,
  mirrorPercentage: percent,
  corsPolicy: maybe({ allowOrigins: fc.array(match, { maxLength: 2 }), allowMethods: fc.array(texts, { maxLength: 2 }), maxAge: times }),
  headers,
});
const http = fc.oneof(
  httpFields,
  httpFields.map(({ redirect: _, directResponse: __, route: ___, ...fields }) => ({
    ...fields,
    route: [{ destination: { host: 'reviews' } }],
  })),
);
const tls = fc.record({ match: fc.array(fc.record({ sniHosts: fc.array(texts, { maxLength: 2 }) }), { maxLength: 2 }), route });
const hash = maybe({
  httpHeaderName: texts,
  useSourceIp: fc.boolean(),
  ringHash: maybe({ minimumRingSize: numbers }),
  maglev: maybe({ tableSize: numbers }),
});
const policy = maybe({
  loadBalancer: maybe({
    simple: texts,
    consistentHash: hash,
    warmup: fc.record({ duration: times, minimumPercent: optional(numbers), aggression: optional(numbers) }),
    localityLbSetting: maybe({ distribute: fc.array(maybe({ from: texts, to: fc.dictionary(texts, numbers) }), { maxLength: 2 }) }),
  }),
  connectionPool: maybe({ tcp: maybe({ maxConnections: numbers, connectTimeout: times }), http: maybe({ maxRetries: numbers }) }),
  outlierDetection: maybe({ consecutive5xxErrors: numbers, interval: times, maxEjectionPercent: numbers }),
  tls: maybe({ mode: fc.constantFrom('SIMPLE', 'DISABLE', 'x'), sni: texts }),
});
const reviews = service('reviews', { addresses: ['10.0.0.1'] });

test('whatever an object holds, it compiles to a plan a waypoint takes, or is refused with reasons', () => {
  const counts = { VirtualService: 0, DestinationRule: 0, refused: 0 };
  fc.assert(
    fc.property(
      fc.array(http, { minLength: 1, maxLength: 2 }),
      fc.array(tls, { maxLength: 1 }),
      fc.array(maybe({ match: fc.array(maybe(sources), { maxLength: 2 }), route }), { maxLength: 1 }),
      policy,
      fc.array(fc.record({ name: texts, trafficPolicy: optional(policy) }), { maxLength: 2 }),
      (httpRoutes, tlsRoutes, tcpRoutes, trafficPolicy, subsets) => {
        // Generated without types: the fields are right, their presence is random.
        const spec = { hosts: ['reviews'], http: httpRoutes, tls: tlsRoutes, tcp: tcpRoutes } as Parameters<typeof virtualService>[0];
        const rule = { host: 'reviews', trafficPolicy, subsets } as Parameters<typeof destinationRule>[0];
        const mesh = meshOf({ services: [reviews], virtualServices: [virtualService(spec)], destinationRules: [destinationRule(rule)] });
        for (const { source, isRefused, problems, condition } of [...mesh.compiled, ...mesh.rules]) {
          counts[isRefused ? 'refused' : source.kind]++;
          expect(isRefused).toBe(problems.some(({ kind }) => kind === 'invalid'));
          expect(isRefused).toBe(condition?.reason === 'Invalid');
          if (condition?.status === 'True') for (const problem of problems) expect(condition.message).toContain(problemText(problem));
        }
        const { ports, policy: backendPolicy, subsets: compiledSubsets } = mesh.planOf(reviews);
        const plan = {
          service: reviews.key,
          ports,
          ...(backendPolicy && { policy: backendPolicy }),
          ...(compiledSubsets && { subsets: compiledSubsets }),
        };
        expect(decodeServicePlan(encodeServicePlan(plan))).toEqual({ ok: true, value: plan });
      },
    ),
    { numRuns: 500 },
  );
  expect(Math.min(...Object.values(counts))).toBeGreaterThan(0);
});

test.each([
  ['1s', 1000],
  ['1.5s', 1500],
  ['1h2m3s4ms', 3_723_004],
  ['.5s', 500],
  ['250us', 0.25],
  ['0', 0],
  ['0s', 0],
  ['', undefined],
  ['5', undefined],
  ['-1s', undefined],
  ['1 s', undefined],
  ['1d', undefined],
  ['1s2', undefined],
])('the duration %p is %p ms', (text, expected) => {
  expect(parseDuration(text)).toBe(expected);
});
