/** Against Istio's own ztunnel: `ZTUNNEL_BIN=<path> bun test src/controlplane/real-ztunnel.test.ts`, as root. It runs in a network namespace of its own, because its ports are fixed. */
import { expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AuthorizationPolicy, AuthorizationPolicyKind, PodKind, type Service, ServiceKind } from '../platform/kubernetes/index.ts';
import { createAccount, createNamespace, createPod, eventually, startApi, startControlPlane, type Undo } from './harness.test.ts';

const binary = process.env['ZTUNNEL_BIN'] ?? '';
const isInside = process.env['LATEEN_TEST_NETNS'] === '1';

interface ConfigDump {
  readonly workloads: readonly { readonly uid: string; readonly protocol: string; readonly authorizationPolicies?: readonly string[] }[];
  readonly policies: readonly { readonly name: string; readonly rules: unknown }[];
  readonly certificates: readonly { readonly identity: string; readonly state: string }[];
}

test.skipIf(binary === '' || isInside)(
  "Istio's own ztunnel is served (run in a namespace of its own)",
  async () => {
    const command = `ip link set lo up && exec ${process.execPath} test ${import.meta.path}`;
    const child = Bun.spawn(['unshare', '-n', 'sh', '-c', command], {
      env: { ...process.env, LATEEN_TEST_NETNS: '1' },
      stdout: 'inherit',
      stderr: 'inherit',
    });
    expect(await child.exited).toBe(0);
  },
  90_000,
);

test.skipIf(!isInside)(
  'it gets workloads, a certificate and policies, acknowledges them, and after a restart of ours asks only for differences',
  async () => {
    const undo: Undo = [];
    try {
      const api = await startApi(undo);
      for (const namespace of ['istio-system', 'shop']) await createNamespace(api, namespace);
      await createAccount(api, 'istio-system', 'ztunnel');
      await createAccount(api, 'shop', 'web');
      const pod = await createPod(api, 'istio-system', 'zt1', { ip: '10.244.1.2', serviceAccount: 'ztunnel' });
      await api.client.create<Service>(ServiceKind, {
        metadata: { name: 'web', namespace: 'shop' },
        spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
      });
      await createPod(api, 'shop', 'web-1', {
        ip: '10.244.1.10',
        serviceAccount: 'web',
        labels: { app: 'web' },
        annotations: { 'ambient.istio.io/redirection': 'enabled' },
      });
      const { token } = await api.client.requestToken('istio-system', 'ztunnel', {
        audiences: ['istio-ca'],
        boundPod: { name: 'zt1', uid: pod.metadata.uid! },
      });
      const first = await startControlPlane(api, undo);
      const dir = mkdtempSync(join(tmpdir(), 'real-ztunnel-'));
      undo.push(() => rmSync(dir, { recursive: true, force: true }));
      writeFileSync(join(dir, 'root.pem'), first.rootPem);
      writeFileSync(join(dir, 'token'), token);
      const address = `https://localhost:${first.xdsPort}`;
      const env = {
        XDS_ADDRESS: address,
        CA_ADDRESS: address,
        XDS_ROOT_CA: join(dir, 'root.pem'),
        CA_ROOT_CA: join(dir, 'root.pem'),
        AUTH_TOKEN: join(dir, 'token'),
        CLUSTER_ID: 'Kubernetes',
        NODE_NAME: 'node1',
      };
      const identity = {
        POD_NAME: 'zt1',
        POD_NAMESPACE: 'istio-system',
        SERVICE_ACCOUNT: 'ztunnel',
        INSTANCE_IP: '127.0.0.1',
        PROXY_MODE: 'shared',
        INPOD_UDS: join(dir, 'zds.sock'),
        RUST_LOG: 'info',
      };
      const ztunnel = Bun.spawn([binary, 'proxy', 'ztunnel'], {
        env: { ...env, ...identity },
        stdout: Bun.file(join(dir, 'log')),
        stderr: Bun.file(join(dir, 'log')),
      });
      undo.push(async () => {
        ztunnel.kill('SIGKILL');
        await ztunnel.exited;
      });
      const dump = async () => (await (await fetch('http://localhost:15000/config_dump')).json()) as ConfigDump;
      await eventually(async () => {
        const { workloads, certificates } = await dump();
        expect(workloads.find(({ uid }) => uid === 'Kubernetes//Pod/shop/web-1')?.protocol).toBe('HBONE');
        expect(certificates).toContainEqual(
          expect.objectContaining({ identity: 'spiffe://cluster.local/ns/shop/sa/web', state: 'Available' }),
        );
      }, 15_000);

      await api.client.create<AuthorizationPolicy>(AuthorizationPolicyKind, {
        metadata: { name: 'deny', namespace: 'shop' },
        spec: { action: 'DENY', selector: { matchLabels: { app: 'web' } }, rules: [{ from: [{ source: { ipBlocks: ['10.0.0.0/8'] } }] }] },
      });
      await eventually(async () => {
        const { workloads, policies } = await dump();
        expect(policies.map(({ name }) => name)).toContain('deny');
        expect(workloads.find(({ uid }) => uid.endsWith('shop/web-1'))?.authorizationPolicies).toEqual(['shop/deny']);
        const { status } = await api.client.get<AuthorizationPolicy>(AuthorizationPolicyKind, 'deny', { namespace: 'shop' });
        expect(status?.conditions?.[1]?.message).toBe('acknowledged by 1 of 1 ztunnels (zt1.istio-system)');
      });

      await first.stop();
      const second = await startControlPlane(api, undo, { XDS_PORT: String(first.xdsPort) });
      await createPod(api, 'shop', 'web-2', { ip: '10.244.1.11', serviceAccount: 'web', labels: { app: 'web' } });
      await api.client.delete(PodKind, 'web-1', { namespace: 'shop', gracePeriodSeconds: 0 });
      await eventually(async () => {
        const uids = (await dump()).workloads.map(({ uid }) => uid);
        expect(uids).toContain('Kubernetes//Pod/shop/web-2');
        expect(uids).not.toContain('Kubernetes//Pod/shop/web-1');
      }, 20_000);
      expect(second.metrics.rejects.labels({ type: 'wds' }).value).toBe(0);
    } finally {
      for (const action of undo.reverse()) await action();
    }
  },
  80_000,
);
