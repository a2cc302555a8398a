/** The embedded cluster without a mesh: workloads, services, DNS, probes, logs, recovery, and that nothing is left at the end. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type ClusterStatus, clusterStatus, down, up } from '../../src/cluster/index.ts';
import {
  applyManifests,
  KubeClient as Client,
  defineResource,
  exec,
  forwardPort,
  type KubeClient,
  loadKubeConfig,
  parseManifests,
  streamLogs,
  type UnknownObject,
} from '../../src/platform/kubernetes/index.ts';
import { clientImage, manifests } from './manifests.ts';

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'lateen-e2e-'));
const env = { ...process.env, LATEEN_STATE_DIR: path.join(dir, 'state'), KUBECONFIG: path.join(dir, 'kubeconfig') };
const namespace = 'default';
const PODS = defineResource('v1', 'Pod', 'pods');
const DEPLOYMENTS = defineResource('apps/v1', 'Deployment', 'deployments');
const UNSHARE = 'unshare';
const canRun = process.platform === 'linux' && spawnSync(UNSHARE, ['-n', '-m', '-p', '--fork', 'nft', 'list', 'ruleset']).status === 0;
const LIMIT_MS = 40_000;

let client: KubeClient;
const before = canRun ? machine() : undefined;

/** What a cluster could leave behind on this machine. */
function machine() {
  const lines = (command: string[]): string[] =>
    (spawnSync(command[0]!, command.slice(1), { encoding: 'utf8' }).stdout ?? '').split('\n').filter((line) => line.includes('lateen'));
  return { links: lines(['ip', '-o', 'link']), netns: lines(['ip', 'netns']), mounts: lines(['cat', '/proc/mounts']) };
}

async function until<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
  const deadline = Date.now() + LIMIT_MS;
  let last: unknown;
  while (Date.now() < deadline) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = error;
    }
    await Bun.sleep(50);
  }
  throw new Error(`not within ${LIMIT_MS} ms: ${what}`, { cause: last });
}

interface PodView extends UnknownObject {
  readonly spec: { readonly nodeName?: string };
  readonly status?: {
    readonly podIP?: string;
    readonly phase?: string;
    readonly conditions?: { type: string; status: string }[];
    readonly containerStatuses?: { restartCount: number; ready: boolean }[];
  };
}
const pods = async (app: string): Promise<PodView[]> =>
  ((await client.listAll(PODS, { namespace, labelSelector: `app=${app}` })).items as PodView[]).filter(
    ({ metadata }) => metadata?.deletionTimestamp === undefined,
  );
const isReady = (pod: PodView): boolean =>
  pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
const readyPods = (app: string, count: number): Promise<PodView[]> =>
  until(`${count} ready pods of ${app}`, async () => {
    const found = await pods(app);
    return found.length === count && found.every(isReady) && found;
  });

/** `onOutput` is called when anything comes. */
async function run(pod: PodView, command: readonly string[], onOutput?: () => void): Promise<{ code: number; output: string }> {
  let output = '';
  const collect = (chunk: Uint8Array): void => {
    output += new TextDecoder().decode(chunk);
    onOutput?.();
  };
  const session = await exec(client, { namespace, pod: pod.metadata!.name!, command, onStdout: collect, onStderr: collect });
  return { code: await session.exit, output };
}
const fetchIn = (pod: PodView, url: string): Promise<{ code: number; output: string }> =>
  run(pod, [
    'bun',
    '-e',
    `const r = await fetch(${JSON.stringify(url)}, { signal: AbortSignal.timeout(3000), keepalive: false }); process.stdout.write(await r.text())`,
  ]);

const status = (): Promise<ClusterStatus> => clusterStatus({ env });
const logOf = async (pod: PodView, options: { previous?: boolean; tailLines?: number } = {}): Promise<string> =>
  new Response(await streamLogs(client, { namespace, pod: pod.metadata!.name!, ...options })).text();

beforeAll(async () => {
  if (!canRun) return;
  const result = await up({ env, nodes: 2, mesh: false, images: [clientImage(dir)] });
  expect(result).toMatchObject({ started: true, nodes: ['node1', 'node2'], context: 'lateen' });
  client = new Client(loadKubeConfig(env));
  await applyManifests(client, parseManifests(manifests(dir), 'e2e'));
  await readyPods('web', 2);
  await readyPods('client', 1);
}, 90_000);

afterAll(async () => {
  await down({ env });
  fs.rmSync(dir, { recursive: true, force: true });
}, 30_000);

const e2e = test.skipIf(!canRun);

e2e('pods are spread over the nodes and reach a service by name on either', async () => {
  const web = await readyPods('web', 2);
  expect(new Set(web.map(({ spec }) => spec.nodeName)).size).toBe(2);
  const [from] = await readyPods('client', 1);
  const seen = new Set<string>();
  await until('answers from both pods', async () => {
    seen.add((await fetchIn(from!, 'http://web/name')).output);
    return seen.size === 2;
  });
  expect([...seen].sort()).toEqual(web.map(({ metadata }) => metadata!.name!).sort());
  expect((await fetchIn(from!, 'http://web.default.svc.cluster.local/greeting')).output).toBe('hello');
});

