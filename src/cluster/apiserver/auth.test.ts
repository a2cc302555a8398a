import { afterAll, beforeAll, expect, test } from 'bun:test';
import { configMap, TestServer } from './test-server.ts';

const server = new TestServer();
const NAMESPACE = '/api/v1/namespaces/default';
const as = (token: string) => ({ authorization: `Bearer ${token}` });
const pod = (name: string, node: string, account = 'default') => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  spec: { nodeName: node, serviceAccountName: account, containers: [{ name: 'c', image: 'i' }] },
});

beforeAll(async () => {
  await server.start();
  await server.call('POST', `${NAMESPACE}/serviceaccounts`, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'bob' } });
});
afterAll(() => server.stop());

async function tokenFor(account: string, spec: object = {}, headers?: Record<string, string>) {
  return server.call(
    'POST',
    `${NAMESPACE}/serviceaccounts/${account}/token`,
    { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec },
    headers,
  );
}
async function review(token: string, audiences?: string[]) {
  const { body } = await server.call('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { token, ...(audiences === undefined ? {} : { audiences }) },
  });
  return body['status'] as {
    authenticated: boolean;
    user?: { username: string; extra?: Record<string, string[]> };
    audiences?: string[];
    error?: string;
  };
}
const tokenOf = (answer: Awaited<ReturnType<typeof tokenFor>>) => (answer.body['status'] as { token: string }).token;

test('answers health and version without credentials, and nothing else', async () => {
  const anonymous = (path: string) => fetch(server.url + path, { tls: { ca: server.read('pki/ca.crt') } });
  for (const path of ['/healthz', '/livez', '/readyz', '/version']) expect((await anonymous(path)).status).toBe(200);
  for (const path of ['/api', '/apis', '/openapi/v3', `${NAMESPACE}/pods`]) expect((await anonymous(path)).status).toBe(401);
});

test('refuses a wrong token with 401', async () => {
  expect((await server.call('GET', '/api', undefined, as('wrong'))).status).toBe(401);
  const [head, payload] = tokenOf(await tokenFor('bob')).split('.');
  expect((await server.call('GET', '/api', undefined, as(`${head}.${payload}.AAAA`))).status).toBe(401);
});

test('a service account may do what its bindings say, at once, and no more', async () => {
  const token = as(tokenOf(await tokenFor('bob')));
  const denied = await server.call('GET', `${NAMESPACE}/configmaps`, undefined, token);
  expect(denied.status).toBe(403);
  expect(denied.body.message).toBe(
    'configmaps is forbidden: User "system:serviceaccount:default:bob" cannot list resource "configmaps" in API group "" in the namespace "default"',
  );
  const RBAC = '/apis/rbac.authorization.k8s.io/v1/namespaces/default';
  await server.call('POST', `${RBAC}/roles`, {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'reader' },
    rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['list', 'get'] }],
  });
  await server.call('POST', `${RBAC}/rolebindings`, {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'bob-reads' },
    roleRef: { kind: 'Role', name: 'reader', apiGroup: 'rbac.authorization.k8s.io' },
    subjects: [{ kind: 'ServiceAccount', name: 'bob', namespace: 'default' }],
  });
  expect((await server.call('GET', `${NAMESPACE}/configmaps`, undefined, token)).status).toBe(200);
  expect((await server.call('POST', `${NAMESPACE}/configmaps`, configMap('x'), token)).status).toBe(403);
  expect((await server.call('GET', '/api/v1/namespaces/kube-system/configmaps', undefined, token)).status).toBe(403);
  await server.call('DELETE', `${RBAC}/rolebindings/bob-reads`);
  expect((await server.call('GET', `${NAMESPACE}/configmaps`, undefined, token)).status).toBe(403);
});

test('a token review checks the audience and names the pod the token is bound to', async () => {
  const made = await server.call('POST', `${NAMESPACE}/pods`, pod('holder', 'node1', 'bob'));
  const uid = String(made.body.metadata['uid']);
  const token = tokenOf(
    await tokenFor('bob', { audiences: ['istio-ca'], boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'holder', uid } }),
  );
  const good = await review(token, ['istio-ca', 'other']);
  expect(good).toMatchObject({ authenticated: true, audiences: ['istio-ca'], user: { username: 'system:serviceaccount:default:bob' } });
  expect(good.user?.extra).toMatchObject({
    'authentication.kubernetes.io/pod-name': ['holder'],
    'authentication.kubernetes.io/pod-uid': [uid],
  });
  expect((await review(token)).authenticated).toBe(false);
  expect((await review(token, ['other'])).authenticated).toBe(false);
  // such a token is for somebody else, so this API refuses it
  expect((await server.call('GET', '/api', undefined, as(token))).status).toBe(401);
  await server.call('DELETE', `${NAMESPACE}/pods/holder`, { gracePeriodSeconds: 0 });
  expect(await review(token, ['istio-ca'])).toMatchObject({ authenticated: false, error: expect.stringContaining('pod') });
});

test('a token dies with its account, even when the account is made again', async () => {
  await server.call('POST', `${NAMESPACE}/serviceaccounts`, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'temp' } });
  const token = tokenOf(await tokenFor('temp'));
  expect((await review(token)).authenticated).toBe(true);
  await server.call('DELETE', `${NAMESPACE}/serviceaccounts/temp`);
  await server.call('POST', `${NAMESPACE}/serviceaccounts`, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'temp' } });
  expect((await review(token)).authenticated).toBe(false);
});

test('a node gets tokens only for pods that run on it', async () => {
  const node = as(server.read('components/node-node1.token'));
  const mine = await server.call('POST', `${NAMESPACE}/pods`, pod('mine', 'node1', 'bob'));
  const theirs = await server.call('POST', `${NAMESPACE}/pods`, pod('theirs', 'node2', 'bob'));
  const bound = (answer: typeof mine) => ({
    boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: answer.body.metadata['name'], uid: answer.body.metadata['uid'] },
  });
  expect((await tokenFor('bob', bound(mine), node)).status).toBe(201);
  expect((await tokenFor('bob', bound(theirs), node)).status).toBe(403);
  expect((await tokenFor('bob', {}, node)).status).toBe(403);
});

test('impersonation needs the right to impersonate', async () => {
  const like = { 'impersonate-user': 'system:serviceaccount:default:bob' };
  expect((await server.call('GET', `${NAMESPACE}/secrets`, undefined, like)).status).toBe(403);
  const bob = as(tokenOf(await tokenFor('bob')));
  const escalated = await server.call('GET', `${NAMESPACE}/secrets`, undefined, {
    ...bob,
    'impersonate-user': 'kubernetes-admin',
    'impersonate-group': 'system:masters',
  });
  expect(escalated.status).toBe(403);
  expect(escalated.body.message).toContain('cannot impersonate resource "users"');
});

test('refuses token lifetimes out of range and foreign bindings', async () => {
  expect((await tokenFor('bob', { expirationSeconds: 5 })).status).toBe(422);
  expect((await tokenFor('bob', { boundObjectRef: { kind: 'Pod', name: 'none' } })).status).toBe(404);
  expect((await tokenFor('nobody')).status).toBe(404);
});
