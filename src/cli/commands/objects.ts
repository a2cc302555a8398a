import type { Command } from 'commander';
import { withConnection } from '../connection.ts';
import { CliError, EXIT } from '../exit.ts';
import type { ApplyOptions, DeleteOptions, SetOptions } from '../objects/change.ts';
import type { GetOptions } from '../objects/get.ts';
import type { WaitOptions } from '../objects/wait.ts';

const collect = (value: string, earlier: string[]): string[] => [...earlier, value];

/** The verbs that work on objects of any kind, on any cluster. */
export const addObjectCommands = (root: Command): void => {
  addGet(root);
  addApply(root);
  addMetadata(
    root,
    'label',
    'labels',
    'lateen label namespace ai-inference istio.io/dataplane-mode=ambient',
    'lateen label namespace ai-inference istio.io/dataplane-mode-',
  );
  addMetadata(root, 'annotate', 'annotations', 'lateen annotate pod web-0 note=checked', 'lateen annotate pod web-0 note-');
  addDelete(root);
  addWait(root);
};

const addGet = (root: Command): void => {
  withConnection(root.command('get').description('list or show objects'))
    .argument('<kind[/name] | kind name…>')
    .argument('[name...]')
    .option('-o, --output <format>', 'table, wide, json, yaml or name')
    .option('-l, --selector <labels>', 'only objects with these labels')
    .option('--field-selector <fields>', 'only objects with these fields, for example spec.nodeName=node1')
    .option('-A, --all-namespaces', 'in every namespace')
    .option('-w, --watch', 'then print every change')
    .option('--show-labels', 'add a column with the labels')
    .option('--no-headers', 'leave the header line out')
    .option('--show-managed-fields', 'keep metadata.managedFields in json and yaml')
    .option('--ignore-not-found', 'exit 0 when a named object does not exist')
    .addHelpText(
      'after',
      '\nExamples:\n  lateen get pods -A -o wide\n  lateen get deploy,svc -n ai-inference\n  lateen get authorizationpolicy deny-intruder -n ai-inference -o yaml',
    )
    .action(async (kind: string, names: string[], options: GetOptions) => {
      const { get } = await import('../objects/get.ts');
      await get([kind, ...names], options);
    });
};

const addApply = (root: Command): void => {
  withConnection(root.command('apply').description('create or change objects from manifests (server-side apply)'))
    .option('-f, --filename <file>', 'file, directory, or - for standard input; may be repeated', collect, [])
    .option('--dry-run', 'let the server check everything and store nothing')
    .option('--field-manager <name>', 'who owns the fields', 'lateen')
    .option('--no-force-conflicts', 'fail where another manager owns a field')
    .addHelpText('after', '\nExamples:\n  lateen apply -f examples/pipeline/pipeline.yaml\n  cat policy.yaml | lateen apply -f -')
    .action(async (options: ApplyOptions) => {
      const { apply } = await import('../objects/change.ts');
      await apply(options);
    });
};

const addMetadata = (root: Command, verb: string, field: 'labels' | 'annotations', example: string, removal: string): void => {
  withConnection(root.command(verb).description(`set or remove ${field}`))
    .argument('<kind> <name…> <key=value | key->…')
    .argument('[words...]')
    .option('--overwrite', 'change a value that is already set')
    .option('-l, --selector <labels>', 'objects with these labels instead of names')
    .option('--all', 'every object of the kind in the namespace')
    .option('-A, --all-namespaces', 'with -l or --all: in every namespace')
    .addHelpText('after', `\nExamples:\n  ${example}\n  ${removal}`)
    .action(async (first: string, words: string[], options: SetOptions) => {
      const { setMetadata } = await import('../objects/change.ts');
      await setMetadata(field, [first, ...words], options);
    });
};

const addDelete = (root: Command): void => {
  withConnection(root.command('delete').description('delete objects'))
    .argument('[kind[/name] | kind name…]')
    .argument('[name...]')
    .option('-f, --filename <file>', 'delete what these manifests name; may be repeated', collect, [])
    .option('-l, --selector <labels>', 'objects with these labels')
    .option('--all', 'every object of the kind in the namespace')
    .option('-A, --all-namespaces', 'with -l or --all: in every namespace')
    .option('--ignore-not-found', 'a missing object is no error')
    .option('--no-wait', 'return before the objects are gone')
    .option('--timeout <duration>', 'how long to wait for the end', '60s')
    .option('--grace-period <seconds>', 'time the processes get to end')
    .option('--force', 'end at once: the same as --grace-period 0')
    .addHelpText('after', '\nExamples:\n  lateen delete -f examples/pipeline/deny-intruder.yaml\n  lateen delete pod web-0 -n shop')
    .action(async (kind: string | undefined, names: string[], options: DeleteOptions) => {
      if (kind === undefined && options.filename.length === 0)
        throw new CliError('nothing was named', EXIT.usage, 'Give KIND NAME, KIND/NAME or -f FILE.');
      const { remove } = await import('../objects/change.ts');
      await remove(kind === undefined ? [] : [kind, ...names], options);
    });
};

const addWait = (root: Command): void => {
  withConnection(root.command('wait').description('wait until objects are in a state'))
    .argument('<kind[/name] | kind name…>')
    .argument('[name...]')
    .requiredOption('--for <state>', 'delete, create or condition=NAME[=VALUE]')
    .option('-l, --selector <labels>', 'objects with these labels')
    .option('--all', 'every object of the kind in the namespace')
    .option('-A, --all-namespaces', 'with -l or --all: in every namespace')
    .option('--timeout <duration>', 'give up after this long', '30s')
    .addHelpText(
      'after',
      '\nExamples:\n  lateen wait deployment/inference-api-v1 -n ai-inference --for=condition=Available\n  lateen wait pods --all -n ai-inference --for=condition=Ready --timeout 1m',
    )
    .action(async (kind: string, names: string[], options: WaitOptions) => {
      const { wait } = await import('../objects/wait.ts');
      await wait([kind, ...names], options);
    });
};
