import type { Static } from 'typebox';
import { duration, istioStatus, TELEMETRY_GROUP, targetRef, workloadSelector } from './istio-common.ts';
import { defineKind } from './kind.ts';
import { kindSchema } from './meta.ts';
import { atMostOne, boolean, choice, limited, list, map, nullable, number, object, string, text } from './schema.ts';
import { validateTelemetry } from './telemetry-validation.ts';

/** Every field of `istio.telemetry.v1alpha1.Telemetry`. */

const named = text({ minLength: 1 });
const providers = list(object({ name: named }, ['name']));
const mode = choice('CLIENT_AND_SERVER', 'CLIENT', 'SERVER');
const tracing = object({
  match: object({ mode }),
  providers,
  randomSamplingPercentage: nullable(limited(number, { minimum: 0, maximum: 100 })),
  disableSpanReporting: nullable(boolean),
  customTags: map(
    object(
      {
        literal: object({ value: named }, ['value']),
        environment: object({ name: named, defaultValue: string }, ['name']),
        header: object({ name: named, defaultValue: string }, ['name']),
        formatter: object({ value: named }, ['value']),
      },
      [],
      atMostOne('literal', 'environment', 'header', 'formatter'),
    ),
  ),
  useRequestIdForTraceSampling: nullable(boolean),
  enableIstioTags: nullable(boolean),
  disableContextPropagation: nullable(boolean),
});
export type TelemetryTracing = Static<typeof tracing>;
const override = object({
  match: object(
    {
      metric: choice(
        'ALL_METRICS',
        'REQUEST_COUNT',
        'REQUEST_DURATION',
        'REQUEST_SIZE',
        'RESPONSE_SIZE',
        'TCP_OPENED_CONNECTIONS',
        'TCP_CLOSED_CONNECTIONS',
        'TCP_SENT_BYTES',
        'TCP_RECEIVED_BYTES',
        'GRPC_REQUEST_MESSAGES',
        'GRPC_RESPONSE_MESSAGES',
      ),
      customMetric: named,
      mode,
    },
    [],
    atMostOne('metric', 'customMetric'),
  ),
  disabled: nullable(boolean),
  tagOverrides: map(object({ operation: choice('UPSERT', 'REMOVE'), value: string })),
});
export type TelemetryMetricOverride = Static<typeof override>;
const metrics = object({ providers, overrides: list(override), reportingInterval: duration });
export type TelemetryMetrics = Static<typeof metrics>;
const accessLogging = object({
  match: object({ mode }),
  providers,
  disabled: nullable(boolean),
  filter: object({ expression: string }),
});
export type TelemetryAccessLogging = Static<typeof accessLogging>;

const telemetrySchema = kindSchema({
  spec: object({
    selector: workloadSelector,
    targetRef,
    targetRefs: limited(list(targetRef), { maxItems: 16 }),
    tracing: list(tracing),
    metrics: list(metrics),
    accessLogging: list(accessLogging),
  }),
  status: istioStatus,
});
export type Telemetry = Static<typeof telemetrySchema>;
export const TelemetryKind = defineKind<Telemetry>({
  apiVersion: `${TELEMETRY_GROUP}/v1`,
  otherVersions: ['v1alpha1'],
  kind: 'Telemetry',
  plural: 'telemetries',
  shortNames: ['telemetry'],
  categories: ['istio-io', 'telemetry-istio-io'],
  status: true,
  description: 'Telemetry says which metrics, access logs and traces the proxies of a namespace or workload produce.',
  schema: telemetrySchema,
  validate: validateTelemetry,
});
