import type { Static } from 'typebox';
import { istioStatus, SECURITY_GROUP, targetRef, workloadSelector } from './istio-common.ts';
import { age, ageColumn, column, defineKind, type FieldProblem, forbidden, invalid, nameColumn, required } from './kind.ts';
import { kindSchema } from './meta.ts';
import { choice, list, map, object, string } from './schema.ts';

const source = object({
  principals: list(string),
  notPrincipals: list(string),
  requestPrincipals: list(string),
  notRequestPrincipals: list(string),
  namespaces: list(string),
  notNamespaces: list(string),
  serviceAccounts: list(string),
  notServiceAccounts: list(string),
  ipBlocks: list(string),
  notIpBlocks: list(string),
  remoteIpBlocks: list(string),
  notRemoteIpBlocks: list(string),
  trustDomains: list(string),
  notTrustDomains: list(string),
});
const operation = object({
  hosts: list(string),
  notHosts: list(string),
  ports: list(string),
  notPorts: list(string),
  methods: list(string),
  notMethods: list(string),
  paths: list(string),
  notPaths: list(string),
});
const rule = object({
  from: list(object({ source })),
  to: list(object({ operation })),
  when: list(object({ key: string, values: list(string), notValues: list(string) }, ['key'])),
});
export type AuthorizationRule = Static<typeof rule>;

const authorizationPolicySchema = kindSchema({
  spec: object({
    selector: workloadSelector,
    targetRef,
    targetRefs: list(targetRef),
    rules: list(rule),
    action: choice('ALLOW', 'DENY', 'AUDIT', 'CUSTOM'),
    provider: object({ name: string }),
  }),
  status: istioStatus,
});
export type AuthorizationPolicy = Static<typeof authorizationPolicySchema>;
export const AuthorizationPolicyKind = defineKind<AuthorizationPolicy>({
  apiVersion: `${SECURITY_GROUP}/v1`,
  otherVersions: ['v1beta1'],
  kind: 'AuthorizationPolicy',
  plural: 'authorizationpolicies',
  shortNames: ['ap'],
  categories: ['istio-io', 'security-istio-io'],
  status: true,
  description: 'AuthorizationPolicy enables access control on workloads.',
  schema: authorizationPolicySchema,
  columns: [nameColumn, column('Action', 'The operation to take.'), ageColumn],
  cells: (policy, now) => [policy.metadata.name ?? '', policy.spec?.action ?? '', age(policy, now)],
  validate: ({ spec }) => {
    const problems: FieldProblem[] = [];
    const refs = (spec?.targetRef === undefined ? 0 : 1) + (spec?.targetRefs?.length ?? 0);
    if (spec?.selector !== undefined && refs > 0) problems.push(forbidden('spec', 'only one of targetRefs or selector can be set'));
    if (spec?.action === 'CUSTOM' && spec.provider === undefined)
      problems.push(required('spec.provider', 'must be set when the action is CUSTOM'));
    for (const [index, entry] of (spec?.rules ?? []).entries()) {
      for (const [at, { source: from }] of (entry.from ?? []).entries()) {
        const field = `spec.rules[${index}].from[${at}].source`;
        const hasAccounts = (from?.serviceAccounts ?? from?.notServiceAccounts) !== undefined;
        if (hasAccounts && (from?.principals ?? from?.notPrincipals ?? from?.namespaces ?? from?.notNamespaces) !== undefined)
          problems.push(forbidden(field, 'serviceAccounts cannot be given together with principals or namespaces'));
      }
      for (const [at, condition] of (entry.when ?? []).entries()) {
        if ((condition.values ?? []).length + (condition.notValues ?? []).length > 0) continue;
        problems.push(required(`spec.rules[${index}].when[${at}]`, 'at least one of values, notValues must be set'));
      }
    }
    return problems;
  },
});

const mtls = object({ mode: choice('UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT') });
const peerAuthenticationSchema = kindSchema({
  spec: object({ selector: workloadSelector, mtls, portLevelMtls: map(mtls) }),
  status: istioStatus,
});
export type PeerAuthentication = Static<typeof peerAuthenticationSchema>;
export const PeerAuthenticationKind = defineKind<PeerAuthentication>({
  apiVersion: `${SECURITY_GROUP}/v1`,
  otherVersions: ['v1beta1'],
  kind: 'PeerAuthentication',
  plural: 'peerauthentications',
  shortNames: ['pa'],
  categories: ['istio-io', 'security-istio-io'],
  status: true,
  description: 'PeerAuthentication defines mutual TLS requirements of incoming connections.',
  schema: peerAuthenticationSchema,
  columns: [nameColumn, column('Mode', 'Defines the mTLS mode used for peer authentication.'), ageColumn],
  cells: (policy, now) => [policy.metadata.name ?? '', policy.spec?.mtls?.mode ?? '', age(policy, now)],
  validate: ({ spec }) => {
    const ports = Object.keys(spec?.portLevelMtls ?? {});
    const problems = ports
      .filter((port) => !/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65535)
      .map((port) => invalid('spec.portLevelMtls', port, 'must be a port between 1 and 65535'));
    if (ports.length > 0 && Object.keys(spec?.selector?.matchLabels ?? {}).length === 0)
      problems.push(forbidden('spec.portLevelMtls', 'portLevelMtls requires selector'));
    return problems;
  },
});
