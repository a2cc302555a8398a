import type { Static } from 'typebox';
import { EXTENSIONS_GROUP, istioStatus, NETWORKING_GROUP, networkingSelector, targetRef, workloadSelector } from './istio-common.ts';
import { validateEnvoyFilter, validateWasmPlugin } from './istio-extensions-validation.ts';
import { defineKind } from './kind.ts';
import { kindSchema } from './meta.ts';
import { between, choice, int32, limited, list, listMap, nullable, object, opaque, string, text } from './schema.ts';

const configPatch = object({
  applyTo: choice(
    'INVALID',
    'LISTENER',
    'FILTER_CHAIN',
    'NETWORK_FILTER',
    'HTTP_FILTER',
    'ROUTE_CONFIGURATION',
    'VIRTUAL_HOST',
    'HTTP_ROUTE',
    'CLUSTER',
    'EXTENSION_CONFIG',
    'BOOTSTRAP',
    'LISTENER_FILTER',
  ),
  match: opaque,
  patch: opaque,
});
/** Matches and patches are Envoy's configuration: kept as they are. */
export type EnvoyFilterPatch = Static<typeof configPatch>;
const envoyFilterSchema = kindSchema({
  spec: object({
    workloadSelector: networkingSelector,
    targetRefs: limited(list(targetRef), { maxItems: 16 }),
    configPatches: list(configPatch),
    priority: int32,
  }),
  status: istioStatus,
});
export type EnvoyFilter = Static<typeof envoyFilterSchema>;
export const EnvoyFilterKind = defineKind<EnvoyFilter>({
  apiVersion: `${NETWORKING_GROUP}/v1alpha3`,
  kind: 'EnvoyFilter',
  plural: 'envoyfilters',
  categories: ['istio-io', 'networking-istio-io'],
  status: true,
  description: "EnvoyFilter changes Envoy's configuration. Stored here; a mesh without Envoy reports it as not honoured.",
  schema: envoyFilterSchema,
  validate: validateEnvoyFilter,
});

const wasmPluginSchema = kindSchema(
  {
    spec: object(
      {
        selector: workloadSelector,
        targetRef,
        targetRefs: limited(list(targetRef), { maxItems: 16 }),
        url: text({ minLength: 1 }),
        sha256: text({ pattern: '(^$|^[a-f0-9]{64}$)' }),
        imagePullPolicy: choice('UNSPECIFIED_POLICY', 'IfNotPresent', 'Always'),
        imagePullSecret: text({ minLength: 1, maxLength: 253 }),
        verificationKey: string,
        pluginConfig: opaque,
        pluginName: text({ minLength: 1, maxLength: 256 }),
        phase: choice('UNSPECIFIED_PHASE', 'AUTHN', 'AUTHZ', 'STATS'),
        priority: nullable(int32),
        failStrategy: choice('FAIL_CLOSE', 'FAIL_OPEN', 'FAIL_RELOAD'),
        vmConfig: object({
          env: limited(
            listMap(
              object(
                { name: text({ minLength: 1, maxLength: 256 }), valueFrom: choice('INLINE', 'HOST'), value: text({ maxLength: 2048 }) },
                ['name'],
              ),
              'name',
            ),
            { maxItems: 256 },
          ),
        }),
        match: list(
          object({
            mode: choice('UNDEFINED', 'CLIENT', 'SERVER', 'CLIENT_AND_SERVER'),
            ports: listMap(object({ number: between(1, 65535) }, ['number']), 'number'),
          }),
        ),
        type: choice('UNSPECIFIED_PLUGIN_TYPE', 'HTTP', 'NETWORK'),
      },
      ['url'],
    ),
    status: istioStatus,
  },
  ['spec'],
);
export type WasmPlugin = Static<typeof wasmPluginSchema>;
export const WasmPluginKind = defineKind<WasmPlugin>({
  apiVersion: `${EXTENSIONS_GROUP}/v1alpha1`,
  kind: 'WasmPlugin',
  plural: 'wasmplugins',
  categories: ['istio-io', 'extensions-istio-io'],
  status: true,
  description: 'WasmPlugin extends a proxy with a WebAssembly filter.',
  schema: wasmPluginSchema,
  validate: validateWasmPlugin,
});
