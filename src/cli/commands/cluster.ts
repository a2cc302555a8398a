import type { Command } from 'commander';
import type { UpOptions } from '../embedded/lifecycle.ts';

const collect = (value: string, earlier: string[]): string[] => [...earlier, value];

/** The embedded cluster: up, down, status. LATEEN_STATE_DIR says where it keeps its files. */
export const addClusterCommands = (root: Command): void => {
  root
    .command('up')
    .description('start the embedded cluster, with the mesh in it')
    .option('--nodes <number>', 'how many nodes (default: 2, or as before)')
    .option('-f, --filename <file>', 'apply these manifests when it is up; may be repeated', collect, [])
    .option('--image <name=command>', 'the program, or the image directory, that stands for an image; may be repeated', collect, [])
    .option('--no-mesh', 'leave control plane, node agent and node proxy out')
    .option('--port <number>', 'port of the API server on 127.0.0.1')
    .addHelpText(
      'after',
      '\nExamples:\n  lateen up\n  lateen up --nodes 3 -f examples/pipeline/pipeline.yaml\n  lateen up --image example/echo:*="python3 /srv/echo.py"',
    )
    .action(async (options: UpOptions) => {
      const { bringUp } = await import('../embedded/lifecycle.ts');
      await bringUp(options);
    });
  root
    .command('down')
    .description('end the embedded cluster')
    .option('--keep', 'keep its objects for the next "lateen up"')
    .action(async (options: { keep?: boolean }) => {
      const { bringDown } = await import('../embedded/lifecycle.ts');
      await bringDown(options);
    });
  root
    .command('status')
    .description('processes, nodes and pods of the embedded cluster')
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText('after', '\nExits 0 when the cluster runs, 3 when it is stopped.')
    .action(async (options: { output: string }) => {
      const { showStatus } = await import('../embedded/lifecycle.ts');
      await showStatus(options);
    });
  root
    .command('version')
    .description('print the version')
    .action(async () => {
      const { readVersion } = await import('../version.ts');
      const { print } = await import('../output.ts');
      print(`lateen ${await readVersion()} (Bun ${Bun.version})`);
    });
};
