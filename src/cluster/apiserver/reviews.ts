import type { Authorization } from './authorization.ts';
import { badRequest } from './errors.ts';
import { isObject, type JsonObject } from './json.ts';
import type { User } from './request.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const texts = (value: unknown): string[] => (Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : []);
const specOf = (body: JsonObject): JsonObject => (isObject(body['spec']) ? body['spec'] : {});

/** Answers the kinds that are asked and not stored. */
export async function review(
  kind: string,
  namespace: string,
  body: JsonObject,
  user: User,
  tokens: ServiceAccountTokens,
  authorization: Authorization,
): Promise<JsonObject> {
  const spec = specOf(body);
  switch (kind) {
    case 'TokenReview':
      return { ...body, status: await reviewToken(spec, tokens) };
    case 'SelfSubjectReview':
      return { ...body, metadata: { creationTimestamp: null }, status: { userInfo: info(user) } };
    case 'SelfSubjectAccessReview':
      return { ...body, status: access(spec, user, authorization) };
    case 'LocalSubjectAccessReview': {
      const attributes = spec['resourceAttributes'];
      if (!isObject(attributes) || attributes['namespace'] !== namespace)
        throw badRequest(`spec.resourceAttributes.namespace must be ${namespace}, as in the path`);
      return { ...body, status: access(spec, subject(spec), authorization) };
    }
    case 'SubjectAccessReview':
      return { ...body, status: access(spec, subject(spec), authorization) };
    default: {
      const rules = authorization.rulesFor(user, text(spec['namespace']));
      return {
        ...body,
        status: {
          resourceRules: rules.filter((rule) => rule.resources !== undefined),
          nonResourceRules: rules.filter((rule) => rule.nonResourceURLs !== undefined),
          incomplete: false,
        },
      };
    }
  }
}

const info = (user: User) => ({
  username: user.name,
  ...(user.uid === '' ? {} : { uid: user.uid }),
  groups: user.groups,
  ...(Object.keys(user.extra).length === 0 ? {} : { extra: user.extra }),
});

async function reviewToken(spec: JsonObject, tokens: ServiceAccountTokens): Promise<JsonObject> {
  const token = text(spec['token']);
  if (token === '') throw badRequest('token is required for TokenReview in authentication');
  const verified = await tokens.verify(token, texts(spec['audiences']));
  if (!('user' in verified)) return { authenticated: false, error: verified.reason };
  return { authenticated: true, user: info(verified.user), audiences: verified.audiences };
}

function subject(spec: JsonObject): User {
  const extra = isObject(spec['extra']) ? Object.fromEntries(Object.entries(spec['extra']).map(([key, value]) => [key, texts(value)])) : {};
  return { name: text(spec['user']), uid: text(spec['uid']), groups: texts(spec['groups']), extra };
}

function access(spec: JsonObject, user: User, authorization: Authorization): JsonObject {
  const resource = spec['resourceAttributes'];
  const other = spec['nonResourceAttributes'];
  if (isObject(resource) === isObject(other))
    throw badRequest('exactly one of spec.resourceAttributes and spec.nonResourceAttributes must be given');
  const none = { group: '', namespace: '', resource: '', subresource: '', name: '', path: '' };
  const because = isObject(resource)
    ? authorization.allow(user, {
        ...none,
        isResource: true,
        verb: text(resource['verb']),
        group: text(resource['group']),
        namespace: text(resource['namespace']),
        resource: text(resource['resource']),
        subresource: text(resource['subresource']),
        name: text(resource['name']),
      })
    : authorization.allow(user, {
        ...none,
        isResource: false,
        verb: text((other as JsonObject)['verb']),
        path: text((other as JsonObject)['path']),
      });
  return because === undefined ? { allowed: false } : { allowed: true, reason: because };
}
