import type { Static } from 'typebox';
import { backendRef, commonRouteFields, GATEWAY_GROUP, hostname, routeSchema, sectionName } from './gateway-common.ts';
import { defineKind } from './kind.ts';
import { validateTcpRoute, validateTlsRoute } from './routes-l4-validation.ts';
import { limited, list, object } from './schema.ts';

const rule = object({ name: sectionName, backendRefs: limited(list(backendRef), { minItems: 1, maxItems: 16 }) }, ['backendRefs']);
const rules = limited(list(rule), { minItems: 1, maxItems: 1 });
export type TcpRouteRule = Static<typeof rule>;
export type TlsRouteRule = Static<typeof rule>;

const tcpRouteSchema = routeSchema(object({ ...commonRouteFields, rules }, ['rules']));
export type TcpRoute = Static<typeof tcpRouteSchema>;
export const TcpRouteKind = defineKind<TcpRoute>({
  apiVersion: `${GATEWAY_GROUP}/v1`,
  otherVersions: ['v1alpha2'],
  kind: 'TCPRoute',
  plural: 'tcproutes',
  categories: ['gateway-api'],
  status: true,
  description: 'TCPRoute says where the connections of its parents go.',
  schema: tcpRouteSchema,
  validate: validateTcpRoute,
});

const tlsRouteSchema = routeSchema(
  object({ ...commonRouteFields, hostnames: limited(list(hostname), { minItems: 1, maxItems: 1024 }), rules }, ['hostnames', 'rules']),
);
export type TlsRoute = Static<typeof tlsRouteSchema>;
export const TlsRouteKind = defineKind<TlsRoute>({
  apiVersion: `${GATEWAY_GROUP}/v1`,
  otherVersions: ['v1alpha3', 'v1alpha2'],
  kind: 'TLSRoute',
  plural: 'tlsroutes',
  categories: ['gateway-api'],
  status: true,
  description: 'TLSRoute says where TLS connections go by the server name they ask for.',
  schema: tlsRouteSchema,
  validate: validateTlsRoute,
});
