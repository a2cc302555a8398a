import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TestServer } from './test-server.ts';

const kubectl = Bun.which('kubectl');
const server = new TestServer();

async function run(line: string, stdin = ''): Promise<{ code: number; out: string; err: string }> {
  const child = Bun.spawn([kubectl!, ...line.split(' ')], {
    env: { PATH: process.env['PATH'] ?? '', HOME: server.directory, KUBECONFIG: join(server.directory, 'kubeconfig') },
    stdin: Buffer.from(stdin),
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { code, out: out.trim(), err: err.trim() };
}
async function succeeds(line: string, stdin = ''): Promise<string> {
  const { code, out, err } = await run(line, stdin);
  expect({ line, code, err }).toEqual({ line, code: 0, err: '' });
  return out;
}

// without kubectl these count as skipped
describe.skipIf(kubectl === null)('the real kubectl', () => {
  beforeAll(async () => {
    await server.start();
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 't',
      clusters: [{ name: 't', cluster: { server: server.url, 'certificate-authority': join(server.directory, 'pki/ca.crt') } }],
      users: [{ name: 't', user: { token: server.read('admin.token') } }],
      contexts: [{ name: 't', context: { cluster: 't', user: 't' } }],
    };
    writeFileSync(join(server.directory, 'kubeconfig'), JSON.stringify(config));
  });
  afterAll(() => server.stop());

  test('labels a namespace as the article does', async () => {
    expect(await succeeds('create namespace ai-preprocessing')).toBe('namespace/ai-preprocessing created');
    expect(await succeeds('label namespace ai-preprocessing istio.io/dataplane-mode=ambient')).toBe('namespace/ai-preprocessing labeled');
    expect(await succeeds('get namespace ai-preprocessing --show-labels --no-headers')).toContain('istio.io/dataplane-mode=ambient');
    expect(await succeeds('label namespace ai-preprocessing istio.io/dataplane-mode-')).toBe('namespace/ai-preprocessing unlabeled');
  }, 30_000);

  test('applies, changes, scales and deletes a deployment without warnings', async () => {
    const printed = await succeeds('create deployment web --image=nginx --replicas=2 --dry-run=client -o yaml');
    // with these nulls kubectl reports a change on any cluster
    const manifest = printed.replaceAll(/ *creationTimestamp: null\n/g, '');
    expect(await succeeds('apply -f -', manifest)).toBe('deployment.apps/web created');
    expect(await succeeds('apply -f -', manifest)).toBe('deployment.apps/web unchanged');
    expect(await succeeds('scale deployment web --replicas=4')).toBe('deployment.apps/web scaled');
    expect(await succeeds('set image deployment/web nginx=nginx:2')).toBe('deployment.apps/web image updated');
    expect(await succeeds('get deployment web -o jsonpath={.spec.replicas}/{.spec.template.spec.containers[0].image}')).toBe('4/nginx:2');
    expect(await succeeds('get deployment web --no-headers')).toMatch(/^web\s+0\/4\s+0\s+0\s+\d+s$/);
    expect(await succeeds('describe deployment web')).toContain('StrategyType:           RollingUpdate');
    expect(await succeeds('delete deployment web')).toBe('deployment.apps "web" deleted');
  }, 60_000);

  test('applies on the server side, explains, and checks fields strictly', async () => {
    const policy = 'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: deny}\nspec: {action: DENY}\n';
    expect(await succeeds('apply --server-side -f -', policy)).toBe('authorizationpolicy.security.istio.io/deny serverside-applied');
    expect(await succeeds('explain authorizationpolicy.spec.action')).toMatch(/ENUM:\s+ALLOW\s+DENY/);
    const other = policy.replace('name: deny', 'name: other');
    expect(await succeeds('apply -f -', other)).toBe('authorizationpolicy.security.istio.io/other created');
    expect(await succeeds('apply -f -', other.replace('DENY', 'ALLOW'))).toBe('authorizationpolicy.security.istio.io/other configured');
    const wrong = await run('apply -f -', other.replace('action:', 'acton:'));
    expect(wrong.code).toBe(1);
    expect(wrong.err).toContain('unknown field "spec.acton"');
  }, 30_000);

  test('asks what may be done, and issues tokens', async () => {
    expect(await succeeds('auth can-i create pods')).toBe('yes');
    expect((await run('auth can-i list secrets --as=system:serviceaccount:default:default')).out).toBe('no');
    expect((await succeeds('create token default')).split('.')).toHaveLength(3);
    expect(await succeeds('api-resources --api-group=security.istio.io -o name')).toBe(
      'authorizationpolicies.security.istio.io\npeerauthentications.security.istio.io\nrequestauthentications.security.istio.io',
    );
  }, 30_000);
});
