/**
 * A route plan as Envoy configuration, with an HTTP connection manager shaped as Istio shapes a waypoint's (istio `buildHTTPConnectionManager`,
 * `buildWaypointInboundHTTPFilters`, `pkg/bootstrap/config.go`): path normalization BASE, no remote address, WebSocket upgrades, filters fault, CORS and
 * router. Two things differ: `accept_http_10`, off in Istio, is on, since our waypoint serves HTTP/1.0; and connections that have been given up end after
 * 50 ms instead of a second, so that hundreds of them do not take minutes.
 */
import type {
  Cors,
  Fault,
  FieldCondition,
  HeaderEdit,
  HttpAction,
  HttpMatch,
  HttpRule,
  HttpTable,
  PathMatch,
  Redirect,
  Retry,
  Rewrite,
  StringCondition,
  WeightedBackend,
} from '../../../src/mesh/http/index.ts';

type Json = Record<string, unknown>;

export interface EnvoyOptions {
  readonly address: string;
  readonly port: number;
  readonly table: HttpTable;
  /** Cluster name by service key; what is not there is a cluster that does not exist. */
  readonly clusters: ReadonlyMap<string, { readonly name: string; readonly address: string; readonly port: number }>;
}

const type = (name: string): Json => ({ '@type': `type.googleapis.com/${name}` });
const seconds = (milliseconds: number): string => `${milliseconds / 1000}s`;
const percent = (value: number): Json => ({ numerator: value, denominator: 'HUNDRED' });

const text = ({ kind, value, ignoreCase }: StringCondition): Json => {
  if (kind === 'regex') return { safe_regex: { regex: ignoreCase ? `(?i)${value}` : value } };
  return { [kind]: value, ...(ignoreCase ? { ignore_case: true } : {}) };
};

const headerMatch = ({ name, condition, isInverted }: FieldCondition): Json => ({
  name,
  ...(condition.kind === 'present' ? { present_match: true } : { string_match: text(condition) }),
  ...(isInverted ? { invert_match: true } : {}),
  ...(isInverted && condition.kind !== 'present' ? { treat_missing_header_as_empty: true } : {}),
});

const queryMatch = ({ name, condition }: FieldCondition): Json => ({
  name,
  ...(condition.kind === 'present' ? { present_match: true } : { string_match: text(condition) }),
});

const pathMatch = (path: PathMatch | undefined): Json => {
  if (path === undefined) return { prefix: '/' };
  const caseSensitive = { case_sensitive: !path.ignoreCase };
  switch (path.kind) {
    case 'exact':
      return { path: path.value, ...caseSensitive };
    case 'prefix':
      return { prefix: path.value, ...caseSensitive };
    case 'segments':
      return path.value === '/' ? { prefix: '/' } : { path_separated_prefix: path.value.replace(/\/$/, ''), ...caseSensitive };
    case 'regex':
      return { safe_regex: { regex: path.value } };
  }
};

const quoted = (literal: string): string => literal.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** `*.` stands for one label or more; the port does not count. */
const hostsMatch = (hosts: readonly string[]): Json => {
  const one = (host: string): string => (host.startsWith('*.') ? `[^:]+${quoted(host.slice(1))}` : quoted(host));
  return { name: ':authority', string_match: { safe_regex: { regex: `(?i)(${hosts.map(one).join('|')})(:[0-9]+)?` } } };
};

const routeMatch = (match: HttpMatch): Json => {
  const pseudo = (name: string, condition: StringCondition | undefined): Json[] => (condition ? [headerMatch({ name, condition })] : []);
  return {
    ...pathMatch(match.path),
    headers: [
      ...pseudo(':method', match.method),
      ...pseudo(':authority', match.authority),
      ...pseudo(':scheme', match.scheme),
      ...(match.hosts ? [hostsMatch(match.hosts)] : []),
      ...(match.headers ?? []).map(headerMatch),
    ],
    query_parameters: (match.query ?? []).map(queryMatch),
  };
};

const headerOptions = ({ set, add }: HeaderEdit): Json[] => {
  const option =
    (append: string) =>
    ([key, value]: readonly [string, string]) => ({ header: { key, value }, append_action: append });
  return [...set.map(option('OVERWRITE_IF_EXISTS_OR_ADD')), ...add.map(option('APPEND_IF_EXISTS_OR_ADD'))];
};

