import { apply } from './apply.ts';
import { ANONYMOUS, type Authentication } from './authentication.ts';
import { type Authorization, forbiddenRequest } from './authorization.ts';
import type { Context } from './context.ts';
import { VIRTUAL } from './discovery.ts';
import { Documents } from './documents.ts';
import { badRequest, methodNotAllowed, noSuchPath, notAcceptable, Refusal, unauthorized } from './errors.ts';
import { impersonated } from './impersonation.ts';
import { clone, isObject, type JsonObject } from './json.ts';
import { Lists, selected, selectorOf } from './lists.ts';
import type { NodeProxy } from './node-proxy.ts';
import { create, decode, existing, remove, replace, update, type WriteOptions } from './operations.ts';
import { deleteOptions, writeOptions } from './options.ts';
import { patchWith } from './patch-types.ts';
import { jsonPatch, mergePatch } from './patches.ts';
import { encodeEntry, inVersion, negotiate } from './representation.ts';
import {
  isTrue,
  mediaType,
  parseBody,
  parseJson,
  parseRequest,
  parseYaml,
  type RequestInfo,
  readBody,
  textOf,
  type User,
} from './request.ts';
import { apiVersionOf, type ResourceType, resourceKey } from './resources.ts';
import { json } from './responses.ts';
import { review } from './reviews.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';
import type { StoredObject } from './store.ts';
import { bind, evict, requestToken, scaleOf, updateScale } from './subresources.ts';
import { errorLine, type Watches } from './watches.ts';

export interface Services {
  readonly context: Context;
  readonly authentication: Authentication;
  readonly authorization: Authorization;
  readonly tokens: ServiceAccountTokens;
  readonly watches: Watches;
  readonly nodes: NodeProxy;
  readonly advertised: string;
}

/** What plain HTTP is passed on to. */
const PROXIED = new Set(['/nodes', '/pods', '/services']);
const STREAMING = new Set(['exec', 'attach', 'portforward']);

/** The HTTP API, from request to response. */
export class Api {
  readonly #services: Services;
  readonly #lists: Lists;
  readonly #documents: Documents;

  constructor(services: Services) {
    this.#services = services;
    this.#lists = new Lists(services.context);
    this.#documents = new Documents(services.context, services.tokens, services.advertised);
  }

  /** Answers a request; undefined when it became a WebSocket. */
  async handle(request: Request, server: Bun.Server<unknown>): Promise<Response | undefined> {
    const warnings: string[] = [];
    try {
      const response = await this.#route(request, server, warnings);
      for (const warning of new Set(warnings)) response?.headers.append('warning', `299 - ${JSON.stringify(warning)}`);
      return response;
    } catch (error) {
      const refusal = error instanceof Refusal ? error : this.#unexpected(error, request);
      return json(JSON.stringify(refusal.status), refusal.status.code, refusal.status.code === 401 ? { 'www-authenticate': 'Bearer' } : {});
    }
  }

