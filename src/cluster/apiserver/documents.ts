import { KUBERNETES_VERSION } from '../config.ts';
import type { Context } from './context.ts';
import { aggregated, coreVersions, groupDocument, groupList, resourceList } from './discovery.ts';
import { methodNotAllowed, noSuchPath, notAcceptable } from './errors.ts';
import { OpenApi } from './openapi.ts';
import { json } from './responses.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';

const VERSION = {
  ...KUBERNETES_VERSION,
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: 'none',
  compiler: 'bun',
  platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};

/** Everything that is not a resource: health, version, discovery, OpenAPI, and the keys of the token issuer. */
export class Documents {
  readonly #context: Context;
  readonly #tokens: ServiceAccountTokens;
  readonly #advertised: string;
  readonly #openApi: OpenApi;

  constructor(context: Context, tokens: ServiceAccountTokens, advertised: string) {
    this.#context = context;
    this.#tokens = tokens;
    this.#advertised = advertised;
    this.#openApi = new OpenApi(context.types);
  }

  answer(request: Request, url: URL): Response {
    if (request.method !== 'GET' && request.method !== 'HEAD') throw methodNotAllowed();
    const { types } = this.#context;
    const path = url.pathname.length > 1 ? url.pathname.replace(/\/$/, '') : url.pathname;
    const accept = request.headers.get('accept') ?? '';
    if (path === '/healthz' || path === '/livez' || path === '/readyz') return new Response('ok');
    if (path === '/version') return json(JSON.stringify(VERSION, null, 2));
    if (path === '/openapi/v3') return json(this.#openApi.index());
    if (path === '/openapi/v2') return this.#swagger(accept);
    if (path.startsWith('/openapi/v3/')) {
      const document = this.#openApi.document(path.slice('/openapi/v3/'.length));
      if (document === undefined) throw noSuchPath();
      return json(document);
    }
    if (path === '/openid/v1/jwks') return json(JSON.stringify({ keys: [this.#tokens.jwk] }));
    if (path === '/.well-known/openid-configuration') {
      const { issuer } = this.#tokens;
      return json(
        JSON.stringify({
          issuer,
          jwks_uri: `https://${this.#advertised}/openid/v1/jwks`,
          response_types_supported: ['id_token'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['ES256'],
        }),
      );
    }
    if (path === '/') {
      const groups = [
        ...new Set(
          types
            .all()
            .flatMap((type) => type.versions.map((version) => (type.group === '' ? `/api/${version}` : `/apis/${type.group}/${version}`))),
        ),
      ];
      return json(
        JSON.stringify({
          paths: ['/api', '/apis', ...groups.sort(), '/healthz', '/livez', '/openapi/v2', '/openapi/v3', '/readyz', '/version'],
        }),
      );
    }
    return this.#discovery(path, accept);
  }

  #swagger(accept: string): Response {
    const isOnlyProtobuf = accept !== '' && !/application\/json(?!;)|\*\/\*/.test(accept);
    if (isOnlyProtobuf) throw notAcceptable('application/json');
    return json(this.#openApi.v2());
  }

  #discovery(path: string, accept: string): Response {
    const { types } = this.#context;
    if (path === '/api' || path === '/apis') {
      const asked = accept
        .split(',')
        .find((part) => part.includes('as=APIGroupDiscoveryList') && part.trim().startsWith('application/json'));
      const version =
        asked?.includes('v=v2;') === true || asked?.endsWith('v=v2') === true
          ? 'v2'
          : asked?.includes('v=v2beta1') === true
            ? 'v2beta1'
            : undefined;
      if (version !== undefined) {
        const document = JSON.stringify(aggregated(types, path === '/api', version));
        return json(document, 200, { 'content-type': `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList` });
      }
      return json(JSON.stringify(path === '/api' ? coreVersions(this.#advertised) : groupList(types)));
    }
    const [root, group = '', version] = path.split('/').slice(1);
    let document: object | undefined;
    if (root === 'api' && version === undefined) document = resourceList(types, '', group);
    else if (root === 'apis') document = version === undefined ? groupDocument(types, group) : resourceList(types, group, version);
    if (document === undefined) throw noSuchPath();
    return json(JSON.stringify(document));
  }
}
