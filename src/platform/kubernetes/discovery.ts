import { ApiError, isNotFound } from './api-error.ts';
import type { Transport } from './transport.ts';
import { apiVersionOf, type Resource, type ResourcePath } from './types.ts';

/** A served kind with what discovery says about it. */
export interface DiscoveredResource extends Resource {
  readonly shortNames: readonly string[];
  readonly singular: string;
  readonly categories: readonly string[];
  readonly verbs: readonly string[];
}

interface ApiResourceList {
  readonly groupVersion: string;
  readonly resources: readonly {
    readonly name: string;
    readonly singularName?: string;
    readonly kind: string;
    readonly namespaced: boolean;
    readonly shortNames?: readonly string[];
    readonly categories?: readonly string[];
    readonly verbs?: readonly string[];
  }[];
}

/** Kind → resource, from the server's discovery documents, CRDs included; one group version is fetched once, unknown ones again. */
export class Discovery {
  readonly #transport: Transport;
  readonly #byGroupVersion = new Map<string, readonly DiscoveredResource[]>();

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** The resource of a manifest's apiVersion and kind; asks the server again when it is not known (a CRD may be new). */
  async forKind(apiVersion: string, kind: string): Promise<DiscoveredResource> {
    for (const fresh of [false, true]) {
      const found = (await this.groupVersion(apiVersion, fresh)).find((resource) => resource.kind === kind);
      if (found !== undefined) return found;
    }
    throw new ApiError(
      {
        kind: 'Status',
        status: 'Failure',
        code: 404,
        reason: 'NotFound',
        message: `the server has no kind "${kind}" in "${apiVersion}". Apply its CustomResourceDefinition first, or correct apiVersion and kind.`,
      },
      'discovery',
    );
  }

  /** The resource a person means: plural, singular, short name or kind, optionally `.group` or `.version.group`. */
  async forName(name: string): Promise<DiscoveredResource> {
    const [word, ...rest] = name.toLowerCase().split('.');
    const suffix = rest.join('.');
    const matches = (resource: DiscoveredResource): boolean =>
      (resource.plural === word ||
        resource.singular === word ||
        resource.kind.toLowerCase() === word ||
        resource.shortNames.includes(word!)) &&
      (suffix === '' ||
        resource.group === suffix ||
        resource.group.startsWith(`${suffix}.`) ||
        `${resource.version}.${resource.group}` === suffix);
    for (const fresh of [false, true]) {
      for (const groupVersion of await this.preferredGroupVersions(fresh)) {
        const found = (await this.groupVersion(groupVersion, fresh)).find(matches);
        if (found !== undefined) return found;
      }
    }
    throw new ApiError(
      { kind: 'Status', status: 'Failure', code: 404, reason: 'NotFound', message: `the server doesn't have a resource type "${name}"` },
      'discovery',
    );
  }

  /** Every listed kind of the preferred versions. */
  async all(): Promise<DiscoveredResource[]> {
    const lists = await Promise.all(
      (await this.preferredGroupVersions(false)).map((groupVersion) => this.groupVersion(groupVersion, false)),
    );
    return lists.flat();
  }

  async groupVersion(groupVersion: string, fresh: boolean): Promise<readonly DiscoveredResource[]> {
    const cached = this.#byGroupVersion.get(groupVersion);
    if (cached !== undefined && !fresh) return cached;
    let list: ApiResourceList;
    try {
      list = await this.#transport.json<ApiResourceList>(groupVersion.includes('/') ? `/apis/${groupVersion}` : `/api/${groupVersion}`);
    } catch (error) {
      if (isNotFound(error)) return [];
      throw error;
    }
    const slash = groupVersion.indexOf('/');
    const resources = list.resources
      .filter((resource) => !resource.name.includes('/'))
      .map(
        (resource): DiscoveredResource => ({
          group: slash < 0 ? '' : groupVersion.slice(0, slash),
          version: groupVersion.slice(slash + 1),
          plural: resource.name,
          singular: resource.singularName || resource.kind.toLowerCase(),
          kind: resource.kind,
          namespaced: resource.namespaced,
          shortNames: resource.shortNames ?? [],
          categories: resource.categories ?? [],
          verbs: resource.verbs ?? [],
        }),
      );
    this.#byGroupVersion.set(groupVersion, resources);
    return resources;
  }

  #preferred: readonly string[] | undefined;

  async preferredGroupVersions(fresh: boolean): Promise<readonly string[]> {
    if (this.#preferred !== undefined && !fresh) return this.#preferred;
    const groups = await this.#transport.json<{
      groups: { preferredVersion?: { groupVersion: string }; versions: { groupVersion: string }[] }[];
    }>('/apis');
    this.#preferred = ['v1', ...groups.groups.map((group) => (group.preferredVersion ?? group.versions[0]!).groupVersion)];
    return this.#preferred;
  }
}

/** `Deployment.apps/v1`, for messages. */
export const describeResource = (resource: ResourcePath): string => `${resource.kind} (${apiVersionOf(resource)})`;
