import type { Static } from 'typebox';
import {
  annotationValue,
  controllerName,
  GATEWAY_GROUP,
  gatewayConditions,
  group,
  hostname,
  kindName,
  localObjectReference,
  namespaceName,
  namespaceSelector,
  objectName,
  objectReference,
  options,
  portNumber,
  secretObjectReference,
  sectionName,
  waitingConditions,
} from './gateway-common.ts';
import { validateGateway, validateGatewayClass } from './gateway-validation.ts';
import { age, ageColumn, column, defineKind, nameColumn } from './kind.ts';
import { kindSchema } from './meta.ts';
import { choice, int32, limited, list, listMap, map, object, string, text, withDefault } from './schema.ts';

const gatewayClassSchema = kindSchema(
  {
    spec: object({ controllerName, parametersRef: objectReference, description: text({ maxLength: 64 }) }, ['controllerName']),
    status: withDefault(
      object({
        conditions: withDefault(gatewayConditions, waitingConditions('Accepted')),
        supportedFeatures: limited(listMap(object({ name: string }, ['name']), 'name'), { maxItems: 64 }),
      }),
      { conditions: waitingConditions('Accepted') },
    ),
  },
  ['spec'],
);
export type GatewayClass = Static<typeof gatewayClassSchema>;
export const GatewayClassKind = defineKind<GatewayClass>({
  apiVersion: `${GATEWAY_GROUP}/v1`,
  otherVersions: ['v1beta1'],
  kind: 'GatewayClass',
  plural: 'gatewayclasses',
  shortNames: ['gc'],
  categories: ['gateway-api'],
  scope: 'Cluster',
  status: true,
  description: 'GatewayClass names a kind of Gateway and the controller that serves it.',
  schema: gatewayClassSchema,
  columns: [
    nameColumn,
    column('Controller', 'The controller that serves Gateways of this class.'),
    column('Accepted', 'Whether the controller took the class.'),
    ageColumn,
    column('Description', 'What the class is for.', { wide: true }),
  ],
  cells: (gatewayClass, now) => [
    gatewayClass.metadata.name ?? '',
    gatewayClass.spec?.controllerName ?? null,
    gatewayClass.status?.conditions?.find((condition) => condition.type === 'Accepted')?.status ?? null,
    age(gatewayClass, now),
    gatewayClass.spec?.description ?? null,
  ],
  validate: validateGatewayClass,
});

const routeGroupKind = object({ group: withDefault(group, GATEWAY_GROUP), kind: kindName }, ['kind']);
export type RouteGroupKind = Static<typeof routeGroupKind>;
const allowedRoutes = object({
  namespaces: withDefault(object({ from: withDefault(choice('All', 'Selector', 'Same'), 'Same'), selector: namespaceSelector }), {
    from: 'Same',
  }),
  kinds: limited(list(routeGroupKind), { maxItems: 8 }),
});
export type AllowedRoutes = Static<typeof allowedRoutes>;

const ADDRESS_TYPE =
  "^Hostname|IPAddress|NamedAddress|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\\/[A-Za-z0-9\\/\\-._~%!$&'()*+,;=:]+$";
const addressType = withDefault(text({ minLength: 1, maxLength: 253, pattern: ADDRESS_TYPE }), 'IPAddress');
const specAddress = object({ type: addressType, value: text({ maxLength: 253 }) });
const statusAddress = object({ type: addressType, value: text({ minLength: 1, maxLength: 253 }) }, ['value']);

const listener = object(
  {
    name: sectionName,
    hostname,
    port: portNumber,
    protocol: text({
      minLength: 1,
      maxLength: 255,
      pattern: '^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\\/[A-Za-z0-9]+$',
    }),
    tls: object({
      mode: withDefault(choice('Terminate', 'Passthrough'), 'Terminate'),
      certificateRefs: limited(list(secretObjectReference), { maxItems: 64 }),
      options,
    }),
    allowedRoutes: withDefault(allowedRoutes, { namespaces: { from: 'Same' } }),
  },
  ['name', 'port', 'protocol'],
);
export type GatewayListener = Static<typeof listener>;

