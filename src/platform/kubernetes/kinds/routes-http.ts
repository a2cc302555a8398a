import type { Static } from 'typebox';
import {
  backendObjectReference,
  backendRefFields,
  commonRouteFields,
  GATEWAY_GROUP,
  gatewayDuration,
  headerFilter,
  headerName,
  headerValue,
  hostname,
  localObjectReference,
  portNumber,
  preciseHostname,
  requestMirrorFilter,
  routeSchema,
  sectionName,
  sessionPersistence,
} from './gateway-common.ts';
import { age, ageColumn, column, defineKind, nameColumn } from './kind.ts';
import { validateHttpRoute } from './routes-http-validation.ts';
import {
  between,
  boolean,
  choice,
  int32,
  int64,
  limited,
  list,
  listMap,
  numbers,
  object,
  set,
  string,
  text,
  withDefault,
} from './schema.ts';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'] as const;
const EVERY_PATH = { type: 'PathPrefix', value: '/' };
const matchType = withDefault(choice('Exact', 'RegularExpression'), 'Exact');

const pathMatch = object({
  type: withDefault(choice('Exact', 'PathPrefix', 'RegularExpression'), 'PathPrefix'),
  value: withDefault(text({ maxLength: 1024 }), '/'),
});
const headerMatch = object({ type: matchType, name: headerName, value: headerValue }, ['name', 'value']);
const queryParamMatch = object({ type: matchType, name: headerName, value: text({ minLength: 1, maxLength: 1024 }) }, ['name', 'value']);
const match = object({
  path: withDefault(pathMatch, EVERY_PATH),
  headers: limited(listMap(headerMatch, 'name'), { maxItems: 16 }),
  queryParams: limited(listMap(queryParamMatch, 'name'), { maxItems: 16 }),
  method: choice(...METHODS),
});
export type HttpRouteMatch = Static<typeof match>;
export type HttpPathMatch = Static<typeof pathMatch>;
export type HttpHeaderMatch = Static<typeof headerMatch>;
export type HttpQueryParamMatch = Static<typeof queryParamMatch>;

const pathModifier = object(
  {
    type: choice('ReplaceFullPath', 'ReplacePrefixMatch'),
    replaceFullPath: text({ maxLength: 1024 }),
    replacePrefixMatch: text({ maxLength: 1024 }),
  },
  ['type'],
);
export type HttpPathModifier = Static<typeof pathModifier>;
const requestRedirect = object({
  scheme: choice('http', 'https'),
  hostname: preciseHostname,
  path: pathModifier,
  port: portNumber,
  statusCode: withDefault(numbers(301, 302, 303, 307, 308), 302),
});
export type HttpRequestRedirectFilter = Static<typeof requestRedirect>;
const urlRewrite = object({ hostname: preciseHostname, path: pathModifier });
export type HttpUrlRewriteFilter = Static<typeof urlRewrite>;
const origin = text({
  minLength: 1,
  maxLength: 253,
  pattern: '(^\\*$)|(^(http(s)?):\\/\\/(((\\*\\.)?([a-zA-Z0-9\\-]+\\.)*[a-zA-Z0-9-]+|\\*)(:([0-9]{1,5}))?)$)',
});
const cors = object({
  allowOrigins: limited(set(origin), { maxItems: 64 }),
  allowCredentials: boolean,
  allowMethods: limited(set(choice(...METHODS, '*')), { maxItems: 9 }),
  allowHeaders: limited(set(headerName), { maxItems: 64 }),
  exposeHeaders: limited(set(headerName), { maxItems: 64 }),
  maxAge: withDefault(limited(int32, { minimum: 1 }), 5),
});
export type HttpCorsFilter = Static<typeof cors>;
const headerNames = limited(set(string), { maxItems: 64 });
const externalAuth = object(
  {
    protocol: choice('HTTP', 'GRPC'),
    backendRef: backendObjectReference,
    grpc: object({ allowedHeaders: headerNames }),
    http: object({
      path: text({ maxLength: 1024, pattern: "^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$" }),
      allowedHeaders: headerNames,
      allowedResponseHeaders: headerNames,
    }),
    forwardBody: object({ maxSize: int64 }),
  },
  ['protocol', 'backendRef'],
);
const filter = object(
  {
    type: choice(
      'RequestHeaderModifier',
      'ResponseHeaderModifier',
      'RequestMirror',
      'RequestRedirect',
      'URLRewrite',
      'ExtensionRef',
      'CORS',
      'ExternalAuth',
    ),
    requestHeaderModifier: headerFilter,
    responseHeaderModifier: headerFilter,
    requestMirror: requestMirrorFilter,
    requestRedirect,
    urlRewrite,
    cors,
    externalAuth,
    extensionRef: localObjectReference,
  },
  ['type'],
);
/** One filter: `type` says which of the other fields it has. */
export type HttpRouteFilter = Static<typeof filter>;
const filters = limited(list(filter), { maxItems: 16 });

const backendRef = object({ ...backendRefFields, filters }, ['name']);
export type HttpBackendRef = Static<typeof backendRef>;
const timeouts = object({ request: gatewayDuration, backendRequest: gatewayDuration });
export type HttpRouteTimeouts = Static<typeof timeouts>;
const retry = object({ codes: set(between(400, 599)), attempts: limited(int32, { minimum: 1 }), backoff: gatewayDuration });
export type HttpRouteRetry = Static<typeof retry>;
const rule = object({
  name: sectionName,
  matches: withDefault(limited(list(match), { maxItems: 64 }), [{ path: EVERY_PATH }]),
  filters,
  backendRefs: limited(list(backendRef), { maxItems: 16 }),
  timeouts,
  retry,
  sessionPersistence,
});
export type HttpRouteRule = Static<typeof rule>;

const httpRouteSchema = routeSchema(
  object({
    ...commonRouteFields,
    hostnames: limited(list(hostname), { maxItems: 16 }),
    rules: withDefault(limited(list(rule), { minItems: 1, maxItems: 16 }), [{ matches: [{ path: EVERY_PATH }] }]),
  }),
);
export type HttpRoute = Static<typeof httpRouteSchema>;
export const HttpRouteKind = defineKind<HttpRoute>({
  apiVersion: `${GATEWAY_GROUP}/v1`,
  otherVersions: ['v1beta1'],
  kind: 'HTTPRoute',
  plural: 'httproutes',
  categories: ['gateway-api'],
  status: true,
  description: 'HTTPRoute says what happens to the HTTP requests of its parents: which match, how they change, where they go.',
  schema: httpRouteSchema,
  columns: [nameColumn, column('Hostnames', 'Hosts it answers to.'), ageColumn],
  cells: (route, now) => [
    route.metadata.name ?? '',
    route.spec?.hostnames === undefined ? null : JSON.stringify(route.spec.hostnames),
    age(route, now),
  ],
  validate: validateHttpRoute,
});
