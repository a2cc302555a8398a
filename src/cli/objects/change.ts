import type { DiscoveredResource, KubeClient } from '../../platform/kubernetes/index.ts';
import { applyManifests, isNotFound } from '../../platform/kubernetes/index.ts';
import { type ConnectionOptions, connect } from '../connection.ts';
import { CliError, EXIT } from '../exit.ts';
import { print } from '../output.ts';
import { readManifests } from './manifests.ts';
import { readTargets, resourceName, scopeOf } from './targets.ts';

export interface ApplyOptions extends ConnectionOptions {
  readonly filename: readonly string[];
  readonly dryRun?: boolean;
  readonly forceConflicts?: boolean;
  readonly fieldManager: string;
}

/** `lateen apply -f`: server-side apply. */
export const apply = async (options: ApplyOptions): Promise<void> => {
  const objects = await readManifests(options.filename);
  const { client, namespace } = connect(options);
  const suffix = options.dryRun === true ? ' (server dry run)' : '';
  await applyManifests(client, objects, {
    namespace,
    fieldManager: options.fieldManager,
    force: options.forceConflicts ?? true,
    dryRun: options.dryRun === true,
    onResult: ({ name, outcome }) => print(`${name} ${outcome}${suffix}`),
  });
};

export interface SetOptions extends ConnectionOptions {
  readonly overwrite?: boolean;
  readonly all?: boolean;
  readonly allNamespaces?: boolean;
  readonly selector?: string;
}

interface Change {
  readonly set: Readonly<Record<string, string>>;
  readonly remove: readonly string[];
}

const KEY = /^([a-z0-9A-Z]([-a-z0-9A-Z.]*[a-z0-9A-Z])?\/)?[a-zA-Z0-9]([-\w.]*[a-zA-Z0-9])?$/;

/** Splits `namespace a b key=value other-` into the words that name objects and the change. */
export const splitChange = (words: readonly string[]): { targets: string[]; change: Change } => {
  const targets: string[] = [];
  const set: Record<string, string> = {};
  const remove: string[] = [];
  for (const word of words) {
    const equals = word.indexOf('=');
    if (equals > 0) set[word.slice(0, equals)] = word.slice(equals + 1);
    else if (word.endsWith('-') && word.length > 1) remove.push(word.slice(0, -1));
    else targets.push(word);
  }
  for (const key of [...Object.keys(set), ...remove]) {
    if (!KEY.test(key))
      throw new CliError(
        `"${key}" is not a key`,
        EXIT.usage,
        'A key is [PREFIX/]NAME of letters, digits, "-", "_" and ".", for example istio.io/dataplane-mode.',
      );
  }
  return { targets, change: { set, remove } };
};

/** `lateen label` and `lateen annotate`. */
export const setMetadata = async (field: 'labels' | 'annotations', words: readonly string[], options: SetOptions): Promise<void> => {
  const verb = field === 'labels' ? 'labeled' : 'annotated';
  const { targets: named, change } = splitChange(words);
  if (Object.keys(change.set).length + change.remove.length === 0) {
    throw new CliError('nothing to change', EXIT.usage, 'Add KEY=VALUE to set, or KEY- to remove.');
  }
  const { client, namespace } = connect(options);
  for (const target of await readTargets(client, named)) {
    const { resource } = target;
    for (const found of await expand(client, namespace, target.resource, target.names, options)) {
      const current = (await client.get(resource, found.name, found.scope)).metadata?.[field] ?? {};
      const clash = Object.keys(change.set).find((key) => current[key] !== undefined && current[key] !== change.set[key]);
      const label = `${resourceName(resource)}/${found.name}`;
      if (clash !== undefined && options.overwrite !== true) {
        throw new CliError(`${label}: ${field} ${clash} is already "${current[clash]}"`, EXIT.refused, 'Add --overwrite to change it.');
      }
      const same =
        Object.entries(change.set).every(([key, value]) => current[key] === value) &&
        change.remove.every((key) => current[key] === undefined);
      if (same) {
        print(`${label} not ${verb}: nothing to change`);
        continue;
      }
      const patch = { ...change.set, ...Object.fromEntries(change.remove.map((key) => [key, null])) };
      await client.patch(resource, found.name, { metadata: { [field]: patch } }, { ...found.scope, fieldManager: 'lateen' });
      print(`${label} ${Object.keys(change.set).length === 0 ? `un${verb}` : verb}`);
    }
  }
};

interface Found {
  readonly name: string;
  readonly scope: { readonly namespace?: string };
}

/** Named objects, or with --all or -l the matching ones. */
const expand = async (
  client: KubeClient,
  namespace: string,
  resource: DiscoveredResource,
  names: readonly string[],
  options: { readonly all?: boolean; readonly allNamespaces?: boolean; readonly selector?: string },
): Promise<Found[]> => {
  if (names.length > 0) return names.map((name) => ({ name, scope: scopeOf(resource, namespace) }));
  if (options.all !== true && options.selector === undefined) {
    throw new CliError(`no ${resource.plural} were named`, EXIT.usage, 'Give names, --all, or a label selector with -l.');
  }
  const list = await client.listAll(resource, {
    ...scopeOf(resource, namespace, options.allNamespaces),
    ...(options.selector !== undefined && { labelSelector: options.selector }),
  });
  return list.items.map(({ metadata }) => ({
    name: metadata?.name ?? '',
    scope: resource.namespaced ? { namespace: metadata?.namespace ?? namespace } : {},
  }));
};

export interface DeleteOptions extends SetOptions {
  readonly filename: readonly string[];
  readonly ignoreNotFound?: boolean;
  readonly wait: boolean;
  readonly timeout: string;
  readonly gracePeriod?: string;
  readonly force?: boolean;
}

/** `lateen delete`. */
export const remove = async (words: readonly string[], options: DeleteOptions): Promise<void> => {
  const { client, namespace } = connect(options);
  const doomed: { resource: DiscoveredResource; found: Found }[] = [];
  if (options.filename.length > 0) {
    for (const object of (await readManifests(options.filename)).reverse()) {
      const resource = await client.discovery.forKind(object.apiVersion ?? '', object.kind ?? '');
      doomed.push({
        resource,
        found: { name: object.metadata?.name ?? '', scope: scopeOf(resource, object.metadata?.namespace ?? namespace) },
      });
    }
  } else {
    for (const { resource, names } of await readTargets(client, words)) {
      for (const found of await expand(client, namespace, resource, names, options)) doomed.push({ resource, found });
    }
  }
  const grace = options.force === true ? 0 : options.gracePeriod === undefined ? undefined : Number(options.gracePeriod);
  for (const { resource, found } of doomed) {
    try {
      await client.delete(resource, found.name, {
        ...found.scope,
        propagationPolicy: 'Background',
        ...(grace !== undefined && { gracePeriodSeconds: grace }),
      });
      print(`${resourceName(resource)} "${found.name}" deleted`);
    } catch (error) {
      if (!isNotFound(error) || options.ignoreNotFound !== true) throw error;
    }
  }
  if (options.wait) {
    const { untilGone } = await import('./wait.ts');
    for (const { resource, found } of doomed) await untilGone(client, resource, found.name, found.scope, options.timeout);
  }
};
