import type { Command } from 'commander';
import { ApiError, KubeClient, KubeConfigError, loadKubeConfig } from '../platform/kubernetes/index.ts';
import { CliError, EXIT } from './exit.ts';

/** Which cluster, as whom, which namespace: kubectl's options, on every command that talks to a cluster. */
export interface ConnectionOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
}

export const withConnection = (command: Command): Command =>
  command
    .option('-n, --namespace <name>', "namespace (default: the context's)")
    .option('--kubeconfig <file>', 'kubeconfig file (default: $KUBECONFIG, then ~/.kube/config)')
    .option('--context <name>', 'context of the kubeconfig (default: its current one)');

export interface Connection {
  readonly client: KubeClient;
  readonly namespace: string;
}

/** Reads the kubeconfig by kubectl's rules. Nothing is sent yet. */
export const connect = (options: ConnectionOptions): Connection => {
  const config = loadKubeConfig(process.env, {
    ...(options.kubeconfig !== undefined && { kubeconfig: options.kubeconfig }),
    ...(options.context !== undefined && { context: options.context }),
  });
  return { client: new KubeClient(config), namespace: options.namespace ?? config.namespace };
};

/** What the exit code and the remedy of a failed request are. */
export const explainApiFailure = (error: unknown): CliError | undefined => {
  // By name, so that no other command loads the cluster's code for it.
  if (error instanceof Error && error.name === 'ClusterError')
    return new CliError(error.message, 'code' in error && error.code === 'BAD_OPTION' ? EXIT.usage : EXIT.failure);
  if (error instanceof KubeConfigError) return new CliError(error.message, EXIT.unreachable);
  if (!(error instanceof ApiError)) return undefined;
  if (error.code === 0) {
    return new CliError(
      error.message,
      EXIT.unreachable,
      'Is the cluster up? "lateen status" tells about the embedded one, "lateen up" starts it; --context or KUBECONFIG choose another.',
    );
  }
  if (error.code === 404) return new CliError(error.message, EXIT.notFound);
  if (error.code === 401)
    return new CliError(
      error.message,
      EXIT.refused,
      'The credentials of this context were not accepted. For the embedded cluster run "lateen up" again, which writes them anew.',
    );
  const fields = error.causes
    .filter(({ field = '' }) => field !== '' && !error.message.includes(field))
    .map(({ field, message }) => `  ${field}: ${message ?? ''}`);
  const message = fields.length > 0 ? `${error.message}\n${fields.join('\n')}` : error.message;
  return new CliError(message, error.code < 500 ? EXIT.refused : EXIT.failure);
};
