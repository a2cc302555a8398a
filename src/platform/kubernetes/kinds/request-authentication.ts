import type { Static } from 'typebox';
import { duration, istioStatus, SECURITY_GROUP, targetRef, workloadSelector } from './istio-common.ts';
import { defineKind } from './kind.ts';
import { kindSchema } from './meta.ts';
import { validateRequestAuthentication } from './request-authentication-validation.ts';
import { boolean, limited, list, object, string, text } from './schema.ts';

/** Every field of `istio.security.v1beta1.RequestAuthentication`. */

const named = text({ minLength: 1 });
const url = text({ minLength: 1, maxLength: 2048 });
const jwtRule = object({
  issuer: named,
  audiences: list(named),
  jwksUri: url,
  jwks_uri: url,
  jwks: string,
  fromHeaders: list(object({ name: named, prefix: string }, ['name'])),
  fromParams: list(named),
  fromCookies: list(named),
  outputPayloadToHeader: string,
  forwardOriginalToken: boolean,
  outputClaimToHeaders: list(object({ header: text({ minLength: 1, pattern: '^[-_A-Za-z0-9]+$' }), claim: named }, ['header', 'claim'])),
  timeout: duration,
  spaceDelimitedClaims: limited(list(named), { maxItems: 64 }),
});
export type JwtRule = Static<typeof jwtRule>;

const requestAuthenticationSchema = kindSchema({
  spec: object({
    selector: workloadSelector,
    targetRef,
    targetRefs: limited(list(targetRef), { maxItems: 16 }),
    jwtRules: limited(list(jwtRule), { maxItems: 4096 }),
  }),
  status: istioStatus,
});
export type RequestAuthentication = Static<typeof requestAuthenticationSchema>;
export const RequestAuthenticationKind = defineKind<RequestAuthentication>({
  apiVersion: `${SECURITY_GROUP}/v1`,
  otherVersions: ['v1beta1'],
  kind: 'RequestAuthentication',
  plural: 'requestauthentications',
  shortNames: ['ra'],
  categories: ['istio-io', 'security-istio-io'],
  status: true,
  description: 'RequestAuthentication says which tokens requests may carry and who issues them.',
  schema: requestAuthenticationSchema,
  validate: validateRequestAuthentication,
});
