// The entry of every program. The long-running ones are recognised here, before the command parser is loaded: a proxy's memory is counted per node.
import { BUNDLED, freshBundle } from './bundle.ts';

type Program = (env: NodeJS.ProcessEnv) => Promise<number>;

/** From its bundle when that is fresh, else from source. */
async function bundled(name: string, fromSource: () => Promise<Program>): Promise<Program> {
  const program = BUNDLED.find((one) => one.name === name);
  const file = process.env['LATEEN_FROM_SOURCE'] === undefined ? freshBundle(name) : undefined;
  if (program === undefined || file === undefined) return fromSource();
  // The build made it from the entry that exports this function.
  const module = (await import(file)) as Readonly<Record<string, Program>>;
  return module[program.run]!;
}

const programs: Readonly<Record<string, () => Promise<Program>>> = {
  'proxy ztunnel': () => bundled('ztunnel', async () => (await import('../dataplane/ztunnel/index.ts')).runZtunnel),
  'proxy waypoint': () => bundled('waypoint', async () => (await import('../dataplane/waypoint/index.ts')).runWaypoint),
  controlplane: () => bundled('controlplane', async () => (await import('../controlplane/index.ts')).runControlPlane),
  'node-agent': () => bundled('node-agent', async () => (await import('../node/index.ts')).runNodeAgent),
  'cluster apiserver': async () => (await import('../cluster/index.ts')).runApiServer,
  'cluster controllers': async () => (await import('../cluster/index.ts')).runControllers,
  'cluster node': async () => (await import('../cluster/index.ts')).runNode,
  'cluster supervise': async () => (await import('../cluster/index.ts')).runSupervisor,
  'cluster inner': async () => (await import('../cluster/index.ts')).runInnerSupervisor,
  capture: async () => {
    const { runCapture } = await import('./capture.ts');
    return () => runCapture(process.argv.slice(3));
  },
};

const [first = '', second = ''] = process.argv.slice(2);
const load = programs[`${first} ${second}`] ?? programs[first];
if (load === undefined) {
  const [{ runCli }, { finishOutput }] = await Promise.all([import('./program.ts'), import('./output.ts')]);
  const code = await runCli(process.argv);
  await finishOutput();
  process.exit(code);
}
const run = await load();
process.exit(await run(process.env));
