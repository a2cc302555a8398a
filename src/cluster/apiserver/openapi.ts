import { createHash } from 'node:crypto';
import { KUBERNETES_VERSION } from '../config.ts';
import { subresourcesOf } from './discovery.ts';
import { isObject, type JsonObject } from './json.ts';
import { apiVersionOf, type ResourceType, type ResourceTypes } from './resources.ts';

/** The name of a kind's component, in the reverse-domain form of Kubernetes. */
function componentName(type: ResourceType, version: string): string {
  const group = type.group === '' ? 'io.k8s.api.core' : type.group.split('.').reverse().join('.');
  return `${group.startsWith('io.') ? group : `io.k8s.api.${group}`}.${version}.${type.kind}`;
}

const groupPath = (group: string, version: string): string => (group === '' ? `api/${version}` : `apis/${group}/${version}`);

/** Int-or-string and free-form values in the words OpenAPI has for them. */
function forOpenApi(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(forOpenApi);
  if (!isObject(schema)) return schema;
  const result: JsonObject = {};
  for (const key of Object.keys(schema)) result[key] = forOpenApi(schema[key]);
  if (schema['x-kubernetes-int-or-string'] === true) result['oneOf'] = [{ type: 'integer' }, { type: 'string' }];
  return result;
}

const WRITE_PARAMETERS = ['dryRun', 'fieldManager', 'fieldValidation'].map((name) => ({
  name,
  in: 'query',
  schema: { type: 'string', uniqueItems: true },
}));
const STRATEGIC = 'application/strategic-merge-patch+json';
const PATCH_TYPES = [
  'application/apply-patch+yaml',
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
];

/** OpenAPI documents, one per group and version, remade when the served types change. */
export class OpenApi {
  readonly #types: ResourceTypes;
  #generation = -1;
  readonly #documents = new Map<string, string>();

  constructor(types: ResourceTypes) {
    this.#types = types;
  }

  /** `/openapi/v3`: where each document is, with a hash so that clients can cache it. */
  index(): string {
    const paths = [...this.#paths()].map((path) => {
      const hash = createHash('sha256').update(this.document(path)!).digest('hex').slice(0, 32).toUpperCase();
      return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }] as const;
    });
    return JSON.stringify({ paths: Object.fromEntries(paths) });
  }

  #paths(): Set<string> {
    return new Set(this.#types.all().flatMap((type) => type.versions.map((version) => groupPath(type.group, version))));
  }

  /** `/openapi/v3/<path>`. */
  document(path: string): string | undefined {
    if (this.#generation !== this.#types.generation) {
      this.#documents.clear();
      this.#generation = this.#types.generation;
    }
    const known = this.#documents.get(path);
    if (known !== undefined) return known;
    if (!this.#paths().has(path)) return undefined;
    const components: JsonObject = {};
    const paths: JsonObject = {};
    for (const type of this.#types.all()) {
      for (const version of type.versions) if (groupPath(type.group, version) === path) this.#describe(type, version, components, paths);
    }
    const document = JSON.stringify({
      openapi: '3.0.0',
      info: { title: 'Lateen', version: KUBERNETES_VERSION.gitVersion },
      paths,
      components: { schemas: components },
    });
    this.#documents.set(path, document);
    return document;
  }

  #describe(type: ResourceType, version: string, components: JsonObject, paths: JsonObject): void {
    const name = componentName(type, version);
    const gvk = { group: type.group, version, kind: type.kind };
    const schema = forOpenApi(type.schema(version)) as JsonObject; // an object goes in, an object comes out
    components[name] = {
      ...schema,
      description: schema['description'] ?? `${type.kind} of ${apiVersionOf(type.group, version)}.`,
      'x-kubernetes-group-version-kind': [gvk],
    };
    components[`${name}List`] = {
      type: 'object',
      required: ['items'],
      properties: {
        apiVersion: { type: 'string' },
        kind: { type: 'string' },
        metadata: { type: 'object' },
        items: { type: 'array', items: { $ref: `#/components/schemas/${name}` } },
      },
      'x-kubernetes-group-version-kind': [{ ...gvk, kind: type.listKind }],
    };
    const body = { $ref: `#/components/schemas/${name}` };
    const content = { 'application/json': { schema: body } };
    const responses = { 200: { description: 'OK', content } };
    const operation = (action: string, extra: object = {}) => ({
      'x-kubernetes-action': action,
      'x-kubernetes-group-version-kind': gvk,
      responses,
      ...extra,
    });
    const base = `/${groupPath(type.group, version)}/${type.namespaced ? 'namespaces/{namespace}/' : ''}${type.plural}`;
    const writes = (action: string) =>
      operation(action, { parameters: WRITE_PARAMETERS, requestBody: { content: { '*/*': { schema: body } } } });
    // clients choose their patch by this list
    const patchTypes = PATCH_TYPES.filter((media) => !type.isCustom || media !== STRATEGIC);
    const patch = operation('patch', {
      parameters: [...WRITE_PARAMETERS, { name: 'force', in: 'query', schema: { type: 'boolean', uniqueItems: true } }],
      requestBody: { content: Object.fromEntries(patchTypes.map((media) => [media, { schema: { type: 'object' } }])) },
    });
    paths[base] = { get: operation('list'), post: writes('post') };
    paths[`${base}/{name}`] = { get: operation('get'), put: writes('put'), patch, delete: operation('delete') };
    for (const { name: sub } of subresourcesOf(type, version)) {
      if (sub === 'status') paths[`${base}/{name}/status`] = { get: operation('get'), put: writes('put'), patch };
    }
  }

  /** `/openapi/v2`, for older clients: the same definitions in Swagger's form. */
  v2(): string {
    const definitions: JsonObject = {};
    const paths: JsonObject = {};
    for (const path of this.#paths()) {
      const document = JSON.parse(this.document(path)!) as { components: { schemas: JsonObject }; paths: JsonObject };
      Object.assign(definitions, document.components.schemas);
      Object.assign(paths, Object.fromEntries(Object.keys(document.paths).map((key) => [key, {}])));
    }
    const text = JSON.stringify({ swagger: '2.0', info: { title: 'Lateen', version: KUBERNETES_VERSION.gitVersion }, paths, definitions });
    return text.replaceAll('#/components/schemas/', '#/definitions/');
  }
}
