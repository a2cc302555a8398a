import type { Static } from 'typebox';
import { age, ageColumn, column, defineKind, nameColumn } from './kind.ts';
import { conditions, kindSchema } from './meta.ts';
import { choice, int64, list, object, opaque, string } from './schema.ts';

const NOT_ENFORCED = 'Stored here, so that bundles which carry one can be installed; this cluster does not enforce it.';

const policySchema = kindSchema({
  spec: object({
    paramKind: object({ apiVersion: string, kind: string }),
    matchConstraints: opaque,
    validations: list(opaque),
    failurePolicy: choice('Fail', 'Ignore'),
    auditAnnotations: list(opaque),
    matchConditions: list(opaque),
    variables: list(opaque),
  }),
  status: object({ observedGeneration: int64, typeChecking: opaque, conditions }),
});
export type ValidatingAdmissionPolicy = Static<typeof policySchema>;
export const ValidatingAdmissionPolicyKind = defineKind<ValidatingAdmissionPolicy>({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingAdmissionPolicy',
  plural: 'validatingadmissionpolicies',
  scope: 'Cluster',
  status: true,
  description: `ValidatingAdmissionPolicy describes rules that writes must meet. ${NOT_ENFORCED}`,
  schema: policySchema,
  columns: [
    nameColumn,
    column('Validations', 'Rules it has', { type: 'integer' }),
    column('ParamKind', 'The kind of its parameters'),
    ageColumn,
  ],
  cells: (policy, now) => [
    policy.metadata.name ?? '',
    policy.spec?.validations?.length ?? 0,
    policy.spec?.paramKind === undefined ? '<unset>' : `${policy.spec.paramKind.apiVersion}/${policy.spec.paramKind.kind}`,
    age(policy, now),
  ],
  defaults: ({ spec }) => {
    if (spec !== undefined) spec.failurePolicy ??= 'Fail';
  },
});

const bindingSchema = kindSchema({
  spec: object({ policyName: string, paramRef: opaque, matchResources: opaque, validationActions: list(string) }),
});
export type ValidatingAdmissionPolicyBinding = Static<typeof bindingSchema>;
export const ValidatingAdmissionPolicyBindingKind = defineKind<ValidatingAdmissionPolicyBinding>({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingAdmissionPolicyBinding',
  plural: 'validatingadmissionpolicybindings',
  scope: 'Cluster',
  description: `ValidatingAdmissionPolicyBinding puts a policy into force. ${NOT_ENFORCED}`,
  schema: bindingSchema,
  columns: [nameColumn, column('PolicyName', 'The policy'), column('ParamRef', 'Its parameters'), ageColumn],
  cells: (binding, now) => [
    binding.metadata.name ?? '',
    binding.spec?.policyName ?? '',
    binding.spec?.paramRef === undefined ? '<unset>' : String(binding.spec.paramRef['name'] ?? '*'),
    age(binding, now),
  ],
});
