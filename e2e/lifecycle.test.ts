/** The life of a cluster as its user meets it: starting twice, ending twice, wrong options, ports and disks that are taken, and what is left behind. */
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import path from 'node:path';
import { eventually, LATEEN, type Sandbox, sandbox } from './support/cluster.ts';
import { isReady, MeshCluster, type Status } from './support/mesh-cluster.ts';

let box: Sandbox;
beforeAll(() => {
  box = sandbox();
});
afterEach(async () => {
  await box.run([LATEEN, 'down']);
}, 60_000);
afterAll(() => box.close());

const lateen = (...words: readonly string[]) => box.run([LATEEN, ...words], { timeout: 170_000 });
const sentence = (text: string): string => text.split('\n').find((line) => line.startsWith('error: ')) ?? '';
interface FullStatus extends Status {
  readonly state: string;
  readonly ports: { readonly api?: number };
}
const status = async (): Promise<FullStatus> => JSON.parse((await lateen('status', '-o', 'json')).out) as FullStatus;

const KINDS = ['net', 'mnt', 'pid', 'user'] as const;
const allPids = (): number[] => fs.readdirSync('/proc').map(Number).filter(Number.isInteger);

/** The namespaces of a process; empty when it has ended or is not ours to look at. */
function namespacesOf(pid: number): string[] {
  try {
    return KINDS.map((kind) => fs.readlinkSync(`/proc/${pid}/ns/${kind}`));
  } catch {
    return [];
  }
}

/** Processes that know the sandbox's folder, those that share a private namespace with one of them, and all their private namespaces. */
function ownProcesses(): { pids: number[]; namespaces: Set<string> } {
  const here = new Set(namespacesOf(process.pid));
  const pids: number[] = [];
  const namespaces = new Set<string>();
  const knows = (pid: number): boolean => {
    try {
      return pid !== process.pid && fs.readFileSync(`/proc/${pid}/environ`, 'utf8').includes(box.folder);
    } catch {
      return false; // ended while we looked
    }
  };
  const known = allPids().filter(knows);
  for (const pid of known) for (const name of namespacesOf(pid)) if (!here.has(name)) namespaces.add(name);
  for (const pid of allPids()) {
    const own = namespacesOf(pid);
    if (!known.includes(pid) && !own.some((name) => namespaces.has(name))) continue;
    pids.push(pid);
    for (const name of own) if (!here.has(name)) namespaces.add(name);
  }
  return { pids, namespaces };
}

/** Which of the namespaces some process still is in. */
const stillUsed = (namespaces: ReadonlySet<string>): string[] =>
  allPids().flatMap((pid) =>
    namespacesOf(pid)
      .filter((name) => namespaces.has(name))
      .map((name) => `${pid} ${name}`),
  );

/** What the machine has that a cluster could leave: mounts, interfaces and rules of this test's own namespaces. */
const surroundings = async (): Promise<unknown> => [
  fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes('lateen-e2e')),
  (await box.run(['ip', '-o', 'link'])).out.split('\n').filter((line) => /lateen|node\d/.test(line)),
  fs.existsSync('/run/netns') ? fs.readdirSync('/run/netns').filter((name) => /^node\d/.test(name)) : [],
];

test('without a cluster every command says so in one sentence and fails', async () => {
  expect(await lateen('status')).toMatchObject({ code: 3, out: expect.stringContaining('stopped') });
  const get = await lateen('get', 'pods');
  expect(get.code).toBe(4);
  expect(sentence(get.err)).toContain('lateen up');
  expect(await lateen('down')).toMatchObject({ code: 0 });
  expect(await lateen('down')).toMatchObject({ code: 0 });
});

test('a wrong command line is refused with the word that is wrong, and starts nothing', async () => {
  const cases: [string[], string][] = [
    [['up', '--bogus'], "unknown option '--bogus'"],
    [['frob'], "unknown command 'frob'"],
    [['up', '--nodes', '0'], '--nodes 0'],
    [['up', '--port', '80000'], '--port 80000'],
    [['up', '--image', 'foo'], '"foo" is not NAME=COMMAND'],
    [['demo', '--nodes', 'many'], '--nodes many'],
  ];
  for (const [words, reason] of cases) {
    const ran = await lateen(...words);
    expect([words, ran.code, sentence(ran.err)]).toEqual([words, 2, expect.stringContaining(reason)]);
  }
  const named = await box.run(['env', 'LATEEN_CLUSTER=No Name', LATEEN, 'up']);
  expect([named.code, sentence(named.err)]).toEqual([2, expect.stringContaining('"No Name" is not a name')]);
  expect(await lateen('up', '-f', '/nowhere.yaml')).toMatchObject({
    code: 3,
    err: expect.stringContaining('/nowhere.yaml does not exist'),
  });
  expect(ownProcesses().pids).toEqual([]);
});

