import { type KubeClient, streamLogs } from '../../platform/kubernetes/index.ts';
import { type ConnectionOptions, connect } from '../connection.ts';
import { CliError, EXIT } from '../exit.ts';
import { readDuration } from '../objects/wait.ts';
import { containerOf, type PodView, podsBehind, podsMatching } from './choose.ts';

export interface LogsOptions extends ConnectionOptions {
  readonly follow?: boolean;
  readonly previous?: boolean;
  readonly tail?: string;
  readonly since?: string;
  readonly timestamps?: boolean;
  readonly container?: string;
  readonly selector?: string;
  readonly allNamespaces?: boolean;
  readonly prefix?: boolean;
}

/** Following more streams than this at once is a mistake of the selector. */
const MAX_STREAMS = 32;
/** A log line longer than this is passed on in pieces. */
const MAX_LINE_BYTES = 1024 * 1024;

/** `lateen logs`: one pod's log as it is, or several pods' logs by line. */
export const logs = async (word: string | undefined, options: LogsOptions): Promise<void> => {
  const { client, namespace } = connect(options);
  const pods = await choosePods(client, namespace, word, options);
  if (options.tail !== undefined && !/^-?\d+$/.test(options.tail)) throw new CliError(`--tail ${options.tail} is not a number`, EXIT.usage);
  // With a selector kubectl shows ten lines of each unless told otherwise.
  const tail =
    options.tail !== undefined ? Number(options.tail) : options.selector !== undefined && options.follow !== true ? 10 : undefined;
  const prefix = options.prefix === true || pods.length > 1;
  await Promise.all(
    pods.map(async (pod) => {
      const container = containerOf(pod, options.container);
      const name = pod.metadata?.name ?? '';
      const stream = await streamLogs(client, {
        namespace: pod.metadata?.namespace ?? namespace,
        pod: name,
        container,
        ...(options.follow === true && { follow: true }),
        ...(options.previous === true && { previous: true }),
        ...(options.timestamps === true && { timestamps: true }),
        ...(tail !== undefined && tail >= 0 && { tailLines: tail }),
        ...(options.since !== undefined && { sinceSeconds: Math.max(1, Math.round(readDuration(options.since) / 1000)) }),
      });
      await copyLines(stream, prefix ? `[${name}/${container}] ` : '');
    }),
  );
};

const choosePods = async (client: KubeClient, namespace: string, word: string | undefined, options: LogsOptions): Promise<PodView[]> => {
  if (options.selector !== undefined) {
    const pods = await podsMatching(client, options.allNamespaces === true ? undefined : namespace, options.selector);
    if (pods.length === 0) throw new CliError(`no pods match ${options.selector}`, EXIT.notFound);
    if (pods.length > MAX_STREAMS)
      throw new CliError(
        `${pods.length} pods match ${options.selector}; at most ${MAX_STREAMS} are shown together`,
        EXIT.usage,
        'Use a narrower selector.',
      );
    return pods;
  }
  if (word === undefined) throw new CliError('no pod was named', EXIT.usage, 'Give a pod, KIND/NAME, or labels with -l.');
  return (await podsBehind(client, namespace, word)).pods.slice(0, 1);
};

const copyLines = async (stream: ReadableStream<Uint8Array>, prefix: string): Promise<void> => {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) {
    if (prefix === '') {
      process.stdout.write(chunk);
      continue;
    }
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_LINE_BYTES) {
      lines.push(rest);
      rest = '';
    }
    if (lines.length > 0) process.stdout.write(lines.map((line) => `${prefix}${line}\n`).join(''));
  }
  if (rest !== '') process.stdout.write(`${prefix}${rest}\n`);
};
