import { clusterStatus, down, up } from '../../cluster/index.ts';
import { applyManifests } from '../../platform/kubernetes/index.ts';
import { connect } from '../connection.ts';
import { CliError, EXIT } from '../exit.ts';
import { readManifests } from '../objects/manifests.ts';
import { note, print, style, table } from '../output.ts';

export interface UpOptions {
  readonly nodes?: string;
  readonly image: readonly string[];
  readonly filename: readonly string[];
  readonly mesh: boolean;
  readonly port?: string;
}

/** `lateen up`: idempotent; a running cluster only gets the manifests. */
export const bringUp = async (options: UpOptions): Promise<void> => {
  const nodes = options.nodes === undefined ? undefined : wholeNumber('--nodes', options.nodes, 1, 64);
  // Read before anything starts: a typing error in a path should cost nothing.
  const objects = options.filename.length > 0 ? await readManifests(options.filename) : [];
  const { context } = await up(
    {
      ...(nodes !== undefined && { nodes }),
      images: options.image,
      mesh: options.mesh,
      ...(options.port !== undefined && { port: wholeNumber('--port', options.port, 1, 65_535) }),
    },
    ({ message }) => note(style.dim(`  ${message}`)),
  );
  if (objects.length > 0) {
    const { client, namespace } = connect({});
    await applyManifests(client, objects, { namespace, onResult: ({ name, outcome }) => print(`${name} ${outcome}`) });
  }
  note(`${style.green('The cluster is up.')} kubectl and lateen use it now (context "${context}"); "lateen down" ends it.`);
};

const wholeNumber = (option: string, text: string, lowest: number, highest: number): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < lowest || value > highest)
    throw new CliError(`${option} ${text}: must be a whole number from ${lowest} to ${highest}`, EXIT.usage);
  return value;
};

export const bringDown = async (options: { readonly keep?: boolean }): Promise<void> => {
  const existed = await down({ keep: options.keep === true });
  if (!existed) note('There was no cluster.');
  else
    note(
      options.keep === true
        ? 'The cluster is down; its objects are kept for the next "lateen up".'
        : 'The cluster is down and nothing of it is left.',
    );
};

export const showStatus = async (options: { readonly output: string }): Promise<void> => {
  if (!['table', 'json'].includes(options.output))
    throw new CliError(`-o ${options.output}: not an output format`, EXIT.usage, 'Use table or json.');
  const status = await clusterStatus({});
  if (options.output === 'json') print(JSON.stringify(status, null, 2));
  else {
    print(`cluster ${status.name}: ${status.state}${status.server === undefined ? '' : `, ${status.server}`}`);
    print(`state in ${status.stateDir}`);
    if (status.problem !== undefined) print(`problem: ${status.problem}`);
    if (status.state !== 'stopped') {
      const phases = Object.entries(status.pods.byPhase).map(([phase, count]) => `${count} ${phase}`);
      print(`pods: ${status.pods.ready} of ${status.pods.total} ready${phases.length > 0 ? ` (${phases.join(', ')})` : ''}\n`);
      print(
        table(
          ['NODE', 'READY', 'ADDRESS'],
          status.nodes.map(({ name, ready, address }) => [name, String(ready), address ?? '']),
        ),
      );
      print('');
      print(
        table(
          ['PROCESS', 'PID', 'RESTARTS', 'STARTED', 'LAST EXIT'],
          status.processes.map(({ name, pid, restarts, startedAt, lastExit }) => [
            name,
            pid === undefined ? '-' : String(pid),
            String(restarts),
            startedAt ?? '',
            lastExit ?? '',
          ]),
        ),
      );
    }
  }
  if (status.state === 'stopped') {
    note('Start it with "lateen up".');
    process.exitCode = EXIT.notFound;
  }
};