test('a port that is taken is named, with the option that helps', async () => {
  const taken = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } });
  const ran = await lateen('up', '--port', String(taken.port));
  taken.stop(true);
  expect(ran.code).not.toBe(0);
  expect(sentence(ran.err)).toBe(`error: Port ${taken.port} on 127.0.0.1 is in use. Choose another with --port.`);
  expect((await status()).ports.api).not.toBe(taken.port); // nor is it wanted again by the next start
  expect(ownProcesses().pids).toEqual([]);
});

test('a state directory that cannot be written is named, with the variable that helps', async () => {
  const ran = await box.run(['env', 'LATEEN_STATE_DIR=/proc/nowhere/state', LATEEN, 'up']);
  expect(ran.code).not.toBe(0);
  expect(sentence(ran.err)).toMatch(/^error: Cannot use \/proc\/nowhere.*LATEEN_STATE_DIR/);
});

test('up twice is one cluster; down leaves no process, namespace, mount, interface or kubeconfig entry', async () => {
  const before = await surroundings();
  expect(await lateen('up')).toMatchObject({ code: 0 });
  const first = await status();
  expect(await lateen('up')).toMatchObject({ code: 0 });
  expect((await status()).processes).toEqual(first.processes);
  const other = await lateen('up', '--nodes', '3');
  expect([other.code, sentence(other.err)]).toEqual([1, expect.stringContaining('lateen down')]);
  expect(await surroundings()).toEqual(before); // everything is in private namespaces while it runs, too
  const own = ownProcesses();
  expect(own.pids.length).toBeGreaterThan(10);
  expect(own.namespaces.size).toBeGreaterThan(8);
  expect(await lateen('down')).toMatchObject({ code: 0 });
  expect(ownProcesses().pids).toEqual([]);
  expect(stillUsed(own.namespaces)).toEqual([]);
  expect(await surroundings()).toEqual(before);
  expect(fs.existsSync(box.env['LATEEN_STATE_DIR']!)).toBe(false);
  expect(fs.readFileSync(box.env['KUBECONFIG']!, 'utf8')).not.toContain('lateen');
  expect(await lateen('down')).toMatchObject({ code: 0 });
}, 120_000);

test('when the supervisor is killed nothing of the cluster lives on, and up starts it again', async () => {
  expect(await lateen('up')).toMatchObject({ code: 0 });
  const own = ownProcesses();
  process.kill((await status()).processes.find(({ name }) => name === 'supervisor')!.pid!, 'SIGKILL');
  await eventually('every process to end', 30, async () => (stillUsed(own.namespaces).length === 0 ? true : undefined));
  expect((await status()).state).toBe('stopped');
  expect(await lateen('up')).toMatchObject({ code: 0 });
  process.kill((await status()).processes.find(({ name }) => name === 'supervisor')!.pid!, 'SIGKILL');
  expect(await lateen('down')).toMatchObject({ code: 0 });
  await eventually('every process to end', 30, async () => (ownProcesses().pids.length === 0 ? true : undefined));
  expect(fs.existsSync(box.env['LATEEN_STATE_DIR']!)).toBe(false);
}, 120_000);

test('when everything inside is killed at once, the cluster starts again by itself with all its objects and pods', async () => {
  const cluster = await MeshCluster.start(box);
  const before = (await cluster.pods()).map(({ metadata }) => metadata?.uid).sort();
  const server = (await status()).processes.find(({ name }) => name === 'apiserver')?.pid ?? 0;
  const inner = Number(/^PPid:\s*(\d+)$/m.exec(fs.readFileSync(`/proc/${server}/status`, 'utf8'))?.[1]);
  process.kill(inner, 'SIGKILL');
  await eventually('the same pods to be ready in new processes', 60, async () => {
    const now = await status();
    const pid = now.processes.find(({ name }) => name === 'apiserver')?.pid;
    if (now.state !== 'running' || pid === undefined || pid === server) return undefined;
    const pods = await cluster.pods();
    const restarted = pods.every((pod) => isReady(pod) && (pod.status?.containerStatuses?.[0]?.restartCount ?? 0) > 0);
    return restarted && Bun.deepEquals(pods.map(({ metadata }) => metadata?.uid).sort(), before) ? true : undefined;
  });
}, 120_000);

