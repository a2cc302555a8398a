import { parseAllDocuments } from 'yaml';
import { isNotFound } from './api-error.ts';
import type { KubeClient } from './client.ts';
import type { UnknownObject } from './types.ts';

export class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

/** Objects of a YAML (or JSON) text with any number of documents; `List` kinds are unfolded, empty documents skipped. */
export function parseManifests(text: string, source: string): UnknownObject[] {
  const objects: UnknownObject[] = [];
  const documents = parseAllDocuments(text);
  for (const [index, document] of (Array.isArray(documents) ? documents : []).entries()) {
    const where = `${source}, document ${index + 1}`;
    const problem = document.errors[0];
    if (problem !== undefined) throw new ManifestError(`${where}: ${problem.message.split('\n')[0]}`);
    const value: unknown = document.toJS();
    if (value !== null && value !== undefined) unfold(value, where, objects);
  }
  return objects;
}

function unfold(value: unknown, where: string, into: UnknownObject[]): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new ManifestError(`${where} is not an object`);
  const object = value as UnknownObject;
  for (const field of ['apiVersion', 'kind'] as const) {
    if (typeof object[field] !== 'string' || object[field] === '') throw new ManifestError(`${where}: ${field} is missing`);
  }
  if (object.kind!.endsWith('List') && Array.isArray(object['items'])) {
    for (const [index, item] of (object['items'] as unknown[]).entries()) unfold(item, `${where}, item ${index + 1}`, into);
    return;
  }
  if (typeof object.metadata?.name !== 'string' || object.metadata.name === '')
    throw new ManifestError(`${where}: ${object.kind} needs metadata.name`);
  into.push(object);
}

export interface ApplyResult {
  readonly object: UnknownObject;
  /** `deployment.apps/web`, as kubectl prints it. */
  readonly name: string;
  readonly outcome: 'created' | 'configured' | 'unchanged';
}

/** Namespaces and definitions first, so that one file may hold both them and what needs them. */
const ORDER = ['Namespace', 'CustomResourceDefinition', 'ServiceAccount', 'Secret', 'ConfigMap'];
const rank = (object: UnknownObject): number => {
  const at = ORDER.indexOf(object.kind ?? '');
  return at < 0 ? ORDER.length : at;
};

/** Server-side apply of each object, in an order that works; stops at the first refusal. */
export async function applyManifests(
  client: KubeClient,
  objects: readonly UnknownObject[],
  options: {
    readonly namespace?: string;
    readonly fieldManager?: string;
    readonly force?: boolean;
    readonly dryRun?: boolean;
    readonly onResult?: (result: ApplyResult) => void;
  } = {},
): Promise<ApplyResult[]> {
  const results: ApplyResult[] = [];
  for (const object of [...objects].sort((a, b) => rank(a) - rank(b))) {
    const resource = await client.discovery.forKind(object.apiVersion!, object.kind!);
    const namespace = resource.namespaced ? (object.metadata?.namespace ?? options.namespace ?? client.config.namespace) : undefined;
    const scope = namespace === undefined ? {} : { namespace };
    const name = object.metadata!.name!;
    const before = await client.get(resource, name, scope).catch((error: unknown) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
    const after = await client.apply(resource, object, {
      ...scope,
      fieldManager: options.fieldManager ?? 'lateen',
      force: options.force ?? true,
      ...(options.dryRun === true && { dryRun: true }),
    });
    const result: ApplyResult = {
      object: after,
      name: `${resource.singular}${resource.group === '' ? '' : `.${resource.group}`}/${name}`,
      outcome:
        before === undefined
          ? 'created'
          : before.metadata?.resourceVersion === after.metadata?.resourceVersion
            ? 'unchanged'
            : 'configured',
    };
    results.push(result);
    options.onResult?.(result);
  }
  return results;
}