/** As Istio does for one destination: the route's edits, then the destination's, in one list. */
const edits = (side: 'request' | 'response', list: readonly (HeaderEdit | undefined)[]): Json => ({
  [`${side}_headers_to_add`]: list.flatMap((edit) => (edit ? headerOptions(edit) : [])),
  [`${side}_headers_to_remove`]: list.flatMap((edit) => edit?.remove ?? []),
});

const redirectAction = ({ status, scheme, host, port, path }: Redirect): Json => {
  const codes: Record<number, string> = {
    301: 'MOVED_PERMANENTLY',
    302: 'FOUND',
    303: 'SEE_OTHER',
    307: 'TEMPORARY_REDIRECT',
    308: 'PERMANENT_REDIRECT',
  };
  const isImplied = port === undefined || port === ((scheme ?? 'http') === 'https' ? 443 : 80);
  return {
    response_code: codes[status],
    ...(scheme === undefined ? {} : { scheme_redirect: scheme }),
    ...(host === undefined ? {} : { host_redirect: host }),
    ...(isImplied ? {} : { port_redirect: port }),
    ...(path?.kind === 'full' ? { path_redirect: path.value } : {}),
    ...(path?.kind === 'prefix' ? { prefix_rewrite: path.value } : {}),
  };
};

const rewriteAction = (rewrite: Rewrite | undefined, isSegments: boolean): Json => {
  const path = rewrite?.path;
  const host = rewrite?.host === undefined ? {} : { host_rewrite_literal: rewrite.host };
  const regex = (pattern: string, substitution: string): Json => ({
    regex_rewrite: { pattern: { regex: pattern }, substitution },
    ...host,
  });
  if (path === undefined) return host;
  if (path.kind === 'full') return regex('/.*', path.value);
  if (path.kind === 'regex') return regex(path.pattern, path.substitution);
  if (isSegments && path.value === '/') return regex(`^${quoted(path.match)}(/?)(.*)`, '/\\2');
  return { prefix_rewrite: path.value, ...host };
};

/** Absent: what our waypoint does for routes that say nothing. */
const retryPolicy = (retry: Retry | undefined): Json => {
  const { attempts, on, statuses, perTryTimeout, backoff } = retry ?? {
    attempts: 2,
    on: ['connect-failure', 'refused-stream'],
    statuses: [],
  };
  if (attempts === 0) return {};
  return {
    retry_policy: {
      retry_on: [...on, ...(statuses.length > 0 ? ['retriable-status-codes'] : [])].join(','),
      num_retries: attempts,
      retriable_status_codes: statuses,
      ...(perTryTimeout === undefined ? {} : { per_try_timeout: seconds(perTryTimeout) }),
      ...(backoff === undefined ? {} : { retry_back_off: { base_interval: seconds(backoff) } }),
    },
  };
};

const corsPolicy = (cors: Cors): Json => ({
  ...type('envoy.extensions.filters.http.cors.v3.CorsPolicy'),
  allow_origin_string_match: cors.allowOrigins.map(text),
  allow_methods: cors.allowMethods.join(','),
  allow_headers: cors.allowHeaders.join(','),
  expose_headers: cors.exposeHeaders.join(','),
  ...(cors.maxAgeSeconds === undefined ? {} : { max_age: String(cors.maxAgeSeconds) }),
  allow_credentials: cors.allowCredentials,
  forward_not_matching_preflights: cors.forwardsUnmatchedPreflights,
  filter_enabled: { default_value: percent(100) },
});

const faultPolicy = ({ delay, abort }: Fault): Json => ({
  ...type('envoy.extensions.filters.http.fault.v3.HTTPFault'),
  ...(delay && { delay: { fixed_delay: seconds(delay.duration), percentage: percent(delay.percentage) } }),
  ...(abort && {
    abort: {
      percentage: percent(abort.percentage),
      ...(abort.httpStatus === undefined ? { grpc_status: abort.grpcStatus } : { http_status: abort.httpStatus }),
    },
  }),
});

function clusterSpecifier(backends: readonly WeightedBackend[], clusters: EnvoyOptions['clusters']): Json {
  const nameOf = ({ service, invalid }: WeightedBackend): string =>
    (invalid === undefined ? clusters.get(service)?.name : undefined) ?? 'no-such-cluster';
  if (backends.length === 1) return { cluster: nameOf(backends[0]!) };
  return { weighted_clusters: { clusters: backends.map((backend) => ({ name: nameOf(backend), weight: backend.weight })) } };
}