test('down --keep and up again bring the same objects and the same root of trust', async () => {
  const cluster = await MeshCluster.start(box);
  await cluster.apply('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"kept","namespace":"default"},"data":{"a":"b"}}');
  const root = await cluster.get<{ data?: unknown }>('v1', 'ConfigMap', 'istio-ca-root-cert', 'default');
  expect(await lateen('down', '--keep')).toMatchObject({ code: 0 });
  expect(ownProcesses().pids).toEqual([]);
  const again = await MeshCluster.start(box);
  expect(await again.get<{ data?: unknown }>('v1', 'ConfigMap', 'kept', 'default')).toMatchObject({ data: { a: 'b' } });
  expect((await again.get<{ data?: unknown }>('v1', 'ConfigMap', 'istio-ca-root-cert', 'default'))?.data).toEqual(root?.data);
}, 120_000);

const isRoot = process.getuid?.() === 0;
const asRoot = isRoot ? test : test.skip;
const unlessRoot = isRoot ? '' : ' (not run: mounting a small disk needs root)';

asRoot(
  `a disk that is full from the start is named in one sentence, and nothing is left running${unlessRoot}`,
  async () => {
    await onDisk('64k', async (folder) => {
      fs.writeFileSync(path.join(folder, 'ballast'), Buffer.alloc(60 * 1024));
      const ran = await box.run(['env', `LATEEN_STATE_DIR=${folder}/state`, LATEEN, 'up'], { timeout: 100_000 });
      expect(ran.code).not.toBe(0);
      expect(sentence(ran.err)).toMatch(/Only 0 MiB are free .* set LATEEN_STATE_DIR/);
      await box.run(['env', `LATEEN_STATE_DIR=${folder}/state`, LATEEN, 'down']);
      expect(ownProcesses().pids).toEqual([]);
    });
  },
  120_000,
);

asRoot(
  `a disk that fills up refuses writes with a reason, keeps what was stored and goes on when there is room again${unlessRoot}`,
  async () => {
    await onDisk('96m', async (folder) => {
      const env = { ...box.env, LATEEN_STATE_DIR: path.join(folder, 'state') };
      const run = (...words: readonly string[]) =>
        box.run(['env', `LATEEN_STATE_DIR=${env.LATEEN_STATE_DIR}`, LATEEN, ...words], { timeout: 100_000 });
      const map = (name: string) =>
        JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { a: 'x'.repeat(100_000) } });
      const apply = (name: string) => box.run([LATEEN, 'apply', '-f', '-'], { stdin: map(name), timeout: 60_000 });
      try {
        expect(await run('up')).toMatchObject({ code: 0 });
        expect((await apply('before')).code).toBe(0);
        const ballast = fs.openSync(path.join(folder, 'ballast'), 'w');
        fill(ballast);
        let refused = await apply('during-0');
        for (let round = 1; round < 100 && refused.code === 0; round++) refused = await apply(`during-${round}`);
        fs.closeSync(ballast);
        expect(refused.code).not.toBe(0);
        expect(refused.err).toMatch(/full|space/i);
        expect((await box.run([LATEEN, 'get', 'configmap', 'before'])).code).toBe(0);
        fs.rmSync(path.join(folder, 'ballast'));
        await eventually('writes to work again', 60, async () => ((await apply('after')).code === 0 ? true : undefined));
        const state = JSON.parse((await run('status', '-o', 'json')).out) as Status & { state: string };
        expect(state.state).toBe('running');
      } finally {
        await run('down');
      }
    });
  },
  180_000,
);

/** A disk of this size, in a folder of the sandbox. */
async function onDisk(size: string, use: (folder: string) => Promise<void>): Promise<void> {
  const folder = path.join(box.folder, `disk-${size}`);
  fs.mkdirSync(folder);
  await box.must(['mount', '-t', 'tmpfs', '-o', `size=${size},mode=755`, 'lateen-e2e', folder]);
  try {
    await use(folder);
  } finally {
    await box.run(['umount', '-l', folder]);
  }
}

/** Writes until there is no room. */
function fill(file: number): void {
  for (const size of [1024 * 1024, 4096]) {
    try {
      for (;;) fs.writeSync(file, Buffer.alloc(size));
    } catch {
      // no room for another piece of this size
    }
  }
}
