/** Runs a program (`nft`, `ip`) to its end, inside a network namespace if asked. */
import { inNetworkNamespace } from './netns.ts';

/** How long one of these programs may take; they normally need milliseconds. */
export const COMMAND_TIMEOUT_MS = 10_000;
/** Characters of a program's error text kept in messages. */
const MAX_MESSAGE = 2_000;

export interface CommandOptions {
  readonly stdin?: string;
  /** Descriptor of the network namespace to run in; default: the process's own. */
  readonly netns?: number;
  readonly timeoutMs?: number;
}

/** A program that could not be started, failed or took too long. */
export class CommandError extends Error {
  readonly command: string;
  /** `undefined` when the program did not start or was ended by a signal. */
  readonly exitCode: number | undefined;
  constructor(command: string, exitCode: number | undefined, detail: string) {
    super(`${command}: ${detail.trim().slice(0, MAX_MESSAGE)}`);
    this.name = 'CommandError';
    this.command = command;
    this.exitCode = exitCode;
  }
}

const PACKAGES: Readonly<Record<string, string>> = { nft: 'nftables', ip: 'iproute2' };

/** Standard output of `argv` when it exits with 0; a {@link CommandError} with its error text otherwise. */
export async function runCommand(argv: readonly [string, ...string[]], options: CommandOptions = {}): Promise<string> {
  const name = argv.slice(0, 2).join(' ');
  const timeoutMs = options.timeoutMs ?? COMMAND_TIMEOUT_MS;
  const start = () =>
    Bun.spawn([...argv], {
      stdin: options.stdin === undefined ? 'ignore' : new Blob([options.stdin]),
      stdout: 'pipe',
      stderr: 'pipe',
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
  let child: ReturnType<typeof start>;
  try {
    // The child is forked before spawn returns, so it starts in the namespace this thread is in now.
    child = options.netns === undefined ? start() : inNetworkNamespace(options.netns, start);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new CommandError(name, undefined, `the program is not installed; install the package ${PACKAGES[argv[0]] ?? argv[0]}`);
  }
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  if (child.exitCode === 0) return stdout;
  if (child.exitCode === null)
    throw new CommandError(name, undefined, `ended by ${child.signalCode ?? 'a signal'} (limit ${timeoutMs} ms)`);
  throw new CommandError(name, child.exitCode, stderr || stdout || `exit code ${child.exitCode}`);
}
