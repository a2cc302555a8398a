import type { Command } from 'commander';
import { withConnection } from '../connection.ts';
import type { ApplyWaypointOptions, GenerateOptions } from '../waypoint/apply.ts';
import type { ConfigOptions } from '../waypoint/config.ts';
import type { DeleteWaypointOptions } from '../waypoint/delete.ts';
import type { ShowOptions, StatusOptions } from '../waypoint/show.ts';

/** istioctl's. */
const WAIT_LIMIT = '90s';

/** `lateen waypoint …`, and the same under `lateen x …`, where Istio's tool had it first. */
export const addWaypointCommands = (root: Command): void => {
  addGroup(root);
  addGroup(root.command('x').alias('experimental').description('commands under the names they had while they were new'));
};

const addGroup = (parent: Command): void => {
  const group = parent
    .command('waypoint')
    .description('deploy and look at waypoints: layer 7 routing for namespaces and services')
    .addHelpText(
      'after',
      '\nExamples:\n  lateen waypoint apply -n ai-inference --enroll-namespace --wait\n  lateen waypoint list -A\n  lateen waypoint routes inference-api -n ai-inference',
    );
  addGenerate(group);
  addApply(group);
  addList(group);
  addStatus(group);
  addDelete(group);
  addConfig(group);
};

const describing = (command: Command): Command =>
  withConnection(command)
    .option('--name <name>', 'name of the waypoint (default: waypoint)')
    .option('--for <traffic>', 'traffic it takes: service, workload, all or none (default: what its class says, else service)')
    .option('-r, --revision <name>', 'label it with this revision of the control plane')
    .option('--service-account <name>', 'the form of Istio before 1.22: explained, not done');

const waiting = (command: Command, purpose: string): Command =>
  command.option('--waypoint-timeout, --timeout <duration>', purpose, WAIT_LIMIT);

const addGenerate = (group: Command): void => {
  describing(group.command('generate').description('print the manifest of a waypoint'))
    .option('-o, --output <format>', 'yaml or json', 'yaml')
    .addHelpText(
      'after',
      '\nExamples:\n  lateen waypoint generate -n ai-inference --for all\n  lateen waypoint generate | kubectl apply -f -',
    )
    .action(async (options: GenerateOptions) => {
      const { generate } = await import('../waypoint/apply.ts');
      await generate(options);
    });
};

const addApply = (group: Command): void => {
  const command = describing(group.command('apply').description('create or change a waypoint'))
    .option('--enroll-namespace', 'then label the namespace to use it')
    .option('--overwrite', 'with --enroll-namespace: also when the namespace uses another waypoint')
    .option('-w, --wait', 'until it is ready')
    .option('-o, --output <format>', 'print the Gateway as json or yaml');
  waiting(command, 'give up waiting after this long')
    .addHelpText(
      'after',
      '\nExamples:\n  lateen waypoint apply -n ai-inference --enroll-namespace --wait\n  lateen waypoint apply -n shared --name egress --for all --revision canary',
    )
    .action(async (options: ApplyWaypointOptions) => {
      const { applyWaypoint } = await import('../waypoint/apply.ts');
      await applyWaypoint(options);
    });
};

const addList = (group: Command): void => {
  withConnection(group.command('list').description('list waypoints'))
    .option('-A, --all-namespaces', 'in every namespace')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .addHelpText('after', '\nExamples:\n  lateen waypoint list -n ai-inference\n  lateen waypoint list -A -o json')
    .action(async (options: ShowOptions) => {
      const { list } = await import('../waypoint/show.ts');
      await list(options);
    });
};

const addStatus = (group: Command): void => {
  const command = withConnection(group.command('status').description('wait for waypoints and show the state of each, with the reason'))
    .option('--name <name>', 'only this waypoint')
    .option('-A, --all-namespaces', 'in every namespace')
    .option('-w, --wait', 'until all are ready (the default)', true)
    .option('--no-wait', 'show the state as it is')
    .option('-o, --output <format>', 'table, json or yaml', 'table');
  waiting(command, 'show them as they are after this long, and exit 6')
    .addHelpText('after', '\nExamples:\n  lateen waypoint status -n ai-inference\n  lateen waypoint status -A --no-wait -o json')
    .action(async (options: StatusOptions) => {
      const { status } = await import('../waypoint/show.ts');
      await status(options);
    });
};

const addDelete = (group: Command): void => {
  withConnection(group.command('delete').description('delete waypoints'))
    .argument('[name...]')
    .option('--all', 'every waypoint of the namespace')
    .option('-r, --revision <name>', 'the waypoints of this revision')
    .option('--service-account <name>', 'the form of Istio before 1.22: explained, not done')
    .addHelpText('after', '\nExamples:\n  lateen waypoint delete waypoint -n ai-inference\n  lateen waypoint delete --all -n ai-inference')
    .action(async (names: string[], options: DeleteWaypointOptions) => {
      const { deleteWaypoints } = await import('../waypoint/delete.ts');
      await deleteWaypoints(names, options);
    });
};

const addConfig = (group: Command): void => {
  withConnection(group.command('config').description('the routes a waypoint executes, asked of its own admin port'))
    .argument('[name]', 'name of the waypoint', 'waypoint')
    .option('--service <name>', 'only the routes of this service')
    .option('-o, --output <format>', 'table, json (all of its configuration) or yaml', 'table')
    .addHelpText(
      'after',
      '\nExamples:\n  lateen waypoint config -n ai-inference\n  lateen waypoint config waypoint -n ai-inference -o json',
    )
    .action(async (name: string, options: ConfigOptions) => {
      const { showConfig } = await import('../waypoint/config.ts');
      await showConfig(name, options);
    });
  withConnection(group.command('routes').description('the routes of one service, at the waypoint it is bound to'))
    .argument('<service>')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .addHelpText('after', '\nExamples:\n  lateen waypoint routes inference-api -n ai-inference')
    .action(async (service: string, options: ConfigOptions) => {
      const { showRoutes } = await import('../waypoint/config.ts');
      await showRoutes(service, options);
    });
};
