import type { Static } from 'typebox';
import { conditions } from './meta.ts';
import { atMostOne, int64, limited, list, map, number, object, opaque, string, strings, text, uint32 } from './schema.ts';

/** Parts that several of Istio's kinds share, after its API definitions (`istio/api`). */
export const NETWORKING_GROUP = 'networking.istio.io';
export const SECURITY_GROUP = 'security.istio.io';
export const EXTENSIONS_GROUP = 'extensions.istio.io';
export const TELEMETRY_GROUP = 'telemetry.istio.io';

/** `istio.type.v1beta1.WorkloadSelector`. */
export const workloadSelector = object({ matchLabels: limited(map(text({ maxLength: 63 })), { maxProperties: 4096 }) });
/** `istio.networking.v1alpha3.WorkloadSelector`, which names the same thing differently. */
export const networkingSelector = object({ labels: limited(map(text({ maxLength: 63 })), { maxProperties: 256 }) });
/** `istio.type.v1beta1.PolicyTargetReference`. */
export const targetRef = object(
  {
    group: text({ maxLength: 253, pattern: '^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$' }),
    kind: text({ minLength: 1, maxLength: 63, pattern: '^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$' }),
    name: text({ minLength: 1, maxLength: 253 }),
    namespace: string,
  },
  ['kind', 'name'],
);
export type PolicyTargetReference = Static<typeof targetRef>;
export const istioStatusFields = { conditions, validationMessages: list(opaque), observedGeneration: int64 };
export const istioStatus = object(istioStatusFields);

/** `istio.networking.v1alpha3.StringMatch`: one of its fields. */
export const stringMatch = object({ exact: string, prefix: string, regex: string }, [], atMostOne('exact', 'prefix', 'regex'));
export type StringMatch = Static<typeof stringMatch>;
/** `google.protobuf.Duration` in its JSON form, or as Go writes durations: `1.5s`, `1h30m`. */
export const duration = string;
/** `istio.networking.v1alpha3.Percent`, 0 to 100. */
export const percent = object({ value: number });
/** `istio.networking.v1alpha3.Destination`. */
export const destination = object({ host: string, subset: string, port: object({ number: uint32 }) }, ['host']);
export type Destination = Static<typeof destination>;
export const headerOperations = object({ set: strings, add: strings, remove: list(string) });
/** `istio.networking.v1alpha3.Headers`. */
export const headers = object({ request: headerOperations, response: headerOperations });
export type IstioHeaders = Static<typeof headers>;
export const exportTo = list(string);
