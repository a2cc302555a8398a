import type { Command } from 'commander';
import { withConnection } from '../connection.ts';
import type { ZtunnelConfigOptions } from '../mesh/ztunnel-config.ts';

const KINDS: Readonly<Record<string, { readonly alias: string; readonly about: string }>> = {
  workload: { alias: 'workloads', about: 'the workloads the node proxies know' },
  service: { alias: 'services', about: 'the services, with healthy and all endpoints' },
  policy: { alias: 'policies', about: 'the authorization policies in force' },
  certificate: { alias: 'certificates', about: 'the certificates each node proxy holds' },
  connections: { alias: 'connection', about: 'the open connections of the pods on each node' },
  all: { alias: 'everything', about: 'all of the above' },
};

/** What shows the mesh as its proxies see it. */
export const addMeshCommands = (root: Command): void => {
  const group = root
    .command('ztunnel-config')
    .alias('zc')
    .description('what the node proxies know and do, over all nodes')
    .addHelpText(
      'after',
      '\nExamples:\n  lateen ztunnel-config workload\n  lateen ztunnel-config connections --workload-namespace ai-inference\n  lateen ztunnel-config certificate --node node1 -o json',
    );
  for (const [name, { alias, about }] of Object.entries(KINDS)) {
    const command = withConnection(group.command(name).alias(alias).description(about))
      .option('-o, --output <format>', 'table, json or yaml', 'table')
      .option('--node <name>', 'ask only the proxy of this node')
      .option('--workload-namespace <name>', 'only entries of this namespace')
      .option('--mesh-namespace <name>', 'namespace of the ztunnel pods', 'istio-system');
    if (name === 'workload') {
      command
        .option('--workload-node <name>', 'only workloads on this node')
        .option('--address <ip>', 'only the workload with this address');
    }
    if (name === 'connections') {
      command.option('--direction <way>', 'inbound or outbound').option('--raw', 'addresses instead of names');
    }
    command.action(async (options: ZtunnelConfigOptions) => {
      const { ztunnelConfig } = await import('../mesh/ztunnel-config.ts');
      await ztunnelConfig(name, options);
    });
  }
};