const frontendTls = object({
  validation: object(
    {
      caCertificateRefs: limited(list(objectReference), { minItems: 1, maxItems: 16 }),
      mode: withDefault(choice('AllowValidOnly', 'AllowInsecureFallback'), 'AllowValidOnly'),
    },
    ['caCertificateRefs'],
  ),
});
const waitingGateway = waitingConditions('Accepted', 'Programmed');
const gatewaySchema = kindSchema(
  {
    spec: object(
      {
        gatewayClassName: objectName,
        listeners: limited(listMap(listener, 'name'), { minItems: 1, maxItems: 64 }),
        addresses: limited(list(specAddress), { maxItems: 16 }),
        infrastructure: object({
          labels: limited(map(text({ minLength: 0, maxLength: 63, pattern: '^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$' })), {
            maxProperties: 8,
          }),
          annotations: limited(map(annotationValue), { maxProperties: 16 }),
          parametersRef: localObjectReference,
        }),
        allowedListeners: object({
          namespaces: withDefault(
            object({ from: withDefault(choice('All', 'Selector', 'Same', 'None'), 'None'), selector: namespaceSelector }),
            { from: 'None' },
          ),
        }),
        tls: object({
          backend: object({ clientCertificateRef: secretObjectReference }),
          frontend: object(
            {
              default: frontendTls,
              perPort: limited(listMap(object({ port: portNumber, tls: frontendTls }, ['port', 'tls']), 'port'), { maxItems: 64 }),
            },
            ['default'],
          ),
        }),
        defaultScope: choice('All', 'None'),
      },
      ['gatewayClassName', 'listeners'],
    ),
    status: withDefault(
      object({
        addresses: limited(list(statusAddress), { maxItems: 16 }),
        conditions: withDefault(gatewayConditions, waitingGateway),
        listeners: limited(
          listMap(
            object(
              {
                name: sectionName,
                supportedKinds: limited(list(routeGroupKind), { maxItems: 8 }),
                attachedRoutes: int32,
                conditions: gatewayConditions,
              },
              ['name', 'attachedRoutes', 'conditions'],
            ),
            'name',
          ),
          { maxItems: 64 },
        ),
        attachedListenerSets: int32,
      }),
      { conditions: waitingGateway },
    ),
  },
  ['spec'],
);
export type Gateway = Static<typeof gatewaySchema>;
export type GatewayListenerStatus = NonNullable<NonNullable<Gateway['status']>['listeners']>[number];
export const GatewayKind = defineKind<Gateway>({
  apiVersion: `${GATEWAY_GROUP}/v1`,
  otherVersions: ['v1beta1'],
  kind: 'Gateway',
  plural: 'gateways',
  shortNames: ['gtw'],
  categories: ['gateway-api'],
  status: true,
  description: 'Gateway asks for a proxy of a class, with the listeners it must have. A waypoint is a Gateway of class istio-waypoint.',
  schema: gatewaySchema,
  columns: [
    nameColumn,
    column('Class', 'The GatewayClass.'),
    column('Address', 'The first address assigned.'),
    column('Programmed', 'Whether the proxy serves this configuration.'),
    ageColumn,
  ],
  cells: (gateway, now) => [
    gateway.metadata.name ?? '',
    gateway.spec?.gatewayClassName ?? null,
    gateway.status?.addresses?.[0]?.value ?? null,
    gateway.status?.conditions?.find((condition) => condition.type === 'Programmed')?.status ?? null,
    age(gateway, now),
  ],
  validate: validateGateway,
});

const referenceGrantSchema = kindSchema(
  {
    spec: object(
      {
        from: limited(list(object({ group, kind: kindName, namespace: namespaceName }, ['group', 'kind', 'namespace'])), {
          minItems: 1,
          maxItems: 16,
        }),
        to: limited(list(object({ group, kind: kindName, name: objectName }, ['group', 'kind'])), { minItems: 1, maxItems: 16 }),
      },
      ['from', 'to'],
    ),
  },
  ['spec'],
);
export type ReferenceGrant = Static<typeof referenceGrantSchema>;
export const ReferenceGrantKind = defineKind<ReferenceGrant>({
  apiVersion: `${GATEWAY_GROUP}/v1`,
  otherVersions: ['v1beta1'],
  kind: 'ReferenceGrant',
  plural: 'referencegrants',
  shortNames: ['refgrant'],
  categories: ['gateway-api'],
  description: 'ReferenceGrant lets objects of other namespaces refer to objects of its own.',
  schema: referenceGrantSchema,
});
