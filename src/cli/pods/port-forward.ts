import { forwardPort } from '../../platform/kubernetes/index.ts';
import { type ConnectionOptions, connect } from '../connection.ts';
import { CliError, EXIT } from '../exit.ts';
import { note, print, style } from '../output.ts';
import { containerOf, podPort, podsBehind, requireRunning } from './choose.ts';

/** `lateen port-forward TARGET [LOCAL:]REMOTE…`: until interrupted. */
export const portForward = async (word: string, ports: readonly string[], options: ConnectionOptions): Promise<void> => {
  const wanted = ports.map(readPorts);
  const { client, namespace } = connect(options);
  const { pods, service } = await podsBehind(client, namespace, word);
  const pod = pods[0]!;
  requireRunning(pod, containerOf(pod, undefined));
  const forwards = wanted.map(({ local, remote }) => {
    const port = podPort(pod, service, remote);
    const localPort = local ?? (service === undefined ? port : Number(remote));
    try {
      const forward = forwardPort(
        client,
        { namespace, pod: pod.metadata?.name ?? '', port },
        { localPort: Number.isNaN(localPort) ? port : localPort, onError: (error) => note(`${style.yellow('warning:')} ${error.message}`) },
      );
      print(`Forwarding from 127.0.0.1:${forward.port} -> ${port}`);
      return forward;
    } catch (error) {
      throw new CliError(
        `port ${localPort} cannot be listened on: ${error instanceof Error ? error.message : String(error)}`,
        EXIT.failure,
        `Choose another: LOCAL:${remote}, or :${remote} for any free one.`,
      );
    }
  });
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
  for (const forward of forwards) forward.close();
};

/** `8080`, `8080:grpc`, `:grpc` (any free local port). */
export const readPorts = (text: string): { local: number | undefined; remote: string } => {
  const match = /^(?:(\d*):)?([a-z0-9-]+)$/.exec(text);
  const local = match?.[1] === undefined ? undefined : Number(match[1]);
  if (match === null || (local ?? 0) > 65_535)
    throw new CliError(`"${text}" is not [LOCAL:]REMOTE`, EXIT.usage, 'For example 8080, 8080:grpc or :9090.');
  return { local, remote: match[2]! };
};
