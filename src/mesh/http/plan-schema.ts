/** The JSON form of the route plan. `plan-codec.ts` asserts that it describes exactly the interfaces of `plan.ts`. */
import type { BackendPolicy } from './plan.ts';
import {
  boolean as flag,
  integer,
  number,
  object,
  oneOf,
  optional,
  type Passed,
  pair,
  type Shape,
  list as shapeList,
  string,
  variants,
} from './shape.ts';

/** What one plan may hold; anything larger is refused whole, and the waypoint keeps the plan it has. */
export const PLAN_LIMITS = {
  /** Octets of the encoded plan: a hundred thousand plain routes. */
  bytes: 32 * 1024 * 1024,
  /** Rules of one table, actions of one table. */
  rules: 100_000,
  ports: 1_024,
  /** Backends of one action, headers of one edit, conditions of one match, and the like. */
  list: 1_024,
  subsets: 1_024,
  /** Endpoints of one subset. */
  workloads: 100_000,
  /** Characters of one text. */
  text: 64 * 1024,
} as const;

const list = <T>(item: Shape<T>, maxItems: number = PLAN_LIMITS.list): Shape<T[]> => shapeList(item, maxItems);
const text = string(0, PLAN_LIMITS.text);
const name = string(1, 1_024);
const count = integer(0, Number.MAX_SAFE_INTEGER);
/** Milliseconds. */
const time = number(0, Number.MAX_SAFE_INTEGER);
const percentage = number(0, 100);
const port = integer(0, 65_535);
const status = integer(100, 599);
const field = pair(name, text);

const stringCondition = object({
  kind: oneOf('exact', 'prefix', 'suffix', 'regex', 'present'),
  value: text,
  ignoreCase: optional(flag),
});

const fieldCondition = object({ name, condition: stringCondition, isInverted: optional(flag) });

const httpMatch = object({
  path: optional(object({ kind: oneOf('exact', 'segments', 'prefix', 'regex'), value: text, ignoreCase: optional(flag) })),
  method: optional(stringCondition),
  hosts: optional(list(name)),
  authority: optional(stringCondition),
  scheme: optional(stringCondition),
  headers: optional(list(fieldCondition)),
  query: optional(list(fieldCondition)),
  sourceNamespace: optional(name),
});

const headerEdit = object({ remove: list(name), set: list(field), add: list(field) });

const pathRewrite = variants(
  object({ kind: oneOf('full'), value: text }),
  object({ kind: oneOf('prefix'), match: text, value: text }),
  object({ kind: oneOf('regex'), pattern: text, substitution: text }),
);

const rewrite = object({ path: optional(pathRewrite), host: optional(name) });

const redirect = object({
  status,
  scheme: optional(name),
  host: optional(name),
  port: optional(port),
  path: optional(pathRewrite),
});

const backendFields = { service: name, port, subset: optional(name) };

const mirror = object({ backend: object(backendFields), numerator: count, denominator: count, invalid: optional(text) });

const weightedBackend = object({
  ...backendFields,
  weight: count,
  requestHeaders: optional(headerEdit),
  responseHeaders: optional(headerEdit),
  invalid: optional(text),
  rewrite: optional(rewrite),
  redirect: optional(redirect),
  mirrors: optional(list(mirror)),
});

const cors = object({
  allowOrigins: list(stringCondition),
  allowMethods: list(name),
  allowHeaders: list(name),
  exposeHeaders: list(name),
  allowCredentials: flag,
  maxAgeSeconds: optional(count),
  forwardsUnmatchedPreflights: flag,
});

const retry = object({
  attempts: count,
  perTryTimeout: optional(time),
  statuses: list(status),
  on: list(
    oneOf(
      '5xx',
      'gateway-error',
      'reset',
      'reset-before-request',
      'connect-failure',
      'refused-stream',
      'retriable-4xx',
      'cancelled',
      'deadline-exceeded',
      'internal',
      'resource-exhausted',
      'unavailable',
    ),
  ),
  backoff: optional(time),
});

const fault = object({
  delay: optional(object({ percentage, duration: time })),
  abort: optional(object({ percentage, httpStatus: optional(status), grpcStatus: optional(count) })),
});

const session = object({
  kind: oneOf('cookie', 'header'),
  name,
  absoluteTimeout: optional(time),
  idleTimeout: optional(time),
  path: optional(text),
});

