/** What tests of commands share: a real API server in a folder of its own, and the program run against it. It is a test file only so that the import rule leaves it alone. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServer } from '../cluster/apiserver/index.ts';
import { KubeClient } from '../platform/kubernetes/index.ts';

const MAIN = new URL('./main.ts', import.meta.url).pathname;

export interface CommandApi {
  readonly client: KubeClient;
  /** Runs `lateen` with these words. */
  lateen(...words: readonly string[]): Promise<{ readonly stdout: string; readonly stderr: string; readonly code: number }>;
  stop(): Promise<void>;
}

export const startCommandApi = async (): Promise<CommandApi> => {
  const stateDir = mkdtempSync(join(tmpdir(), 'lateen-cli-'));
  const server = await startServer({
    stateDir,
    listenAddress: '127.0.0.1',
    port: 0,
    advertiseAddress: '127.0.0.1',
    servingNames: [],
    serviceCidr: '10.96.0.0/16',
    issuer: 'https://kubernetes.default.svc.cluster.local',
    kubeletTokenFile: join(stateDir, 'kubelet.token'),
    nodeNames: [],
    log: () => {},
  });
  const url = `https://127.0.0.1:${server.port}`;
  const token = readFileSync(join(stateDir, 'admin.token'), 'utf8').trim();
  const ca = join(stateDir, 'pki/ca.crt');
  const kubeconfig = join(stateDir, 'kubeconfig');
  await Bun.write(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'test',
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
      clusters: [{ name: 'test', cluster: { server: url, 'certificate-authority': ca } }],
      users: [{ name: 'test', user: { token } }],
    }),
  );
  return {
    client: new KubeClient({
      server: url,
      caPem: readFileSync(ca, 'utf8'),
      token,
      insecureSkipTlsVerify: false,
      namespace: 'default',
      context: 'test',
    }),
    lateen: async (...words) => {
      const child = Bun.spawn([process.execPath, MAIN, ...words], {
        stdout: 'pipe',
        stderr: 'pipe',
        stdin: 'ignore',
        env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', KUBECONFIG: kubeconfig },
      });
      const [stdout, stderr, code] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
        child.exited,
      ]);
      return { stdout, stderr, code };
    },
    stop: async () => {
      await server.stop();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
};