  #unexpected(error: unknown, request: Request): Refusal {
    this.#services.context.log(
      `${request.method} ${new URL(request.url).pathname} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
    return new Refusal(500, 'InternalError', 'Internal error occurred: the API server failed to answer; its log has the reason');
  }

  async #route(request: Request, server: Bun.Server<unknown>, warnings: string[]): Promise<Response | undefined> {
    const { authentication, authorization, context } = this.#services;
    const url = new URL(request.url);
    const caller = await authentication.authenticate(request.headers.get('authorization'));
    if (caller === undefined) throw unauthorized();
    const user = impersonated(request.headers, caller, authorization);
    const info = parseRequest(request.method, url);
    if (authorization.allow(user, info) === undefined) {
      if (user === ANONYMOUS) throw unauthorized();
      throw forbiddenRequest(user, info);
    }
    if (!info.isResource) return this.#documents.answer(request, url);
    const virtual = VIRTUAL.find(
      (candidate) => candidate.group === info.group && candidate.version === info.version && candidate.plural === info.resource,
    );
    if (virtual !== undefined) {
      if (request.method !== 'POST') throw methodNotAllowed();
      const body = parseBody(await readBody(request), request.headers.get('content-type') ?? '');
      const answer = await review(virtual.kind, info.namespace, body, user, this.#services.tokens, authorization);
      return json(JSON.stringify({ ...answer, kind: virtual.kind, apiVersion: apiVersionOf(virtual.group, virtual.version) }), 201);
    }
    const type = context.types.find(info.group, info.version, info.resource);
    if (type === undefined || (type.namespaced && info.namespace === '' && info.name !== '')) throw noSuchPath();
    if (!type.namespaced && info.namespace !== '' && info.resource !== 'namespaces') throw noSuchPath();
    warnings.push(...type.warnings(info.version));
    if (info.subresource !== '' && info.subresource !== 'status')
      return this.#subresource(request, server, url, info, type, user, warnings);
    if (info.subresource === 'status' && !type.hasStatus(info.version)) throw noSuchPath();
    return this.#resource(request, server, url, info, type, warnings);
  }

  async #resource(
    request: Request,
    server: Bun.Server<unknown>,
    url: URL,
    info: RequestInfo,
    type: ResourceType,
    warnings: string[],
  ): Promise<Response> {
    const { context } = this.#services;
    const query = url.searchParams;
    const representation = negotiate(request.headers.get('accept'), info.version, query.get('includeObject'));
    if (representation === undefined) throw notAcceptable('application/json');
    const respond = (object: StoredObject, status = 200): Response => {
      const entry = {
        namespace: info.namespace,
        name: object.metadata.name ?? '',
        revision: Number(object.metadata.resourceVersion ?? 0),
        object,
        json: '',
      };
      const text =
        representation.form === 'object'
          ? JSON.stringify(inVersion(object, type, info.version))
          : encodeEntry(entry, type, representation, context.now());
      return json(text, status);
    };
    switch (info.verb) {
      case 'get': {
        const entry = existing(context, type, info.namespace, info.name);
        return json(encodeEntry(entry, type, representation, context.now()));
      }
      case 'list':
        return json(this.#lists.list(type, info.namespace, query, representation));
      case 'watch': {
        server.timeout(request, 0);
        const name = info.name;
        const headers = { 'content-type': 'application/json', 'cache-control': 'no-cache, private' };
        try {
          return new Response(this.#services.watches.open(type, info.namespace, name, query, representation, request.signal), { headers });
        } catch (error) {
          if (error instanceof Refusal && error.status.code === 410) return new Response(errorLine(error), { headers });
          throw error;
        }
      }
      case 'create': {
        if (info.name !== '') throw methodNotAllowed();
        const options = writeOptions(request, query, info.subresource, warnings);
        const body = parseBody(await readBody(request), request.headers.get('content-type') ?? '');
        const metadata = isObject(body['metadata']) ? body['metadata'] : {};
        const namespace = info.namespace !== '' ? info.namespace : type.namespaced ? String(metadata['namespace'] ?? 'default') : '';
        return respond(create(context, type, info.version, namespace, body, options), 201);
      }
      case 'update': {
        if (info.name === '') throw methodNotAllowed();
        const options = writeOptions(request, query, info.subresource, warnings);
        const body = parseBody(await readBody(request), request.headers.get('content-type') ?? '');
        return respond(update(context, type, info.version, info.namespace, info.name, body, options));
      }
      case 'patch':
        return this.#patch(request, query, info, type, warnings, respond);
      case 'delete': {
        const options = deleteOptions(await readBody(request), request.headers.get('content-type') ?? '', query);
        const { object, isGone } = remove(context, type, existing(context, type, info.namespace, info.name), options);
        if (!isGone) return respond(object);
        if (resourceKey(type) === '/pods') return respond(object);
        const details = {
          name: info.name,
          ...(type.group === '' ? {} : { group: type.group }),
          kind: type.plural,
          uid: object.metadata.uid,
        };
        return json(JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details }));
      }
      case 'deletecollection': {
        const options = deleteOptions(await readBody(request), request.headers.get('content-type') ?? '', query);
        const entries = selected(
          context.store.list(resourceKey(type), info.namespace === '' ? undefined : info.namespace),
          selectorOf(type, query),
        );
        const left = entries.map((entry) => inVersion(remove(context, type, entry, options).object, type, info.version));
        return json(
          JSON.stringify({
            kind: type.listKind,
            apiVersion: apiVersionOf(type.group, info.version),
            metadata: { resourceVersion: String(context.store.revision) },
            items: left,
          }),
        );
      }
      default:
        throw methodNotAllowed();
    }
  }

  async #patch(
    request: Request,
    query: URLSearchParams,
    info: RequestInfo,
    type: ResourceType,
    warnings: string[],
    respond: (object: StoredObject, status?: number) => Response,
  ): Promise<Response> {
    const { context } = this.#services;
    if (info.name === '') throw methodNotAllowed();
    const options = writeOptions(request, query, info.subresource, warnings);
    const media = mediaType(request.headers.get('content-type'));
    const text = textOf(await readBody(request));
    if (media === 'application/apply-patch+yaml') return this.#apply(parseYaml(text), query, info, type, options, respond);
    const patch = parseJson(text);
    const entry = existing(context, type, info.namespace, info.name);
    const current = inVersion(entry.object, type, info.version);
    const patched = patchWith(media, current, patch, type, info.version);
    if (!isObject(patched)) throw badRequest('the patched document is not an object');
    // the precondition is on what the patch was made from, unless the patch names its own
    const object = decode(clone(patched), type, info.version, options);
    return respond(replace(context, type, info.version, entry, object, options));
  }

  #apply(
    body: unknown,
    query: URLSearchParams,
    info: RequestInfo,
    type: ResourceType,
    options: WriteOptions,
    respond: (object: StoredObject, status?: number) => Response,
  ): Response {
    const { context } = this.#services;
    if (!isObject(body)) throw badRequest('an apply patch is an object');
    const force = isTrue(query.get('force'));
    const applied = decode(clone(body), type, info.version, {
      ...options,
      fieldValidation: query.has('fieldValidation') ? options.fieldValidation : 'Strict',
    });
    if ((applied.metadata.name ?? info.name) !== info.name)
      throw badRequest(`the name of the object (${applied.metadata.name}) does not match the name on the URL (${info.name})`);
    applied.metadata.name = info.name;
    if (type.namespaced) applied.metadata.namespace = info.namespace;
    const applier = { fieldManager: query.get('fieldManager') ?? '', subresource: info.subresource, force };
    const kept = { ...options, keepManagedFields: true };
    const entry = context.store.get(resourceKey(type), type.namespaced ? info.namespace : '', info.name);
    if (entry === undefined && info.subresource !== '') existing(context, type, info.namespace, info.name);
    const merged = apply(entry?.object, applied, type, info.version, applier, context.now());
    if (entry === undefined) {
      const made = { ...merged, apiVersion: apiVersionOf(type.group, info.version) } as unknown as JsonObject;
      return respond(create(context, type, info.version, info.namespace, made, kept), 201);
    }
    if (applied.metadata.resourceVersion === undefined) merged.metadata.resourceVersion = entry.object.metadata.resourceVersion!;
    return respond(replace(context, type, info.version, entry, clone(merged), kept));
  }

  async #subresource(
    request: Request,
    server: Bun.Server<unknown>,
    url: URL,
    info: RequestInfo,
    type: ResourceType,
    user: User,
    warnings: string[],
  ): Promise<Response | undefined> {
    const { context, nodes, tokens } = this.#services;
    const key = resourceKey(type);
    if (info.subresource === 'proxy' && PROXIED.has(key)) return nodes.proxy(request, url, info);
    const entry = existing(context, type, info.namespace, info.name);
    if (key === '/pods' && STREAMING.has(info.subresource)) return nodes.stream(request, server, url, entry, info.subresource);
    if (key === '/pods' && info.subresource === 'log') {
      if (request.method !== 'GET') throw methodNotAllowed();
      server.timeout(request, 0);
      return nodes.log(url, entry, request.signal);
    }
    const scale = info.subresource === 'scale' && type.scale(info.version) !== undefined;
    if (scale && request.method === 'GET') return json(JSON.stringify(scaleOf(entry, type, info.version)));
    const options = writeOptions(request, url.searchParams, info.subresource, warnings);
    if (scale && request.method === 'PATCH') {
      const text = textOf(await readBody(request));
      const media = mediaType(request.headers.get('content-type'));
      const current = scaleOf(entry, type, info.version);
      const patched = media === 'application/json-patch+json' ? jsonPatch(current, parseJson(text)) : mergePatch(current, parseYaml(text));
      return json(JSON.stringify(updateScale(context, type, info.version, entry, patched as JsonObject, options)));
    }
    const body = parseBody(await readBody(request), request.headers.get('content-type') ?? '');
    if (scale && request.method === 'PUT') return json(JSON.stringify(updateScale(context, type, info.version, entry, body, options)));
    if (key === '/namespaces' && info.subresource === 'finalize' && request.method === 'PUT') {
      return json(JSON.stringify(update(context, type, info.version, '', info.name, body, options)));
    }
    if (request.method !== 'POST') throw methodNotAllowed();
    if (key === '/pods' && info.subresource === 'binding') return json(JSON.stringify(bind(context, entry, body, options)), 201);
    if (key === '/pods' && info.subresource === 'eviction') return json(JSON.stringify(evict(context, entry, body, options)), 201);
    if (key === '/serviceaccounts' && info.subresource === 'token')
      return json(JSON.stringify(await requestToken(context, tokens, entry, body, user)), 201);
    throw noSuchPath();
  }
}
