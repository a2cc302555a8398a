/** Everything without root: a cluster and a move into the mesh and out again, as a user with no rights of its own. */
import { afterAll, beforeAll, expect, test as unconditional } from 'bun:test';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { eventually, LATEEN, type Ran, type Sandbox, sandbox } from './support/cluster.ts';
import { AMBIENT, BUN, namespaceOf, PEER, PEER_PORT, type PodView, peerPod } from './support/mesh-cluster.ts';

/** As root the tests become this user, which owns nothing; otherwise they stay who they are. */
const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;
const become = isRoot ? ['setpriv', '--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups', '--inh-caps=-all'] : [];

function whyNot(): string | undefined {
  const run = (command: readonly string[]) => spawnSync(command[0]!, command.slice(1), { encoding: 'utf8' });
  const namespaces = run([...become, 'unshare', '-Urnm', 'true']);
  if (namespaces.status !== 0) return `users may not create namespaces here: ${(namespaces.stderr ?? String(namespaces.error)).trim()}`;
  if (run([...become, LATEEN, 'version']).status !== 0) return 'another user may not read this repository';
  return undefined;
}
const reason = whyNot();
const test = (title: string, body: () => Promise<void>, limitMs: number): void =>
  reason === undefined ? unconditional(title, body, limitMs) : unconditional.skip(`${title} (not run: ${reason})`, body);

let box: Sandbox;
const run = (...words: readonly string[]): Promise<Ran> =>
  box.run([...become, 'env', `HOME=${box.folder}`, ...words], { timeout: 170_000 });
const must = async (...words: readonly string[]): Promise<string> => {
  const ran = await run(...words);
  if (ran.code !== 0) throw new Error(`${words.join(' ')}: exit code ${ran.code}\n${ran.out}\n${ran.err}`);
  return ran.out;
};
const pods = async (): Promise<PodView[]> =>
  (JSON.parse(await must(LATEEN, 'get', 'pods', '-A', '-o', 'json')) as { items: PodView[] }).items;

beforeAll(() => {
  box = sandbox();
  if (isRoot) fs.chownSync(box.folder, NOBODY, NOBODY);
});

afterAll(async () => {
  await run(LATEEN, 'down');
  fs.rmSync(box.folder, { recursive: true, force: true });
}, 60_000);

test('a user without rights brings the cluster and the mesh up', async () => {
  await must(LATEEN, 'up');
  const status = JSON.parse(await must(LATEEN, 'status', '-o', 'json')) as {
    processes: { name: string; pid: number }[];
    nodes: { ready: boolean }[];
  };
  expect(status.nodes.map(({ ready }) => ready)).toEqual([true, true]);
  const uid = isRoot ? NOBODY : process.getuid?.();
  for (const { pid } of status.processes) expect(fs.readFileSync(`/proc/${pid}/status`, 'utf8')).toContain(`Uid:\t${uid}\t`);
}, 180_000);

test('pods move into the mesh by a label, talk mutual TLS between nodes, and move out again', async () => {
  const file = path.join(box.folder, 'shop.yaml');
  const yaml = [namespaceOf('shop'), ...['one', 'two'].map((name, at) => peerPod({ namespace: 'shop', name, node: `node${at + 1}` }))].join(
    '',
  );
  fs.writeFileSync(file, yaml);
  await must(LATEEN, 'apply', '-f', file);
  await must(LATEEN, 'wait', 'pods', '--all', '-n', 'shop', '--for=condition=Ready', '--timeout', '60s');
  const address = (await pods()).find(({ metadata }) => metadata?.name === 'two')?.status?.podIP ?? '';
  const call = () => must(LATEEN, 'exec', '-n', 'shop', 'one', '--', BUN, PEER, 'once', address, String(PEER_PORT));
  const secured = async (): Promise<number> => {
    const logs = await must(LATEEN, 'logs', '-n', 'istio-system', '-l', 'app=ztunnel');
    return logs
      .split('\n')
      .filter(
        (line) => line.includes('src.identity="spiffe://cluster.local/ns/shop/sa/default"') && line.includes(`dst.hbone_addr=${address}`),
      ).length;
  };
  const enrolled = (wanted: boolean) =>
    eventually(`shop ${wanted ? 'in' : 'out of'} the mesh`, 40, async () => {
      const text = await must(LATEEN, 'ztunnel-config', 'workload', '-o', 'json', '--workload-namespace', 'shop');
      const workloads = JSON.parse(text) as { protocol: string }[];
      return workloads.length === 2 && workloads.every(({ protocol }) => (protocol === 'HBONE') === wanted) ? true : undefined;
    });
  await call();
  expect(await secured()).toBe(0);
  const [[key, value]] = Object.entries(AMBIENT) as [[string, string]];
  await must(LATEEN, 'label', 'namespace', 'shop', `${key}=${value}`);
  await enrolled(true);
  await call();
  await eventually('the connection in both access logs', 15, async () => ((await secured()) === 2 ? true : undefined));
  await must(LATEEN, 'label', 'namespace', 'shop', `${key}-`);
  await enrolled(false);
  await call();
  expect(await secured()).toBe(2);
}, 180_000);

test('down leaves nothing of it', async () => {
  await must(LATEEN, 'down');
  const left = fs.readdirSync('/proc').filter((entry) => {
    try {
      return /^\d+$/.test(entry) && fs.readFileSync(`/proc/${entry}/environ`, 'utf8').includes(box.folder);
    } catch {
      return false; // ended while we looked
    }
  });
  expect(left).toEqual([]);
  expect(fs.existsSync(box.env['LATEEN_STATE_DIR']!)).toBe(false);
}, 60_000);