e2e('a pod reaches itself through its service', async () => {
  const [one] = await readyPods('web', 2);
  for (let turn = 0; turn < 4; turn++) expect((await fetchIn(one!, 'http://web/greeting')).output).toBe('hello');
});

e2e('unknown names fail at once, ports nobody serves are refused at once', async () => {
  const [from] = await readyPods('client', 1);
  const asked = `const began = performance.now(); await fetch('http://no-such-service/', { signal: AbortSignal.timeout(4500) }).then(() => process.exit(1), () => {}); process.stdout.write(String(performance.now() - began))`;
  const { code, output } = await run(from!, ['bun', '-e', asked]);
  expect(code).toBe(0);
  // Without an answer it takes a resolver five seconds to give up.
  expect(Number(output)).toBeLessThan(3_000);
  expect((await fetchIn(from!, 'http://nobody/')).output).toContain('ECONNREFUSED');
});

e2e('a pod may use the API with its own credentials', async () => {
  const [from] = await readyPods('client', 1);
  const script = `const d = '/var/run/secrets/kubernetes.io/serviceaccount/', t = await Bun.file(d + 'token').text();
    const r = await fetch('https://kubernetes.default.svc/version', { headers: { authorization: 'Bearer ' + t }, tls: { ca: await Bun.file(d + 'ca.crt').text() } }); process.stdout.write(String(r.status))`;
  expect((await run(from!, ['bun', '-e', script])).output).toBe('200');
});

e2e('an image directory brings programs, files and environment, and this machine keeps none of them', async () => {
  const [one] = await readyPods('client', 1);
  expect((await run(one!, ['lateen-e2e-read'])).output).toBe('from the image');
  expect((await run(one!, ['sh', '-c', 'echo $IMAGE'])).output).toBe('client\n');
  expect((await run(one!, ['sh', '-c', '{ echo x > /lateen-e2e-note; } 2> /dev/null || echo refused'])).output).toBe('refused\n');
  expect(fs.existsSync('/lateen-e2e-note')).toBe(false);
  expect(fs.existsSync('/usr/local/bin/lateen-e2e-read')).toBe(false);
});

e2e('mounts and environment are the pod’s, and the machine’s file system stays as it was', async () => {
  const [one] = await readyPods('web', 2);
  expect((await run(one!, ['cat', '/lateen-e2e/settings/greeting', '/etc/lateen-e2e/labels'])).output).toContain('hello');
  expect(fs.existsSync('/lateen-e2e')).toBe(false);
  expect(fs.existsSync('/etc/lateen-e2e')).toBe(false);
  expect((await run(one!, ['sh', '-c', 'echo $POD_IP $(hostname)'])).output.trim()).toBe(`${one!.status?.podIP} ${one!.metadata?.name}`);
  expect((await run(one!, ['sh', '-c', 'exit 7'])).code).toBe(7);
});

e2e('ports inside a pod can be forwarded, those bound to its loopback too', async () => {
  const [one] = await readyPods('web', 2);
  for (const port of [8080, 8081]) {
    const forward = forwardPort(client, { namespace, pod: one!.metadata!.name!, port });
    expect(await (await fetch(`http://127.0.0.1:${forward.port}/name`)).text()).toBe(one!.metadata!.name!);
    forward.close();
  }
});

e2e('a container that ends is started again, and its former log is kept', async () => {
  const [one] = await readyPods('web', 2);
  const name = one!.metadata!.name!;
  const restarts = one!.status!.containerStatuses![0]!.restartCount;
  await run(one!, ['bun', '-e', 'await fetch("http://127.0.0.1:8080/exit").catch(() => {})']);
  const again = await until('a restart', async () => {
    const found = (await pods('web')).find(({ metadata }) => metadata?.name === name);
    return found !== undefined && isReady(found) && found.status?.containerStatuses?.[0]?.restartCount === restarts + 1 && found;
  });
  expect(again.status?.podIP).toBe(one!.status!.podIP!);
  expect(await logOf(again, { previous: true })).toContain('asked to exit');
  expect(await logOf(again)).not.toContain('asked to exit');
});

e2e('a container that fails its liveness probe is restarted, one that fails its readiness probe is taken out of service', async () => {
  const [one, other] = await readyPods('web', 2);
  const restarts = one!.status!.containerStatuses![0]!.restartCount;
  await run(one!, ['bun', '-e', 'await fetch("http://127.0.0.1:8080/unhealthy")']);
  await until('a restart after the liveness probe', async () =>
    (await pods('web')).some(
      (pod) =>
        pod.metadata?.name === one!.metadata!.name && (pod.status?.containerStatuses?.[0]?.restartCount ?? 0) > restarts && isReady(pod),
    ),
  );
  await run(other!, ['bun', '-e', 'await fetch("http://127.0.0.1:8080/unready")']);
  await until('an unready pod', async () =>
    (await pods('web')).some((pod) => pod.metadata?.name === other!.metadata!.name && !isReady(pod)),
  );
  const [from] = await readyPods('client', 1);
  await until('only the ready pod answers', async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => fetchIn(from!, 'http://web/name')));
    return answers.every(({ output }) => output === one!.metadata!.name);
  });
  await run(other!, ['bun', '-e', 'await fetch("http://127.0.0.1:8080/ready")']);
  await readyPods('web', 2);
});

