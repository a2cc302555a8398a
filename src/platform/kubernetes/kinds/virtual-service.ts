import type { Static } from 'typebox';
import { destination, duration, exportTo, headers, istioStatus, NETWORKING_GROUP, percent, stringMatch } from './istio-common.ts';
import { age, ageColumn, column, defineKind, nameColumn } from './kind.ts';
import { kindSchema } from './meta.ts';
import { atMostOne, boolean, bytes, choice, int32, list, map, nullable, object, string, strings, uint32 } from './schema.ts';
import { validateVirtualService } from './virtual-service-validation.ts';

/** Every field of `istio.networking.v1alpha3.VirtualService`. */

const httpMatch = object({
  name: string,
  uri: stringMatch,
  scheme: stringMatch,
  method: stringMatch,
  authority: stringMatch,
  headers: map(stringMatch),
  withoutHeaders: map(stringMatch),
  queryParams: map(stringMatch),
  ignoreUriCase: boolean,
  port: uint32,
  sourceLabels: strings,
  sourceNamespace: string,
  gateways: list(string),
  statPrefix: string,
});
/** Conditions that must all hold. */
export type HttpMatchRequest = Static<typeof httpMatch>;

const httpRouteDestination = object({ destination, weight: int32, headers }, ['destination']);
export type HttpRouteDestination = Static<typeof httpRouteDestination>;
const redirect = object(
  {
    uri: string,
    authority: string,
    port: uint32,
    derivePort: choice('FROM_PROTOCOL_DEFAULT', 'FROM_REQUEST_PORT'),
    scheme: string,
    redirectCode: uint32,
    prefixRewrite: string,
  },
  [],
  atMostOne('port', 'derivePort'),
);
export type VirtualServiceRedirect = Static<typeof redirect>;
const directResponse = object({ status: uint32, body: object({ string, bytes }, [], atMostOne('string', 'bytes')) }, ['status']);
export type VirtualServiceDirectResponse = Static<typeof directResponse>;
const rewrite = object({ uri: string, authority: string, uriRegexRewrite: object({ match: string, rewrite: string }) });
export type VirtualServiceRewrite = Static<typeof rewrite>;
const retries = object({
  attempts: int32,
  perTryTimeout: duration,
  retryOn: string,
  retryRemoteLocalities: nullable(boolean),
  retryIgnorePreviousHosts: nullable(boolean),
  backoff: duration,
});
export type VirtualServiceRetry = Static<typeof retries>;
const fault = object({
  delay: object({ fixedDelay: duration, exponentialDelay: duration, percentage: percent, percent: int32 }, [], {
    ...atMostOne('fixedDelay', 'exponentialDelay'),
  }),
  abort: object({ httpStatus: int32, grpcStatus: string, http2Error: string, percentage: percent }, [], {
    ...atMostOne('httpStatus', 'grpcStatus', 'http2Error'),
  }),
});
export type VirtualServiceFault = Static<typeof fault>;
const corsPolicy = object({
  allowOrigins: list(stringMatch),
  allowOrigin: list(string),
  allowMethods: list(string),
  allowHeaders: list(string),
  exposeHeaders: list(string),
  maxAge: duration,
  allowCredentials: nullable(boolean),
  unmatchedPreflights: choice('UNSPECIFIED', 'FORWARD', 'IGNORE'),
});
export type VirtualServiceCors = Static<typeof corsPolicy>;
const mirrors = list(object({ destination, percentage: percent }, ['destination']));

const http = object({
  name: string,
  match: list(httpMatch),
  route: list(httpRouteDestination),
  redirect,
  directResponse,
  delegate: object({ name: string, namespace: string }),
  rewrite,
  timeout: duration,
  retries,
  fault,
  mirror: destination,
  mirrors,
  mirrorPercentage: percent,
  mirrorPercent: nullable(uint32),
  mirror_percent: nullable(uint32),
  corsPolicy,
  headers,
});
/** One entry of `spec.http`; the first one that matches serves the request. */
export type VirtualServiceHttpRoute = Static<typeof http>;

const l4MatchFields = {
  destinationSubnets: list(string),
  port: uint32,
  sourceLabels: strings,
  sourceNamespace: string,
  gateways: list(string),
};
const tcpMatch = object({ ...l4MatchFields, sourceSubnet: string });
const tlsMatch = object({ ...l4MatchFields, sniHosts: list(string) }, ['sniHosts']);
const l4Route = list(object({ destination, weight: int32 }, ['destination']));
const tcp = object({ match: list(tcpMatch), route: l4Route });
export type VirtualServiceTcpRoute = Static<typeof tcp>;
const tls = object({ match: list(tlsMatch), route: l4Route }, ['match']);
export type VirtualServiceTlsRoute = Static<typeof tls>;

const virtualServiceSchema = kindSchema({
  spec: object({
    hosts: list(string),
    gateways: list(string),
    http: list(http),
    tls: list(tls),
    tcp: list(tcp),
    exportTo,
  }),
  status: istioStatus,
});
export type VirtualService = Static<typeof virtualServiceSchema>;
export const VirtualServiceKind = defineKind<VirtualService>({
  apiVersion: `${NETWORKING_GROUP}/v1`,
  otherVersions: ['v1beta1', 'v1alpha3'],
  kind: 'VirtualService',
  plural: 'virtualservices',
  shortNames: ['vs'],
  categories: ['istio-io', 'networking-istio-io'],
  status: true,
  description: 'VirtualService says how requests for its hosts are routed.',
  schema: virtualServiceSchema,
  columns: [
    nameColumn,
    column('Gateways', 'The gateways and sidecars that apply these routes.'),
    column('Hosts', 'The hosts whose traffic is routed.'),
    ageColumn,
  ],
  cells: (service, now) => [
    service.metadata.name ?? '',
    service.spec?.gateways === undefined ? null : JSON.stringify(service.spec.gateways),
    service.spec?.hosts === undefined ? null : JSON.stringify(service.spec.hosts),
    age(service, now),
  ],
  validate: validateVirtualService,
});
