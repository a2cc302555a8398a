import type { Command } from 'commander';
import { withConnection } from '../connection.ts';
import type { ExplainRequestOptions } from '../waypoint/explain.ts';

const collect = (value: string, earlier: string[]): string[] => [...earlier, value];

/** What prints why the mesh decides as it does. */
export const addExplainCommands = (root: Command): void => {
  const group = root.command('explain').description('why the mesh does with something what it does, without doing it');
  withConnection(
    group.command('request').description('which route a request would take at the waypoint of a service, and why not the ones before'),
  )
    .requiredOption('--service <name>', 'NAME or NAME.NAMESPACE the request is for')
    .option('--port <number>', 'port of the service (default: its first)')
    .option('--method <name>', 'HTTP method', 'GET')
    .option('--path <path>', 'path, with its query', '/')
    .option('--host <name>', 'the host header (default: the name of the service)')
    .option('--header <name:value>', 'a header; may be repeated', collect, [])
    .option('--from-namespace <name>', 'namespace of the client')
    .option('-o, --output <format>', 'text or json', 'text')
    .addHelpText(
      'after',
      '\nA waypoint weighs the backends of a route for each request; the shares are printed, no draw is made.\n\nExamples:\n  lateen explain request --service inference-api.ai-inference --header x-model-version:v2\n  lateen explain request --service reviews --method POST --path /v1/reviews?page=2 --from-namespace shop -o json',
    )
    .action(async (options: ExplainRequestOptions) => {
      const { explainRequest } = await import('../waypoint/explain.ts');
      await explainRequest(options);
    });
};