const httpAction = object({
  name,
  redirect: optional(redirect),
  respond: optional(object({ status, body: string(0, 1024 * 1024), contentType: optional(text) })),
  backends: list(weightedBackend),
  requestHeaders: optional(headerEdit),
  responseHeaders: optional(headerEdit),
  rewrite: optional(rewrite),
  mirrors: optional(list(mirror)),
  cors: optional(cors),
  timeouts: optional(object({ request: optional(time), perTry: optional(time), idle: optional(time) })),
  retry: optional(retry),
  fault: optional(fault),
  session: optional(session),
});

const httpTable = object({
  rules: list(object({ match: httpMatch, action: count }), PLAN_LIMITS.rules),
  actions: list(httpAction, PLAN_LIMITS.rules),
});

const portPlan = object({
  port,
  http: optional(httpTable),
  consumers: optional(list(object({ namespace: name, http: httpTable }))),
  tls: optional(
    list(object({ name, sniHosts: list(name), sourceNamespace: optional(name), backends: list(weightedBackend) }), PLAN_LIMITS.rules),
  ),
  tcp: optional(list(object({ name, sourceNamespace: optional(name), backends: list(weightedBackend) }), PLAN_LIMITS.rules)),
});

const hashSource = variants(
  object({ kind: oneOf('header'), name }),
  object({ kind: oneOf('cookie'), name, path: optional(text), ttl: optional(time) }),
  object({ kind: oneOf('query'), name }),
  object({ kind: oneOf('source-ip') }),
);

const loadBalancer = variants(
  object({ kind: oneOf('least-request', 'round-robin', 'random') }),
  object({ kind: oneOf('ring-hash'), hash: hashSource, minimumRingSize: count }),
  object({ kind: oneOf('maglev'), hash: hashSource, tableSize: count }),
);

const locality = object({
  isEnabled: flag,
  distribute: optional(list(object({ from: text, to: list(object({ locality: text, weight: count })) }))),
  failover: optional(list(object({ from: text, to: text }))),
  failoverPriority: optional(list(text)),
});

const connectionPool = object({
  maxConnections: optional(count),
  connectTimeout: optional(time),
  tcpIdleTimeout: optional(time),
  maxConnectionDuration: optional(time),
  maxPendingRequests: optional(count),
  maxRequests: optional(count),
  maxRequestsPerConnection: optional(count),
  maxRetries: optional(count),
  idleTimeout: optional(time),
  maxConcurrentStreams: optional(count),
  useClientProtocol: optional(flag),
  h2Upgrade: optional(flag),
});

const outlier = object({
  consecutive5xx: optional(count),
  consecutiveGatewayErrors: optional(count),
  consecutiveLocalOriginFailures: optional(count),
  splitExternalLocalOrigin: flag,
  interval: time,
  baseEjectionTime: time,
  maxEjectionPercent: percentage,
  minHealthPercent: percentage,
});

const tls = object({
  mode: oneOf('disable', 'simple', 'mutual', 'mesh'),
  sni: optional(text),
  subjectAltNames: optional(list(text)),
  insecureSkipVerify: optional(flag),
  credentialName: optional(text),
  caCertificates: optional(text),
  clientCertificate: optional(text),
  privateKey: optional(text),
});

const policyFields = {
  loadBalancer: optional(loadBalancer),
  locality: optional(locality),
  warmup: optional(object({ duration: time, minimumPercent: percentage, aggression: number(0, Number.MAX_VALUE) })),
  connectionPool: optional(connectionPool),
  outlier: optional(outlier),
  tls: optional(tls),
  proxyProtocol: optional(oneOf(1, 2)),
};

const portPolicy: Shape<BackendPolicy> = object(policyFields);

/** A port's policy has no ports of its own: the interface allows it, no DestinationRule can say it. */
const policy = object({
  ...policyFields,
  ports: optional(list(object({ port, policy: portPolicy }))),
});

export const servicePlanShape = object({
  service: name,
  ports: list(portPlan, PLAN_LIMITS.ports),
  policy: optional(policy),
  subsets: optional(list(object({ name, workloads: list(name, PLAN_LIMITS.workloads), policy: optional(policy) }), PLAN_LIMITS.subsets)),
});

/** What a value that passes is. */
export type CheckedPlan = Passed<typeof servicePlanShape>;
