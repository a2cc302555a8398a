import type { DiscoveredResource, KubeClient, UnknownObject } from '../../platform/kubernetes/index.ts';
import { isNotFound } from '../../platform/kubernetes/index.ts';
import { type ConnectionOptions, connect } from '../connection.ts';
import { CliError, EXIT } from '../exit.ts';
import { print } from '../output.ts';
import { readTargets, resourceName, scopeOf } from './targets.ts';

const POLL_MS = 200;

/** `30s`, `2m`, `500ms` or bare seconds, in ms. */
export const readDuration = (text: string): number => {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  if (match === null) throw new CliError(`"${text}" is not a duration`, EXIT.usage, 'Use for example 500ms, 30s or 2m.');
  return Number(match[1]) * { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[(match[2] ?? 's') as 'ms' | 's' | 'm' | 'h'];
};

/** Returns once the object does not exist; the same name with another uid counts as gone. */
export const untilGone = async (
  client: KubeClient,
  resource: DiscoveredResource,
  name: string,
  scope: { namespace?: string },
  timeout: string,
): Promise<void> => {
  let uid: string | undefined;
  await until(timeout, `${resourceName(resource)}/${name} to be deleted`, async () => {
    const found = await getOrNothing(client, resource, name, scope);
    uid ??= found?.metadata?.uid;
    return found === undefined || found.metadata?.uid !== uid;
  });
};

const getOrNothing = async (
  client: KubeClient,
  resource: DiscoveredResource,
  name: string,
  scope: { namespace?: string },
): Promise<UnknownObject | undefined> => {
  try {
    return await client.get(resource, name, scope);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
};

const until = async (timeout: string, what: string, isDone: () => Promise<boolean>): Promise<void> => {
  const limit = readDuration(timeout);
  const end = performance.now() + limit;
  while (!(await isDone())) {
    if (performance.now() >= end)
      throw new CliError(
        `waited ${timeout} for ${what}`,
        EXIT.timeout,
        'Raise --timeout, or look at the object with: lateen get KIND NAME -o yaml.',
      );
    await Bun.sleep(POLL_MS);
  }
};

export interface WaitOptions extends ConnectionOptions {
  readonly for: string;
  readonly timeout: string;
  readonly selector?: string;
  readonly all?: boolean;
  readonly allNamespaces?: boolean;
}

/** `lateen wait --for=delete|create|condition=NAME[=VALUE]`. */
export const wait = async (words: readonly string[], options: WaitOptions): Promise<void> => {
  const condition = /^condition=([^=]+)(?:=(.*))?$/.exec(options.for);
  if (condition === null && options.for !== 'delete' && options.for !== 'create') {
    throw new CliError(`--for=${options.for} is not understood`, EXIT.usage, 'Use --for=delete, --for=create or --for=condition=Ready.');
  }
  const { client, namespace } = connect(options);
  for (const { resource, names } of await readTargets(client, words)) {
    const chosen =
      names.length > 0
        ? names.map((name) => ({ name, scope: scopeOf(resource, namespace) }))
        : await matching(client, resource, namespace, options);
    if (chosen.length === 0) throw new CliError(`no ${resource.plural} match`, EXIT.notFound);
    for (const { name, scope } of chosen) {
      const label = `${resourceName(resource)}/${name}`;
      if (options.for === 'delete') await untilGone(client, resource, name, scope, options.timeout);
      else {
        await until(options.timeout, `${label}: ${options.for}`, async () => {
          const found = await getOrNothing(client, resource, name, scope);
          return found !== undefined && (condition === null || hasCondition(found, condition[1]!, condition[2] ?? 'True'));
        });
      }
      print(`${label} ${options.for === 'delete' ? 'deleted' : 'condition met'}`);
    }
  }
};

const matching = async (client: KubeClient, resource: DiscoveredResource, namespace: string, options: WaitOptions) => {
  if (options.all !== true && options.selector === undefined)
    throw new CliError(`no ${resource.plural} were named`, EXIT.usage, 'Give names, --all, or -l.');
  const list = await client.listAll(resource, {
    ...scopeOf(resource, namespace, options.allNamespaces),
    ...(options.selector !== undefined && { labelSelector: options.selector }),
  });
  return list.items.map(({ metadata }) => ({
    name: metadata?.name ?? '',
    scope: resource.namespaced ? { namespace: metadata?.namespace ?? namespace } : {},
  }));
};

/** Reads `status.conditions`; the type is compared without regard to case, as kubectl does. */
export const hasCondition = (object: UnknownObject, type: string, value: string): boolean => {
  const status = object['status'] as { conditions?: { type: string; status: string }[] } | undefined;
  return (
    status?.conditions?.some((one) => one.type.toLowerCase() === type.toLowerCase() && one.status.toLowerCase() === value.toLowerCase()) ===
    true
  );
};
