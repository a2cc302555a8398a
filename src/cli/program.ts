import { Command, CommanderError } from 'commander';
import { addClusterCommands } from './commands/cluster.ts';
import { addCompletionCommand } from './commands/completion.ts';
import { addDemoCommand } from './commands/demo.ts';
import { addExplainCommands } from './commands/explain.ts';
import { addMeshCommands } from './commands/mesh.ts';
import { addObjectCommands } from './commands/objects.ts';
import { addPodCommands } from './commands/pods.ts';
import { addWaypointCommands } from './commands/waypoint.ts';
import { EXIT, EXIT_MEANING } from './exit.ts';
import { endQuietlyWithoutReader, printError } from './output.ts';
import { readVersion } from './version.ts';

/** Builds the command tree. Rooms are imported inside the actions, so one command never pays for another. */
export const buildProgram = (version: string): Command => {
  const program = new Command('lateen');
  program
    .description('An ambient service mesh for AI inference: identity, mutual TLS and policy without a proxy in any pod.')
    .version(version, '-V, --version')
    .configureHelp({ subcommandTerm: (command) => command.name(), showGlobalOptions: false })
    .enablePositionalOptions()
    .showHelpAfterError('(add --help for the options and examples)')
    .addHelpText(
      'after',
      `
Start here:
  lateen demo              bring a cluster up, move an inference pipeline into the mesh, measure every stage
  lateen up                only the cluster; then use kubectl or the commands above
  lateen ztunnel-config workload

Exit codes:
${Object.entries(EXIT)
  .map(([name, code]) => `  ${code}  ${EXIT_MEANING[name as keyof typeof EXIT]}`)
  .join('\n')}
`,
    );
  addClusterCommands(program);
  addDemoCommand(program);
  addObjectCommands(program);
  addPodCommands(program);
  addMeshCommands(program);
  addWaypointCommands(program);
  addExplainCommands(program);
  addCompletionCommand(program);
  program.commands.forEach(exitByException);
  return exitByException(program);
};

const exitByException = (command: Command): Command => {
  command.exitOverride();
  command.commands.forEach(exitByException);
  return command;
};

/** Parses, runs one command and returns its exit code. */
export const runCli = async (argv: string[]): Promise<number> => {
  process.exitCode = EXIT.ok;
  endQuietlyWithoutReader();
  try {
    const program = buildProgram(await readVersion());
    if (argv.length <= 2) {
      program.outputHelp();
      return EXIT.ok;
    }
    await program.parseAsync(argv);
    return Number(process.exitCode ?? EXIT.ok);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const { explainApiFailure } = await import('./connection.ts');
    return printError(error, explainApiFailure);
  }
};
