/** Stand-in for `lateen cluster …` until the command line has it. */
import { clusterStatus, down, runApiServer, runControllers, runInnerSupervisor, runNode, runSupervisor, up } from './index.ts';

const [group, subcommand, ...rest] = process.argv.slice(2);
const programs: Record<string, (env: NodeJS.ProcessEnv) => Promise<number>> = {
  apiserver: runApiServer,
  controllers: runControllers,
  node: runNode,
  supervise: runSupervisor,
  inner: runInnerSupervisor,
};
if (group === 'cluster' && programs[subcommand ?? '']) process.exit(await programs[subcommand!]!(process.env));
else if (group === 'up') {
  const all = [subcommand, ...rest];
  const nodes = all.includes('--nodes') ? Number(all[all.indexOf('--nodes') + 1]) : 2;
  await up({ nodes, mesh: !all.includes('--no-mesh') }, (event) => console.error(`${event.stage}: ${event.message}`)).catch(
    (error: Error) => {
      console.error(error.message);
      process.exit(1);
    },
  );
  process.exit(0);
} else if (group === 'down') await down({ keep: subcommand === '--keep' });
else if (group === 'status') console.log(JSON.stringify(await clusterStatus({}), null, 2));
else throw new Error(`unknown command ${process.argv.slice(2).join(' ')}`);
