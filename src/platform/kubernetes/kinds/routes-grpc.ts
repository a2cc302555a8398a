import type { Static } from 'typebox';
import {
  backendRefFields,
  commonRouteFields,
  GATEWAY_GROUP,
  headerFilter,
  headerName,
  hostname,
  localObjectReference,
  requestMirrorFilter,
  routeSchema,
  sectionName,
  sessionPersistence,
} from './gateway-common.ts';
import { age, ageColumn, column, defineKind, nameColumn } from './kind.ts';
import { validateGrpcRoute } from './routes-grpc-validation.ts';
import { choice, limited, list, listMap, object, text, withDefault } from './schema.ts';

const matchType = withDefault(choice('Exact', 'RegularExpression'), 'Exact');
const methodMatch = object({ type: matchType, service: text({ maxLength: 1024 }), method: text({ maxLength: 1024 }) });
const headerMatch = object({ type: matchType, name: headerName, value: text({ minLength: 1, maxLength: 4096 }) }, ['name', 'value']);
const match = object({ method: methodMatch, headers: limited(listMap(headerMatch, 'name'), { maxItems: 16 }) });
export type GrpcRouteMatch = Static<typeof match>;
export type GrpcMethodMatch = Static<typeof methodMatch>;

const filter = object(
  {
    type: choice('ResponseHeaderModifier', 'RequestHeaderModifier', 'RequestMirror', 'ExtensionRef'),
    requestHeaderModifier: headerFilter,
    responseHeaderModifier: headerFilter,
    requestMirror: requestMirrorFilter,
    extensionRef: localObjectReference,
  },
  ['type'],
);
/** One filter: `type` says which of the other fields it has. */
export type GrpcRouteFilter = Static<typeof filter>;
const filters = limited(list(filter), { maxItems: 16 });

const backendRef = object({ ...backendRefFields, filters }, ['name']);
export type GrpcBackendRef = Static<typeof backendRef>;
const rule = object({
  name: sectionName,
  matches: limited(list(match), { maxItems: 64 }),
  filters,
  backendRefs: limited(list(backendRef), { maxItems: 16 }),
  sessionPersistence,
});
export type GrpcRouteRule = Static<typeof rule>;

const grpcRouteSchema = routeSchema(
  object({
    ...commonRouteFields,
    hostnames: limited(list(hostname), { maxItems: 16 }),
    rules: limited(list(rule), { maxItems: 16 }),
  }),
);
export type GrpcRoute = Static<typeof grpcRouteSchema>;
export const GrpcRouteKind = defineKind<GrpcRoute>({
  apiVersion: `${GATEWAY_GROUP}/v1`,
  kind: 'GRPCRoute',
  plural: 'grpcroutes',
  categories: ['gateway-api'],
  status: true,
  description: 'GRPCRoute says where the calls of a gRPC service or method go.',
  schema: grpcRouteSchema,
  columns: [nameColumn, column('Hostnames', 'Hosts it answers to.'), ageColumn],
  cells: (route, now) => [
    route.metadata.name ?? '',
    route.spec?.hostnames === undefined ? null : JSON.stringify(route.spec.hostnames),
    age(route, now),
  ],
  validate: validateGrpcRoute,
});
