import type { Command } from 'commander';
import { type ConnectionOptions, withConnection } from '../connection.ts';
import type { ExecOptions } from '../pods/exec.ts';
import type { LogsOptions } from '../pods/logs.ts';

/** What reaches into pods. */
export const addPodCommands = (root: Command): void => {
  withConnection(root.command('logs').description("print a pod's log"))
    .argument('[pod | kind/name]')
    .option('-f, --follow', 'go on as lines are written')
    .option('--tail <lines>', 'only the last lines')
    .option('--since <duration>', 'only the last 30s, 5m …')
    .option('-p, --previous', 'of the container that ended before this one')
    .option('--timestamps', 'put the time before each line')
    .option('-c, --container <name>', "container (default: the pod's first)")
    .option('-l, --selector <labels>', 'all pods with these labels')
    .option('-A, --all-namespaces', 'with -l: in every namespace')
    .option('--prefix', 'put pod and container before each line')
    .addHelpText('after', '\nExamples:\n  lateen logs -f deploy/load -n ai-clients\n  lateen logs -l app=ztunnel -n istio-system --tail 20')
    .action(async (word: string | undefined, options: LogsOptions) => {
      const { logs } = await import('../pods/logs.ts');
      await logs(word, options);
    });
  withConnection(root.command('exec').description('run a command in a pod'))
    .argument('<pod | kind/name>')
    .argument('[command...]', 'after --')
    .option('-c, --container <name>', "container (default: the pod's first)")
    .option('-i, --stdin', 'pass standard input on')
    .option('-t, --tty', 'with a terminal')
    .addHelpText(
      'after',
      '\nThe exit code is the command’s own.\n\nExamples:\n  lateen exec deploy/load -n ai-clients -- cat /etc/resolv.conf\n  lateen exec -it web-0 -- sh',
    )
    .action(async (word: string, command: string[], options: ExecOptions) => {
      const { execInPod } = await import('../pods/exec.ts');
      process.exitCode = await execInPod(word, command, options);
    });
  withConnection(root.command('port-forward').description('reach a port inside a pod from this machine'))
    .argument('<pod | kind/name>')
    .argument('<[local:]remote...>')
    .addHelpText(
      'after',
      '\nExamples:\n  lateen port-forward deploy/load 9090 -n ai-clients\n  lateen port-forward svc/inference-api 8080:grpc -n ai-inference',
    )
    .action(async (word: string, ports: string[], options: ConnectionOptions) => {
      const { portForward } = await import('../pods/port-forward.ts');
      await portForward(word, ports, options);
    });
};
