import { stringify } from 'yaml';
import type { DiscoveredResource, KubeClient, UnknownObject } from '../../platform/kubernetes/index.ts';
import { isNotFound } from '../../platform/kubernetes/index.ts';
import { type ConnectionOptions, connect } from '../connection.ts';
import { CliError, EXIT } from '../exit.ts';
import { note, print, table } from '../output.ts';
import { asTable, fetchTable, renderTable, type ServerTable, TABLE_ACCEPT, type TableView } from './server-table.ts';
import { readTargets, resourceName, scopeOf, type Target } from './targets.ts';

export interface GetOptions extends ConnectionOptions {
  readonly output?: string;
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly allNamespaces?: boolean;
  readonly watch?: boolean;
  readonly headers: boolean;
  readonly showLabels?: boolean;
  readonly ignoreNotFound?: boolean;
  readonly showManagedFields?: boolean;
}

const OUTPUTS = ['json', 'yaml', 'name', 'wide', 'table'];

/** `lateen get`. */
export const get = async (words: readonly string[], options: GetOptions): Promise<void> => {
  const output = options.output ?? 'table';
  if (!OUTPUTS.includes(output)) throw new CliError(`-o ${output}: not an output format`, EXIT.usage, `Use one of ${OUTPUTS.join(', ')}.`);
  const { client, namespace } = connect(options);
  const targets = await readTargets(client, words);
  if (options.allNamespaces === true && targets.some(({ names }) => names.length > 0))
    throw new CliError('a name and --all-namespaces exclude each other', EXIT.usage);
  if (output === 'table' || output === 'wide') await printTables(client, namespace, targets, options);
  else await printObjects(client, namespace, targets, output, options);
};

const printTables = async (client: KubeClient, namespace: string, targets: readonly Target[], options: GetOptions): Promise<void> => {
  let printed = 0;
  const missing: unknown[] = [];
  for (const { resource, names } of targets) {
    const view: TableView = {
      wide: options.output === 'wide',
      withNamespace: options.allNamespaces === true && resource.namespaced,
      withLabels: options.showLabels === true,
      prefix: targets.length > 1 ? `${resourceName(resource)}/` : '',
    };
    const scope = scopeOf(resource, namespace, options.allNamespaces);
    const answers: ServerTable[] = [];
    if (names.length === 0) answers.push(await fetchTable(client, resource, scope, selectors(options)));
    for (const name of names) {
      await fetchTable(client, resource, { ...scope, name }, {}).then(
        (answer) => answers.push(answer),
        (error: unknown) => collectMissing(error, missing),
      );
    }
    const rendered = answers.map((answer) => renderTable(answer, view));
    const rows = rendered.flatMap(({ rows }) => rows);
    if (rows.length > 0) {
      if (printed > 0) print('');
      print(table(rendered[0]!.header, rows, options.headers));
      printed += rows.length;
    }
    if (options.watch === true) await followTable(client, resource, scope, names, answers[0], view, options);
  }
  if (missing.length > 0 && options.ignoreNotFound !== true) throw missing[0];
  if (printed === 0 && missing.length === 0 && options.ignoreNotFound !== true) {
    note(
      options.allNamespaces === true || !targets.some(({ resource }) => resource.namespaced)
        ? 'No resources found'
        : `No resources found in ${namespace} namespace.`,
    );
  }
};

const collectMissing = (error: unknown, missing: unknown[]): void => {
  if (!isNotFound(error)) throw error;
  missing.push(error);
};

const selectors = (options: GetOptions): Record<string, string | undefined> => ({
  labelSelector: options.selector,
  fieldSelector: options.fieldSelector,
});

/** Prints a row for every change until the server ends the watch or the user does. */
const followTable = async (
  client: KubeClient,
  resource: DiscoveredResource,
  scope: { namespace?: string },
  names: readonly string[],
  first: ServerTable | undefined,
  view: TableView,
  options: GetOptions,
): Promise<void> => {
  const fieldSelector = names.length === 1 ? `metadata.name=${names[0]}` : options.fieldSelector;
  const response = await client.raw(client.path(resource, scope), {
    accept: TABLE_ACCEPT,
    query: { watch: true, labelSelector: options.selector, fieldSelector, resourceVersion: first?.metadata?.resourceVersion },
    timeoutMs: 0,
    context: `watch ${resource.plural}`,
  });
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.trim() === '') continue;
      const event: { type: string; object: unknown } = JSON.parse(line);
      if (event.type === 'BOOKMARK') continue;
      if (event.type === 'ERROR')
        throw new CliError(`the watch ended: ${(event.object as { message?: string }).message ?? 'no reason given'}`);
      const { header, rows } = renderTable(asTable(event.object), view);
      if (rows.length > 0) print(table(header, rows, false));
    }
  }
};

const printObjects = async (
  client: KubeClient,
  namespace: string,
  targets: readonly Target[],
  output: string,
  options: GetOptions,
): Promise<void> => {
  const found: { resource: DiscoveredResource; object: UnknownObject }[] = [];
  const missing: unknown[] = [];
  for (const { resource, names } of targets) {
    const scope = scopeOf(resource, namespace, options.allNamespaces);
    if (names.length === 0) {
      const list = await client.listAll(resource, {
        ...scope,
        ...(options.selector && { labelSelector: options.selector }),
        ...(options.fieldSelector && { fieldSelector: options.fieldSelector }),
      });
      // The items of a list come without their kind; a manifest needs it.
      const apiVersion = list.apiVersion ?? (resource.group === '' ? resource.version : `${resource.group}/${resource.version}`);
      for (const object of list.items) found.push({ resource, object: { ...object, apiVersion, kind: resource.kind } });
    }
    for (const name of names) {
      await client.get(resource, name, scope).then(
        (object) => found.push({ resource, object }),
        (error: unknown) => collectMissing(error, missing),
      );
    }
  }
  // Who owns which field is long and seldom wanted.
  if (options.showManagedFields !== true) for (const { object } of found) delete object.metadata?.managedFields;
  if (output === 'name') for (const { resource, object } of found) print(`${resourceName(resource)}/${object.metadata?.name ?? ''}`);
  else {
    const single = targets.length === 1 && targets[0]!.names.length === 1;
    const value = single
      ? found[0]?.object
      : { apiVersion: 'v1', kind: 'List', metadata: { resourceVersion: '' }, items: found.map(({ object }) => object) };
    if (value !== undefined) print(output === 'json' ? JSON.stringify(value, null, 4) : stringify(value).trimEnd());
  }
  if (missing.length > 0 && options.ignoreNotFound !== true) throw missing[0];
};
