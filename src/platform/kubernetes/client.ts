import { Discovery } from './discovery.ts';
import type { ClientConfig } from './kubeconfig.ts';
import { type RequestOptions, Transport } from './transport.ts';
import { apiVersionOf, type KubeList, type KubeObject, type Resource, type ResourcePath, type Status } from './types.ts';

export interface Scope {
  /** Required for namespaced kinds, except when listing or watching all namespaces. */
  readonly namespace?: string;
}
export interface CallOptions extends Scope {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}
export interface ListOptions extends CallOptions {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
}
export interface WriteOptions extends CallOptions {
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
  readonly fieldValidation?: 'Ignore' | 'Warn' | 'Strict';
  /** `status`, `scale`, `binding`, `eviction` … */
  readonly subresource?: string;
}
export type PatchType = 'merge' | 'strategic' | 'json' | 'apply';
export interface PatchOptions extends WriteOptions {
  readonly type?: PatchType;
  /** Server-side apply only: take over fields owned by others. */
  readonly force?: boolean;
}
export interface DeleteOptions extends CallOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground';
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: boolean;
}

/** `authentication.k8s.io/v1` TokenReview's status. */
export interface TokenReviewStatus {
  readonly authenticated?: boolean;
  readonly audiences?: readonly string[];
  readonly error?: string;
  readonly user?: {
    readonly username?: string;
    readonly uid?: string;
    readonly groups?: readonly string[];
    readonly extra?: Readonly<Record<string, readonly string[]>>;
  };
}

const PATCH_CONTENT_TYPES: Record<PatchType, string> = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
};
/** Items per page of `listAll`; what kubectl and client-go use. */
export const PAGE_SIZE = 500;

/** A typed client for one API server as one user. Failures are `ApiError`s. */
export class KubeClient {
  readonly config: ClientConfig;
  readonly transport: Transport;
  readonly discovery: Discovery;

  constructor(config: ClientConfig, userAgent = 'lateen') {
    this.config = config;
    this.transport = new Transport(config, userAgent);
    this.discovery = new Discovery(this.transport);
  }

  get<T extends KubeObject>(resource: Resource<T>, name: string, options: WriteOptions = {}): Promise<T> {
    return this.#call<T>('get', resource, name, options, {});
  }

