import { type Authorization, forbiddenRequest } from './authorization.ts';
import { badRequest } from './errors.ts';
import type { User } from './request.ts';

const EXTRA = 'impersonate-extra-';
const parts = (text: string | null): string[] =>
  (text ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

/** Who the request acts as: `kubectl --as`. The caller needs the verb `impersonate` on each user, group and service account named. */
export function impersonated(headers: Headers, caller: User, authorization: Authorization): User {
  const name = headers.get('impersonate-user') ?? '';
  const groups = parts(headers.get('impersonate-group'));
  const extra: Record<string, string[]> = {};
  headers.forEach((value, key) => {
    if (key.startsWith(EXTRA)) extra[decodeURIComponent(key.slice(EXTRA.length))] = parts(value);
  });
  if (name === '') {
    if (groups.length > 0 || Object.keys(extra).length > 0)
      throw badRequest('requested groups or extra fields to impersonate without a user to impersonate');
    return caller;
  }
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
  const need = (resource: string, group: string, namespace: string, wanted: string) => {
    const attributes = { verb: 'impersonate', isResource: true, path: '', group, namespace, resource, subresource: '', name: wanted };
    if (authorization.allow(caller, attributes) === undefined) throw forbiddenRequest(caller, attributes);
  };
  if (account === null) need('users', '', '', name);
  else need('serviceaccounts', '', account[1]!, account[2]!);
  for (const group of groups) need('groups', '', '', group);
  for (const key of Object.keys(extra)) need('userextras', 'authentication.k8s.io', '', key);
  const implied = account === null ? [] : ['system:serviceaccounts', `system:serviceaccounts:${account[1]}`];
  const all = groups.length > 0 ? groups : implied;
  const membership = name === 'system:anonymous' ? 'system:unauthenticated' : 'system:authenticated';
  return { name, uid: headers.get('impersonate-uid') ?? '', groups: all.includes(membership) ? all : [...all, membership], extra };
}