function actionOf(action: HttpAction, isSegments: boolean, clusters: EnvoyOptions['clusters']): Json {
  const { redirect, respond, timeouts } = action;
  if (redirect !== undefined) return { redirect: redirectAction(redirect) };
  if (respond !== undefined)
    return { direct_response: { status: respond.status, ...(respond.body === '' ? {} : { body: { inline_string: respond.body } }) } };
  if (action.backends.every(({ weight }) => weight === 0)) return { direct_response: { status: 500 } };
  const timeout = seconds(timeouts?.request ?? 0);
  return {
    route: {
      ...clusterSpecifier(action.backends, clusters),
      cluster_not_found_response_code: 'INTERNAL_SERVER_ERROR',
      timeout,
      max_grpc_timeout: timeout,
      ...rewriteAction(action.rewrite, isSegments),
      ...retryPolicy(action.retry),
      request_mirror_policies: (action.mirrors ?? []).map(({ backend, numerator }) => ({
        cluster: clusters.get(backend.service)?.name,
        runtime_fraction: { default_value: percent(numerator) },
      })),
    },
  };
}

function routeOf({ match, action: index }: HttpRule, { table, clusters }: EnvoyOptions): Json {
  const action = table.actions[index]!;
  const only = action.backends.length === 1 ? action.backends[0] : undefined;
  return {
    name: action.name,
    match: routeMatch(match),
    ...actionOf(action, match.path?.kind === 'segments', clusters),
    ...edits('request', [action.requestHeaders, only?.requestHeaders]),
    ...edits('response', [action.responseHeaders, only?.responseHeaders]),
    typed_per_filter_config: {
      ...(action.cors && { 'envoy.filters.http.cors': corsPolicy(action.cors) }),
      ...(action.fault && { 'envoy.filters.http.fault': faultPolicy(action.fault) }),
    },
  };
}

const socketAddress = (address: string, port: number): Json => ({ socket_address: { address, port_value: port } });

const connectionManager = (options: EnvoyOptions): Json => ({
  ...type('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
  stat_prefix: 'waypoint',
  codec_type: 'AUTO',
  normalize_path: true,
  path_with_escaped_slashes_action: 'KEEP_UNCHANGED',
  use_remote_address: false,
  server_name: 'istio-envoy',
  server_header_transformation: 'OVERWRITE',
  stream_idle_timeout: '0s',
  delayed_close_timeout: '0.05s',
  upgrade_configs: [{ upgrade_type: 'websocket' }],
  http_protocol_options: { accept_http_10: true },
  http2_protocol_options: {},
  route_config: {
    name: 'routes',
    validate_clusters: false,
    virtual_hosts: [
      {
        name: 'all',
        domains: ['*'],
        include_request_attempt_count: true,
        routes: options.table.rules.map((rule) => routeOf(rule, options)),
      },
    ],
  },
  http_filters: [
    { name: 'envoy.filters.http.fault', typed_config: type('envoy.extensions.filters.http.fault.v3.HTTPFault') },
    { name: 'envoy.filters.http.cors', typed_config: type('envoy.extensions.filters.http.cors.v3.Cors') },
    { name: 'envoy.filters.http.router', typed_config: type('envoy.extensions.filters.http.router.v3.Router') },
  ],
});

/** A bootstrap with one listener for plain HTTP; the name of each cluster is its service's. */
export function envoyConfig(options: EnvoyOptions): object {
  return {
    layered_runtime: {
      layers: [
        {
          name: 'istio',
          static_layer: {
            're2.max_program_size.error_level': '32768',
            'envoy.reloadable_features.http_reject_path_with_fragment': false,
          },
        },
      ],
    },
    static_resources: {
      listeners: [
        {
          name: 'in',
          address: socketAddress(options.address, options.port),
          filter_chains: [
            { filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: connectionManager(options) }] },
          ],
        },
      ],
      clusters: [...options.clusters.values()].map(({ name, address, port }) => ({
        name,
        type: 'STATIC',
        connect_timeout: '10s',
        load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(address, port) } }] }] },
      })),
    },
  };
}
