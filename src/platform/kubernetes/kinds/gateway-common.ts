import type { Static } from 'typebox';
import { kindSchema } from './meta.ts';
import {
  between,
  choice,
  int32,
  int64,
  limited,
  list,
  listMap,
  map,
  object,
  set,
  string,
  strings,
  text,
  time,
  withDefault,
} from './schema.ts';

/** Parts that several kinds of the Gateway API share, after its v1.6 specification (standard and experimental fields). */
export const GATEWAY_GROUP = 'gateway.networking.k8s.io';

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;

export const group = text({ maxLength: 253, pattern: `^$|^${SUBDOMAIN}$` });
export const kindName = text({ minLength: 1, maxLength: 63, pattern: '^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$' });
export const objectName = text({ minLength: 1, maxLength: 253 });
export const namespaceName = text({ minLength: 1, maxLength: 63, pattern: `^${LABEL}$` });
export const sectionName = text({ minLength: 1, maxLength: 253, pattern: `^${SUBDOMAIN}$` });
export const hostname = text({ minLength: 1, maxLength: 253, pattern: `^(\\*\\.)?${SUBDOMAIN}$` });
export const preciseHostname = text({ minLength: 1, maxLength: 253, pattern: `^${SUBDOMAIN}$` });
export const portNumber = between(1, 65535);
/** GEP-2257: `1h30m`, `500ms`; at most four parts. */
export const gatewayDuration = text({ pattern: '^([0-9]{1,5}(h|m|s|ms)){1,4}$' });
export const controllerName = text({
  minLength: 1,
  maxLength: 253,
  pattern: `^${SUBDOMAIN}\\/[A-Za-z0-9\\/\\-._~%!$&'()*+,;=:]+$`,
});
export const annotationValue = text({ minLength: 0, maxLength: 4096 });
/** Options of an implementation, keyed by a qualified name. */
export const options = limited(map(annotationValue), { maxProperties: 16 });

/** A token of RFC 9110 5.6.2. */
export const headerName = text({ minLength: 1, maxLength: 256, pattern: "^[A-Za-z0-9!#$%&'*+\\-.^_\\x60|~]+$" });
export const headerValue = text({ minLength: 1, maxLength: 4096, pattern: '^[!-~]+([\\t ]?[!-~]+)*$' });

/** `metav1.Condition`, stricter than what built-in kinds carry. */
const gatewayCondition = object(
  {
    type: text({ maxLength: 316, pattern: `^(${SUBDOMAIN}/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$` }),
    status: choice('True', 'False', 'Unknown'),
    observedGeneration: limited(int64, { minimum: 0 }),
    lastTransitionTime: time,
    reason: text({ minLength: 1, maxLength: 1024, pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$' }),
    message: text({ maxLength: 32768 }),
  },
  ['type', 'status', 'lastTransitionTime', 'reason', 'message'],
);
export type GatewayCondition = Static<typeof gatewayCondition>;
export const gatewayConditions = limited(listMap(gatewayCondition, 'type'), { maxItems: 8 });

/** The conditions an object has until its controller speaks. */
export const waitingConditions = (...types: readonly string[]) =>
  types.map((type) => ({
    type,
    status: 'Unknown',
    reason: 'Pending',
    message: 'Waiting for controller',
    lastTransitionTime: '1970-01-01T00:00:00Z',
  }));

export const parentReference = object(
  {
    group: withDefault(group, GATEWAY_GROUP),
    kind: withDefault(kindName, 'Gateway'),
    namespace: namespaceName,
    name: objectName,
    sectionName,
    port: portNumber,
  },
  ['name'],
);
export type ParentReference = Static<typeof parentReference>;

const backendObjectFields = {
  group: withDefault(group, ''),
  kind: withDefault(kindName, 'Service'),
  name: objectName,
  namespace: namespaceName,
  port: portNumber,
};
export const backendObjectReference = object(backendObjectFields, ['name']);
export type BackendObjectReference = Static<typeof backendObjectReference>;
/** The fields of a backend with its share; 0 sends nothing there. */
export const backendRefFields = {
  ...backendObjectFields,
  weight: withDefault(between(0, 1_000_000), 1),
};
export const backendRef = object(backendRefFields, ['name']);
export type BackendRef = Static<typeof backendRef>;

export const localObjectReference = object({ group, kind: kindName, name: objectName }, ['group', 'kind', 'name']);
export const objectReference = object({ group, kind: kindName, name: objectName, namespace: namespaceName }, ['group', 'kind', 'name']);
export const secretObjectReference = object(
  { group: withDefault(group, ''), kind: withDefault(kindName, 'Secret'), name: objectName, namespace: namespaceName },
  ['name'],
);

/** Fields every route's spec has. */
export const commonRouteFields = {
  parentRefs: limited(list(parentReference), { maxItems: 32 }),
  useDefaultGateways: choice('All', 'None'),
};

const routeParentStatus = object({ parentRef: parentReference, controllerName, conditions: limited(gatewayConditions, { minItems: 1 }) }, [
  'parentRef',
  'controllerName',
  'conditions',
]);
export type RouteParentStatus = Static<typeof routeParentStatus>;
export const routeStatus = object({ parents: limited(list(routeParentStatus), { maxItems: 32 }) }, ['parents']);

const header = object({ name: headerName, value: headerValue }, ['name', 'value']);
export const headerFilter = object({
  set: limited(listMap(header, 'name'), { maxItems: 16 }),
  add: limited(listMap(header, 'name'), { maxItems: 16 }),
  remove: limited(set(string), { maxItems: 16 }),
});
export type HttpHeaderFilter = Static<typeof headerFilter>;

/** Share of requests, `numerator` out of `denominator`. */
export const fraction = object(
  { numerator: limited(int32, { minimum: 0 }), denominator: withDefault(limited(int32, { minimum: 1 }), 100) },
  ['numerator'],
);
export const requestMirrorFilter = object({ backendRef: backendObjectReference, percent: between(0, 100), fraction }, ['backendRef']);
export type HttpRequestMirrorFilter = Static<typeof requestMirrorFilter>;

export const sessionPersistence = object({
  sessionName: text({ maxLength: 128 }),
  absoluteTimeout: gatewayDuration,
  type: withDefault(choice('Cookie', 'Header'), 'Cookie'),
  cookieConfig: object({ lifetimeType: withDefault(choice('Permanent', 'Session'), 'Session') }),
});
export type SessionPersistence = Static<typeof sessionPersistence>;

/** The selector of the namespaces that may attach. */
export const namespaceSelector = object(
  {
    matchLabels: strings,
    matchExpressions: list(object({ key: string, operator: string, values: list(string) }, ['key', 'operator'])),
  },
  [],
  { 'x-kubernetes-map-type': 'atomic' },
);

/** The outer object of a route. */
export const routeSchema = <S extends Parameters<typeof kindSchema>[0][string]>(spec: S) =>
  kindSchema({ spec, status: routeStatus }, ['spec']);
