import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mergeContext, type Service, ServiceKind } from '../platform/kubernetes/index.ts';
import { ADDRESS_TYPE } from '../protocol/index.ts';
import { createAccount, createNamespace, createPod, eventually, startApi, type Undo, XdsClient } from './harness.test.ts';

const undo: Undo = [];
afterAll(async () => {
  for (const action of undo.reverse()) await action();
});

const program = join(import.meta.dir, '../cli/main.ts');

function start(env: Record<string, string>): Bun.Subprocess {
  const child = Bun.spawn([process.execPath, program, 'controlplane'], { env: { ...process.env, ...env }, stdout: 'pipe', stderr: 'pipe' });
  undo.push(() => child.kill('SIGKILL'));
  return child;
}
const freePort = (): number => {
  const probe = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } });
  probe.stop(true);
  return probe.port;
};

test('killed with -9 and started again, the program has lost nothing: same root, same versions; SIGTERM ends it with 0', async () => {
  const api = await startApi(undo);
  await createNamespace(api, 'istio-system');
  await createNamespace(api, 'shop');
  await createAccount(api, 'istio-system', 'ztunnel');
  const ztunnel = await createPod(api, 'istio-system', 'ztunnel-abc', { ip: '10.244.1.2', serviceAccount: 'ztunnel' });
  await createPod(api, 'shop', 'web-1', { ip: '10.244.1.10', labels: { app: 'web' } });
  await api.client.create<Service>(ServiceKind, {
    metadata: { name: 'web', namespace: 'shop' },
    spec: { selector: { app: 'web' }, ports: [{ port: 80 }] },
  });
  const { token } = await api.client.requestToken('istio-system', 'ztunnel', {
    audiences: ['istio-ca'],
    boundPod: { name: 'ztunnel-abc', uid: ztunnel.metadata.uid! },
  });
  const dir = mkdtempSync(join(tmpdir(), 'cp-program-'));
  undo.push(() => rmSync(dir, { recursive: true, force: true }));
  const { server, caPem, token: admin } = api.client.config;
  await mergeContext({ KUBECONFIG: join(dir, 'config') }, { name: 'test', server, caPem: caPem!, token: admin! });
  const [xdsPort, httpPort, monitoringPort] = [freePort(), freePort(), freePort()];
  const env = {
    KUBECONFIG: join(dir, 'config'),
    BIND_ADDRESS: '127.0.0.1',
    XDS_PORT: String(xdsPort),
    HTTP_PORT: String(httpPort),
    MONITORING_PORT: String(monitoringPort),
  };
  const ready = () => eventually(async () => expect((await fetch(`http://127.0.0.1:${httpPort}/ready`)).status).toBe(200), 20_000);
  const root = async () =>
    Buffer.from(
      (
        await api.client.get<{ data: Record<string, string>; metadata: object }>(
          { group: '', version: 'v1', plural: 'secrets', kind: 'Secret', namespaced: true },
          'istio-ca-secret',
          { namespace: 'istio-system' },
        )
      ).data['root-cert.pem']!,
      'base64',
    ).toString();

  const first = start(env);
  await ready();
  const rootPem = await root();
  const before = new XdsClient({ xdsPort, rootPem }, token);
  before.begin(ADDRESS_TYPE);
  const held = Object.fromEntries((await before.nextAcked()).resources.map((resource) => [resource.name, resource.version]));
  expect(Object.keys(held)).toContain('Kubernetes//Pod/shop/web-1');
  first.kill('SIGKILL');
  await first.exited;
  before.close();

  const second = start(env);
  await ready();
  expect(await root()).toBe(rootPem);
  const after = new XdsClient({ xdsPort, rootPem }, token);
  after.begin(ADDRESS_TYPE, { typeUrl: ADDRESS_TYPE, versions: held });
  expect(await after.nextAcked()).toMatchObject({ resources: [], removed: [] });
  after.close();
  second.kill('SIGTERM');
  expect(await second.exited).toBe(0);
}, 60_000);

test('a wrong setting is one sentence and exit code 1', async () => {
  const wrong = start({ CA_TRUSTED_NODE_ACCOUNTS: 'nonsense', KUBECONFIG: '/nonexistent' });
  expect(await wrong.exited).toBe(1);
  expect(await new Response(wrong.stdout as ReadableStream).text()).toContain('"nonsense" is not namespace/serviceAccount');
}, 30_000);

test.each(['XDS_PORT', 'HTTP_PORT'])(
  'a port in use (%s) is one sentence with the remedy and exit code 1',
  async (setting) => {
    const api = await startApi(undo);
    await createNamespace(api, 'istio-system');
    const dir = mkdtempSync(join(tmpdir(), 'cp-program-'));
    undo.push(() => rmSync(dir, { recursive: true, force: true }));
    const { server, caPem, token } = api.client.config;
    await mergeContext({ KUBECONFIG: join(dir, 'config') }, { name: 'test', server, caPem: caPem!, token: token! });
    const holder = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } });
    undo.push(() => holder.stop(true));
    const env = {
      KUBECONFIG: join(dir, 'config'),
      BIND_ADDRESS: '127.0.0.1',
      XDS_PORT: '0',
      HTTP_PORT: '0',
      MONITORING_PORT: '0',
      [setting]: String(holder.port),
    };
    const child = start(env);
    expect(await child.exited).toBe(1);
    expect(await new Response(child.stdout as ReadableStream).text()).toContain(`Set ${setting} or stop the program that holds it`);
  },
  30_000,
);
