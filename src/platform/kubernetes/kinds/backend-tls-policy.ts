import type { Static } from 'typebox';
import {
  controllerName,
  GATEWAY_GROUP,
  gatewayConditions,
  group,
  hostname,
  kindName,
  localObjectReference,
  objectName,
  options,
  parentReference,
  preciseHostname,
  sectionName,
} from './gateway-common.ts';
import { broken } from './gateway-rules.ts';
import { defineKind, type FieldProblem } from './kind.ts';
import { kindSchema } from './meta.ts';
import { choice, limited, list, object, text } from './schema.ts';

const subjectAltName = object(
  {
    type: choice('Hostname', 'URI'),
    hostname,
    uri: text({ minLength: 1, maxLength: 253, pattern: '^(([^:/?#]+):)(//([^/?#]*))([^?#]*)(\\?([^#]*))?(#(.*))?' }),
  },
  ['type'],
);
const backendTlsPolicySchema = kindSchema(
  {
    spec: object(
      {
        targetRefs: limited(list(object({ group, kind: kindName, name: objectName, sectionName }, ['group', 'kind', 'name'])), {
          minItems: 1,
          maxItems: 16,
        }),
        validation: object(
          {
            caCertificateRefs: limited(list(localObjectReference), { maxItems: 8 }),
            wellKnownCACertificates: text({
              minLength: 1,
              maxLength: 253,
              pattern:
                '^(System|([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]))$',
            }),
            hostname: preciseHostname,
            subjectAltNames: limited(list(subjectAltName), { maxItems: 5 }),
          },
          ['hostname'],
        ),
        options,
      },
      ['targetRefs', 'validation'],
    ),
    status: object(
      {
        ancestors: limited(
          list(
            object({ ancestorRef: parentReference, controllerName, conditions: limited(gatewayConditions, { minItems: 1 }) }, [
              'ancestorRef',
              'controllerName',
              'conditions',
            ]),
          ),
          { maxItems: 16 },
        ),
      },
      ['ancestors'],
    ),
  },
  ['spec'],
);
export type BackendTlsPolicy = Static<typeof backendTlsPolicySchema>;
export const BackendTlsPolicyKind = defineKind<BackendTlsPolicy>({
  apiVersion: `${GATEWAY_GROUP}/v1`,
  otherVersions: ['v1alpha3'],
  kind: 'BackendTLSPolicy',
  plural: 'backendtlspolicies',
  shortNames: ['btlspolicy'],
  categories: ['gateway-api'],
  status: true,
  description: 'BackendTLSPolicy says how to speak TLS to a backend.',
  schema: backendTlsPolicySchema,
  validate: validateBackendTlsPolicy,
});

/** The rules of the BackendTLSPolicy definition beyond its schema. */
function validateBackendTlsPolicy({ spec }: BackendTlsPolicy): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const targets = spec?.targetRefs ?? [];
  const whole = targets.map((target) => JSON.stringify([target.group, target.kind, target.name]));
  const exact = targets.map((target) => JSON.stringify([target.group, target.kind, target.name, target.sectionName ?? '']));
  const isAmbiguous = targets.some(
    (target, index) => target.sectionName === undefined && whole.indexOf(whole[index]!) !== whole.lastIndexOf(whole[index]!),
  );
  if (isAmbiguous || new Set(exact).size < exact.length)
    problems.push(broken('spec.targetRefs', targets, 'sectionName must be given, and differ, in several references to the same target'));
  const validation = spec?.validation;
  if (validation === undefined) return problems;
  if ((validation.caCertificateRefs ?? []).length > 0 === (validation.wellKnownCACertificates !== undefined))
    problems.push(broken('spec.validation', validation, 'either caCertificateRefs or wellKnownCACertificates must be given'));
  validation.subjectAltNames?.forEach((name, index) => {
    for (const [type, field] of [
      ['Hostname', 'hostname'],
      ['URI', 'uri'],
    ] as const)
      if ((name.type === type) !== (name[field] !== undefined))
        problems.push(
          broken(`spec.validation.subjectAltNames[${index}]`, name, `${field} must be given when type is ${type}, and only then`),
        );
  });
  return problems;
}
