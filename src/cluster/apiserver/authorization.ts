import type { PolicyRule, RbacSubject, RoleBinding } from '../../platform/kubernetes/kinds/index.ts';
import { Refusal } from './errors.ts';
import type { RequestInfo, User } from './request.ts';
import type { Store } from './store.ts';

const RBAC = 'rbac.authorization.k8s.io';
const RESOURCES = ['roles', 'rolebindings', 'clusterroles', 'clusterrolebindings'].map((plural) => `${RBAC}/${plural}`);

/** What authorisation needs to know of a request. */
export type Attributes = Pick<RequestInfo, 'verb' | 'isResource' | 'path' | 'group' | 'namespace' | 'resource' | 'subresource' | 'name'>;

interface Grant {
  /** Empty for the whole cluster. */
  readonly namespace: string;
  readonly rules: readonly PolicyRule[];
  readonly because: string;
}

/** RBAC over the stored roles and bindings. */
export class Authorization {
  readonly #store: Store;
  #grants: Map<string, Grant[]> | undefined;

  constructor(store: Store) {
    this.#store = store;
    for (const resource of RESOURCES) {
      store.subscribe(resource, () => {
        this.#grants = undefined;
      });
    }
  }

  /** Why the request is allowed, or undefined. */
  allow(user: User, request: Attributes): string | undefined {
    if (user.groups.includes('system:masters')) return 'system:masters may do anything';
    return this.#grantsFor(user, request.namespace).find((grant) => grant.rules.some((rule) => permits(rule, request)))?.because;
  }

  /** The rules that hold for a user in a namespace. */
  rulesFor(user: User, namespace: string): PolicyRule[] {
    if (user.groups.includes('system:masters'))
      return [
        { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
        { verbs: ['*'], nonResourceURLs: ['*'] },
      ];
    return this.#grantsFor(user, namespace).flatMap((grant) => [...grant.rules]);
  }

  #grantsFor(user: User, namespace: string): Grant[] {
    this.#grants ??= this.#compile();
    const found: Grant[] = [];
    for (const subject of [`User/${user.name}`, ...user.groups.map((group) => `Group/${group}`)]) {
      for (const grant of this.#grants.get(subject) ?? []) if (grant.namespace === '' || grant.namespace === namespace) found.push(grant);
    }
    return found;
  }

  #compile(): Map<string, Grant[]> {
    const grants = new Map<string, Grant[]>();
    for (const plural of ['clusterrolebindings', 'rolebindings']) {
      for (const entry of this.#store.list(`${RBAC}/${plural}`)) {
        const binding = entry.object as unknown as RoleBinding; // checked against its schema when it was stored
        const { roleRef } = binding;
        const role =
          roleRef.kind === 'ClusterRole'
            ? this.#store.get(`${RBAC}/clusterroles`, '', roleRef.name)
            : this.#store.get(`${RBAC}/roles`, entry.namespace, roleRef.name);
        if (role === undefined) continue;
        const rules = (role.object['rules'] ?? []) as PolicyRule[];
        for (const subject of binding.subjects ?? []) {
          const key = subjectKey(subject);
          const because = `RBAC: allowed by ${plural === 'rolebindings' ? 'RoleBinding' : 'ClusterRoleBinding'} "${entry.name}${entry.namespace === '' ? '' : `/${entry.namespace}`}" of ${roleRef.kind} "${roleRef.name}" to ${subject.kind} "${subject.name}${subject.namespace ? `/${subject.namespace}` : ''}"`;
          const list = grants.get(key) ?? [];
          list.push({ namespace: entry.namespace, rules, because });
          grants.set(key, list);
        }
      }
    }
    return grants;
  }
}

function subjectKey(subject: RbacSubject): string {
  if (subject.kind === 'ServiceAccount') return `User/system:serviceaccount:${subject.namespace ?? ''}:${subject.name}`;
  return `${subject.kind}/${subject.name}`;
}

const has = (values: readonly string[] | undefined, value: string): boolean =>
  values !== undefined && (values.includes('*') || values.includes(value));

function permits(rule: PolicyRule, request: Attributes): boolean {
  if (!has(rule.verbs, request.verb)) return false;
  if (!request.isResource) {
    return (rule.nonResourceURLs ?? []).some(
      (url) => url === '*' || url === request.path || (url.endsWith('*') && request.path.startsWith(url.slice(0, -1))),
    );
  }
  if (!has(rule.apiGroups, request.group)) return false;
  const resource = request.subresource === '' ? request.resource : `${request.resource}/${request.subresource}`;
  const named = (rule.resources ?? []).some(
    (entry) => entry === '*' || entry === resource || (request.subresource !== '' && entry === `*/${request.subresource}`),
  );
  if (!named) return false;
  return (rule.resourceNames ?? []).length === 0 || rule.resourceNames!.includes(request.name);
}

/** The 403 Kubernetes gives. */
export function forbiddenRequest(user: User, request: Attributes): Refusal {
  if (!request.isResource)
    return new Refusal(403, 'Forbidden', `forbidden: User "${user.name}" cannot ${request.verb} path "${request.path}"`, {});
  const resource = request.subresource === '' ? request.resource : `${request.resource}/${request.subresource}`;
  const where =
    request.namespace !== '' && request.resource !== 'namespaces'
      ? ` in the namespace "${request.namespace}"`
      : request.resource === 'namespaces' && request.namespace !== ''
        ? ` in the namespace "${request.namespace}"`
        : ' at the cluster scope';
  const subject = request.group === '' ? request.resource : `${request.resource}.${request.group}`;
  const quoted = request.name === '' ? subject : `${subject} "${request.name}"`;
  return new Refusal(
    403,
    'Forbidden',
    `${quoted} is forbidden: User "${user.name}" cannot ${request.verb} resource "${resource}" in API group "${request.group}"${where}`,
    {
      ...(request.name === '' ? {} : { name: request.name }),
      ...(request.group === '' ? {} : { group: request.group }),
      kind: request.resource,
    },
  );
}