  /** One page (`limit`) or everything. */
  list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<KubeList<T>> {
    const { labelSelector, fieldSelector, limit, resourceVersion } = options;
    return this.#call<KubeList<T>>('list', resource, undefined, options, {
      query: { labelSelector, fieldSelector, limit, resourceVersion, continue: options.continue },
    });
  }

  /** Every page, one list: its resourceVersion is where a watch may start. */
  async listAll<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<KubeList<T>> {
    const items: T[] = [];
    let page = await this.list(resource, { limit: PAGE_SIZE, ...options });
    for (;;) {
      for (const item of page.items) items.push(item);
      const next = page.metadata.continue;
      if (next === undefined || next === '') return { ...page, items };
      page = await this.list(resource, { limit: PAGE_SIZE, ...options, continue: next });
    }
  }

  create<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<T> {
    const namespace = options.namespace ?? object.metadata?.namespace;
    return this.#call<T>(
      'create',
      resource,
      options.subresource === undefined ? undefined : object.metadata?.name,
      { ...options, ...(namespace !== undefined && { namespace }) },
      {
        method: 'POST',
        body: this.#typed(resource, object),
        query: writeQuery(options),
      },
    );
  }

  /** Replaces; a `metadata.resourceVersion` makes it conditional. */
  update<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<T> {
    const namespace = options.namespace ?? object.metadata?.namespace;
    return this.#call<T>(
      'update',
      resource,
      object.metadata?.name,
      { ...options, ...(namespace !== undefined && { namespace }) },
      {
        method: 'PUT',
        body: this.#typed(resource, object),
        query: writeQuery(options),
      },
    );
  }

  updateStatus<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<T> {
    return this.update(resource, object, { ...options, subresource: 'status' });
  }

  patch<T extends KubeObject>(resource: Resource<T>, name: string, patch: unknown, options: PatchOptions = {}): Promise<T> {
    const type = options.type ?? 'merge';
    const query: Record<string, string | boolean | undefined> = { ...writeQuery(options), force: options.force };
    if (type === 'apply') query['fieldManager'] ??= 'lateen';
    return this.#call<T>(type === 'apply' ? 'apply' : 'patch', resource, name, options, {
      method: 'PATCH',
      body: JSON.stringify(patch),
      contentType: PATCH_CONTENT_TYPES[type],
      query,
    });
  }

  patchStatus<T extends KubeObject>(resource: Resource<T>, name: string, patch: unknown, options: PatchOptions = {}): Promise<T> {
    return this.patch(resource, name, patch, { ...options, subresource: 'status' });
  }

  /** Server-side apply of a whole object. */
  apply<T extends KubeObject>(resource: Resource<T>, object: T, options: PatchOptions = {}): Promise<T> {
    const name = object.metadata?.name;
    if (name === undefined) throw new TypeError(`apply ${resource.kind}: metadata.name is missing`);
    const namespace = options.namespace ?? object.metadata?.namespace;
    return this.patch<T>(resource, name, this.#typed(resource, object), {
      ...options,
      type: 'apply',
      ...(namespace !== undefined && { namespace }),
    });
  }

  /** Answers the object when it is still being deleted, otherwise a `Status`. */
  delete<T extends KubeObject>(resource: Resource<T>, name: string, options: DeleteOptions = {}): Promise<T | Status> {
    return this.#call<T | Status>('delete', resource, name, options, { method: 'DELETE', body: deleteBody(options) });
  }

  deleteCollection<T extends KubeObject>(
    resource: Resource<T>,
    options: DeleteOptions & Pick<ListOptions, 'labelSelector' | 'fieldSelector'> = {},
  ): Promise<KubeList<T> | Status> {
    const { labelSelector, fieldSelector } = options;
    return this.#call<KubeList<T> | Status>('delete collection of', resource, undefined, options, {
      method: 'DELETE',
      body: deleteBody(options),
      query: { labelSelector, fieldSelector },
    });
  }

  /** A service account's token, bound to a pod when `boundPod` is given. */
  async requestToken(
    namespace: string,
    serviceAccount: string,
    spec: { audiences: readonly string[]; expirationSeconds?: number; boundPod?: { name: string; uid: string } },
  ): Promise<{ token: string; expirationTimestamp: string }> {
    const boundObjectRef = spec.boundPod === undefined ? {} : { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', ...spec.boundPod } };
    const answer = await this.transport.json<{ status: { token: string; expirationTimestamp: string } }>(
      `/api/v1/namespaces/${encodeURIComponent(namespace)}/serviceaccounts/${encodeURIComponent(serviceAccount)}/token`,
      {
        method: 'POST',
        body: {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenRequest',
          spec: {
            audiences: spec.audiences,
            ...(spec.expirationSeconds !== undefined && { expirationSeconds: spec.expirationSeconds }),
            ...boundObjectRef,
          },
        },
        context: `token request for ${namespace}/${serviceAccount}`,
      },
    );
    return answer.status;
  }

  async reviewToken(token: string, audiences: readonly string[], options: CallOptions = {}): Promise<TokenReviewStatus> {
    const answer = await this.transport.json<{ status?: TokenReviewStatus }>('/apis/authentication.k8s.io/v1/tokenreviews', {
      method: 'POST',
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences } },
      context: 'token review',
      ...pick(options),
    });
    return answer.status ?? {};
  }

  /** Whether a user may do something: `spec` is that of `authorization.k8s.io/v1` SubjectAccessReview. */
  async reviewAccess(spec: Readonly<Record<string, unknown>>, options: CallOptions = {}): Promise<{ allowed: boolean; reason?: string }> {
    const answer = await this.transport.json<{ status?: { allowed: boolean; reason?: string } }>(
      '/apis/authorization.k8s.io/v1/subjectaccessreviews',
      {
        method: 'POST',
        body: { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec },
        context: 'subject access review',
        ...pick(options),
      },
    );
    return answer.status ?? { allowed: false };
  }

  /** Any other request; a status of 400 or more becomes an `ApiError`. */
  raw(path: string, options: RequestOptions = {}): Promise<Response> {
    return this.transport.request(path, options);
  }

  /** `/apis/apps/v1/namespaces/x/deployments/y/status` */
  path(resource: ResourcePath, options: { namespace?: string; name?: string; subresource?: string } = {}): string {
    const root = resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
    const scope = resource.namespaced && options.namespace !== undefined ? `/namespaces/${encodeURIComponent(options.namespace)}` : '';
    const name = options.name === undefined ? '' : `/${encodeURIComponent(options.name)}`;
    return `${root}${scope}/${resource.plural}${name}${options.subresource === undefined ? '' : `/${options.subresource}`}`;
  }

  #call<R>(verb: string, resource: ResourcePath, name: string | undefined, options: WriteOptions, request: RequestOptions): Promise<R> {
    if (name !== undefined && resource.namespaced && options.namespace === undefined)
      throw new TypeError(`${verb} ${resource.kind} ${name}: the namespace is missing`);
    const where = resource.namespaced && options.namespace !== undefined ? options.namespace : '';
    const what = name === undefined ? (where === '' ? '' : `in ${where}`) : where === '' ? name : `${where}/${name}`;
    return this.transport.json<R>(
      this.path(resource, {
        ...(options.namespace !== undefined && { namespace: options.namespace }),
        ...(name !== undefined && { name }),
        ...(options.subresource !== undefined && { subresource: options.subresource }),
      }),
      {
        context: `${verb} ${resource.kind} ${what}`.trimEnd(),
        ...request,
        ...pick(options),
      },
    );
  }

  #typed<T extends KubeObject>(resource: Resource<T>, object: T): T {
    return object.apiVersion !== undefined && object.kind !== undefined
      ? object
      : { apiVersion: apiVersionOf(resource), kind: resource.kind, ...object };
  }
}

const pick = (options: CallOptions): RequestOptions => ({
  ...(options.signal !== undefined && { signal: options.signal }),
  ...(options.timeoutMs !== undefined && { timeoutMs: options.timeoutMs }),
});

const writeQuery = (options: WriteOptions): Record<string, string | undefined> => ({
  dryRun: options.dryRun === true ? 'All' : undefined,
  fieldManager: options.fieldManager,
  fieldValidation: options.fieldValidation,
});

const deleteBody = (options: DeleteOptions): unknown => ({
  apiVersion: 'v1',
  kind: 'DeleteOptions',
  ...(options.gracePeriodSeconds !== undefined && { gracePeriodSeconds: options.gracePeriodSeconds }),
  ...(options.propagationPolicy !== undefined && { propagationPolicy: options.propagationPolicy }),
  ...(options.preconditions !== undefined && { preconditions: options.preconditions }),
  ...(options.dryRun === true && { dryRun: ['All'] }),
});