e2e('a rollout replaces every pod and loses no request', async () => {
  const old = new Set((await readyPods('web', 2)).map(({ metadata }) => metadata?.name));
  const [from] = await readyPods('client', 1);
  const load = run(from!, ['bun', path.join(dir, 'load.ts'), 'http://web/name', '6000']);
  await client.patch(DEPLOYMENTS, 'web', { spec: { template: { metadata: { annotations: { version: '2' } } } } }, { namespace });
  await until('new pods only', async () => {
    const now = await pods('web');
    return now.length === 2 && now.every((pod) => isReady(pod) && !old.has(pod.metadata?.name));
  });
  const { output } = await load;
  const { requests, errors } = JSON.parse(output.slice(output.indexOf('{'))) as { requests: number; errors: string[] };
  expect(requests).toBeGreaterThan(50);
  expect(errors).toEqual([]);
});

e2e('pods keep serving while any of the cluster’s own programs is killed, and each comes back', async () => {
  const serving = (await readyPods('web', 2)).map(({ metadata, status: state }) => `${metadata?.uid} ${state?.podIP}`);
  const [from] = await readyPods('client', 1);
  await run(from!, ['rm', '-f', '/tmp/lateen-e2e-scratch/load.json']); // that of the rollout
  const begun = Promise.withResolvers<void>();
  // The session ends with the node runtime that carries it.
  const load = run(from!, ['bun', path.join(dir, 'load.ts'), 'http://web/name', '8000'], begun.resolve).catch(() => undefined);
  // The load knows the address then: who asks for a name just when its node's runtime dies has to ask again, five seconds later.
  await begun.promise;
  for (const name of ['controllers', 'node1', 'node2']) {
    const victim = (await status()).processes.find((each) => each.name === name)!;
    process.kill(victim.pid!, 'SIGKILL');
    await until(`${name} back`, async () => {
      const now = (await status()).processes.find((each) => each.name === name);
      return now?.pid !== undefined && now.pid !== victim.pid;
    });
  }
  await load;
  const api = (await status()).processes.find(({ name }) => name === 'apiserver')!;
  process.kill(api.pid!, 'SIGKILL');
  await until('API server back', async () => (await status()).state === 'running');
  expect((await readyPods('web', 2)).map(({ metadata, status: state }) => `${metadata?.uid} ${state?.podIP}`).sort()).toEqual(
    serving.sort(),
  );
  expect((await pods('web')).every((pod) => pod.metadata?.annotations?.['version'] === '2')).toBe(true);
  const result = await until('the result of the load', async () => {
    const { code, output } = await run((await readyPods('client', 1))[0]!, ['cat', '/tmp/lateen-e2e-scratch/load.json']);
    return code === 0 && (JSON.parse(output) as { requests: number; errors: string[] });
  });
  expect(result.requests).toBeGreaterThan(50);
  expect(result.errors).toEqual([]);
  await client.delete(PODS, (await pods('web'))[0]!.metadata!.name!, { namespace });
  await readyPods('web', 2);
});

e2e('up is idempotent, and says so', async () => {
  const result = await up({ env, nodes: 2, mesh: false });
  expect(result.started).toBe(false);
  await expect(up({ env, nodes: 3, mesh: false })).rejects.toThrow('runs with 2 nodes');
});

e2e('when the supervisor is killed everything ends with it, and up brings the same objects back', async () => {
  const { processes } = await status();
  process.kill(processes.find(({ name }) => name === 'supervisor')!.pid!, 'SIGKILL');
  await until('every process ended', async () => processes.every(({ pid }) => pid === undefined || !fs.existsSync(`/proc/${pid}/exe`)));
  expect((await status()).state).toBe('stopped');
  expect((await up({ env, mesh: false })).started).toBe(true);
  client = new Client(loadKubeConfig(env));
  await readyPods('web', 2);
});

e2e('down leaves no process, no interface, no namespace, no mount, no file and no context', async () => {
  const { processes } = await status();
  expect(await down({ env })).toBe(true);
  for (const { pid } of processes) expect(pid === undefined || !fs.existsSync(`/proc/${pid}/exe`)).toBe(true);
  expect(machine()).toEqual(before!);
  expect(fs.existsSync(env.LATEEN_STATE_DIR)).toBe(false);
  expect(fs.readFileSync(env.KUBECONFIG, 'utf8')).not.toContain('lateen');
  expect(await down({ env })).toBe(false);
});
