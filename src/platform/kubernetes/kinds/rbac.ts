import type { Static } from 'typebox';
import { age, ageColumn, column, defineKind, type FieldProblem, invalid, nameColumn, notSupported, required } from './kind.ts';
import { kindSchema, labelSelectorSchema } from './meta.ts';
import { list, object, string } from './schema.ts';

const policyRule = object(
  { verbs: list(string), apiGroups: list(string), resources: list(string), resourceNames: list(string), nonResourceURLs: list(string) },
  ['verbs'],
);
export type PolicyRule = Static<typeof policyRule>;
const subject = object({ kind: string, apiGroup: string, name: string, namespace: string }, ['kind', 'name'], {
  'x-kubernetes-map-type': 'atomic',
});
export type RbacSubject = Static<typeof subject>;
const roleRef = object({ apiGroup: string, kind: string, name: string }, ['kind', 'name'], { 'x-kubernetes-map-type': 'atomic' });

const RBAC = 'rbac.authorization.k8s.io';
const createdColumns = [nameColumn, column('Created At', 'When it was created')];

const roleSchema = kindSchema({ rules: list(policyRule) });
export type Role = Static<typeof roleSchema>;
const validateRules = (object: { rules?: PolicyRule[] }): FieldProblem[] =>
  (object.rules ?? []).flatMap((rule, index) => {
    const at = `rules[${index}]`;
    if ((rule.verbs ?? []).length === 0) return [required(`${at}.verbs`, 'verbs must contain at least one value')];
    if ((rule.nonResourceURLs ?? []).length > 0) return [];
    if ((rule.apiGroups ?? []).length === 0) return [required(`${at}.apiGroups`, 'resource rules must supply at least one api group')];
    return (rule.resources ?? []).length === 0 ? [required(`${at}.resources`, 'resource rules must supply at least one resource')] : [];
  });
export const RoleKind = defineKind<Role>({
  apiVersion: `${RBAC}/v1`,
  kind: 'Role',
  plural: 'roles',
  description: 'Role is a namespaced, logical grouping of PolicyRules that can be referenced as a unit by a RoleBinding.',
  schema: roleSchema,
  columns: createdColumns,
  cells: ({ metadata }) => [metadata.name ?? '', metadata.creationTimestamp ?? ''],
  validate: validateRules,
});

const clusterRoleSchema = kindSchema({
  rules: list(policyRule),
  aggregationRule: object({ clusterRoleSelectors: list(labelSelectorSchema) }),
});
export type ClusterRole = Static<typeof clusterRoleSchema>;
export const ClusterRoleKind = defineKind<ClusterRole>({
  apiVersion: `${RBAC}/v1`,
  kind: 'ClusterRole',
  plural: 'clusterroles',
  scope: 'Cluster',
  description:
    'ClusterRole is a cluster level, logical grouping of PolicyRules that can be referenced as a unit by a RoleBinding or ClusterRoleBinding.',
  schema: clusterRoleSchema,
  columns: createdColumns,
  cells: ({ metadata }) => [metadata.name ?? '', metadata.creationTimestamp ?? ''],
  validate: validateRules,
});

const bindingSchema = kindSchema({ subjects: list(subject), roleRef }, ['roleRef']);
export type RoleBinding = Static<typeof bindingSchema>;
export type ClusterRoleBinding = RoleBinding;

const bindingColumns = [
  nameColumn,
  column('Role', 'The role it grants'),
  ageColumn,
  column('Users', 'Users', { wide: true }),
  column('Groups', 'Groups', { wide: true }),
  column('ServiceAccounts', 'Service accounts', { wide: true }),
];
function bindingCells(binding: RoleBinding, now: number) {
  const of = (kind: string) => (binding.subjects ?? []).filter((entry) => entry.kind === kind);
  return [
    binding.metadata.name ?? '',
    `${binding.roleRef.kind}/${binding.roleRef.name}`,
    age(binding, now),
    of('User')
      .map((entry) => entry.name)
      .join(', '),
    of('Group')
      .map((entry) => entry.name)
      .join(', '),
    of('ServiceAccount')
      .map((entry) => `${entry.namespace}/${entry.name}`)
      .join(', '),
  ];
}
function bindingDefaults(binding: RoleBinding): void {
  if (binding.roleRef !== undefined) binding.roleRef.apiGroup ??= RBAC;
  for (const entry of binding.subjects ?? []) if (entry.kind !== 'ServiceAccount') entry.apiGroup ??= RBAC;
}
function validateBinding(binding: RoleBinding, old: RoleBinding | undefined, kinds: readonly string[]): FieldProblem[] {
  const problems: FieldProblem[] = [];
  if (!kinds.includes(binding.roleRef?.kind ?? '')) problems.push(notSupported('roleRef.kind', binding.roleRef?.kind, kinds));
  if (old !== undefined && !Bun.deepEquals(old.roleRef, binding.roleRef))
    problems.push(invalid('roleRef', binding.roleRef, 'cannot change roleRef'));
  (binding.subjects ?? []).forEach((entry, index) => {
    if (!['ServiceAccount', 'User', 'Group'].includes(entry.kind))
      problems.push(notSupported(`subjects[${index}].kind`, entry.kind, ['ServiceAccount', 'User', 'Group']));
    else if (entry.kind === 'ServiceAccount' && (entry.namespace ?? '') === '') problems.push(required(`subjects[${index}].namespace`));
  });
  return problems;
}

export const RoleBindingKind = defineKind<RoleBinding>({
  apiVersion: `${RBAC}/v1`,
  kind: 'RoleBinding',
  plural: 'rolebindings',
  description: 'RoleBinding references a role, but does not contain it.',
  schema: bindingSchema,
  columns: bindingColumns,
  cells: bindingCells,
  defaults: bindingDefaults,
  validate: (binding, old) => validateBinding(binding, old, ['Role', 'ClusterRole']),
});
export const ClusterRoleBindingKind = defineKind<ClusterRoleBinding>({
  apiVersion: `${RBAC}/v1`,
  kind: 'ClusterRoleBinding',
  plural: 'clusterrolebindings',
  scope: 'Cluster',
  description: 'ClusterRoleBinding references a ClusterRole, but not contain it.',
  schema: bindingSchema,
  columns: bindingColumns,
  cells: bindingCells,
  defaults: bindingDefaults,
  validate: (binding, old) => validateBinding(binding, old, ['ClusterRole']),
});
