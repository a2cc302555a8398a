import { exec } from '../../platform/kubernetes/index.ts';
import { type ConnectionOptions, connect } from '../connection.ts';
import { CliError, EXIT } from '../exit.ts';
import { containerOf, podsBehind, requireRunning } from './choose.ts';

export interface ExecOptions extends ConnectionOptions {
  readonly container?: string;
  readonly stdin?: boolean;
  readonly tty?: boolean;
}

/** `lateen exec POD -- COMMAND`: returns the command's own exit code. */
export const execInPod = async (word: string, command: readonly string[], options: ExecOptions): Promise<number> => {
  if (command.length === 0) throw new CliError('no command was given', EXIT.usage, 'Put it after "--": lateen exec POD -- ls /');
  const { client, namespace } = connect(options);
  const pod = (await podsBehind(client, namespace, word)).pods[0]!;
  const container = containerOf(pod, options.container);
  requireRunning(pod, container);
  const tty = options.tty === true && process.stdin.isTTY === true;
  const session = await exec(client, {
    namespace,
    pod: pod.metadata?.name ?? '',
    container,
    command,
    stdin: options.stdin === true,
    tty,
    onStdout: (chunk) => process.stdout.write(chunk),
    onStderr: (chunk) => process.stderr.write(chunk),
  });
  if (options.stdin === true) {
    if (tty) {
      process.stdin.setRawMode(true);
      const resize = () => session.resize(process.stdout.columns, process.stdout.rows);
      process.stdout.on('resize', resize);
      resize();
    }
    process.stdin.on('data', (chunk: Uint8Array) => session.writeStdin(chunk));
    process.stdin.on('end', () => session.closeStdin());
  }
  try {
    return await session.exit;
  } finally {
    if (tty) process.stdin.setRawMode(false);
    process.stdin.pause();
  }
};
