/**
 * The bootstrap of one Envoy sidecar, shaped as Istio 1.2x configures an injected one: a catch-all outbound listener that hands connections to the listener
 * of their port, HTTP connection managers on both sides, a route and a cluster per service of the mesh, mutual TLS 1.3 with SPIFFE identities, Istio's
 * default retries and load balancing, no access log. Left out is what stock Envoy does not have (Istio's own statistics and metadata exchange), so the
 * sidecars here are a little cheaper than Istio's.
 */

export const OUTBOUND_PORT = 15_001;
export const INBOUND_PORT = 15_006;
export const STATUS_PORT = 15_021;
const ADMIN_PORT = 15_000;
/** On everything Envoy sends to other pods (SO_MARK), so that the rules let it through. */
export const PROXY_MARK = 1337;
const SOL_SOCKET = 1;
const SO_MARK = 36;

/** A service that sidecars reach. */
export interface MeshService {
  /** `name.namespace.svc.cluster.local`: the name applications use. */
  readonly host: string;
  /** Resolves to the addresses of the pods. */
  readonly podsHost: string;
  readonly port: number;
  /** Identity its pods must have. */
  readonly identity: string;
}

export interface SidecarFiles {
  readonly certificate: string;
  readonly key: string;
  readonly root: string;
}

const API = 'type.googleapis.com/envoy';
const typed = (name: string, type: string, config: object = {}): object => ({
  name,
  typed_config: { '@type': `${API}.${type}`, ...config },
});

const address = (host: string, port: number): object => ({ socket_address: { address: host, port_value: port } });

const tlsOf = (files: SidecarFiles, peers: readonly object[], alpn: readonly string[]): object => ({
  tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
  tls_certificates: [{ certificate_chain: { filename: files.certificate }, private_key: { filename: files.key } }],
  validation_context: { trusted_ca: { filename: files.root }, match_typed_subject_alt_names: peers },
  alpn_protocols: alpn,
});

const RETRY = {
  retry_on: 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes',
  num_retries: 2,
  retriable_status_codes: [503],
  host_selection_retry_max_attempts: 5,
  retry_host_predicate: [
    typed('envoy.retry_host_predicates.previous_hosts', 'extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate'),
  ],
};

/** The filters of Istio's chain that stock Envoy has. */
const HTTP_FILTERS = [
  typed('envoy.filters.http.grpc_stats', 'extensions.filters.http.grpc_stats.v3.FilterConfig', { emit_filter_state: true }),
  typed('envoy.filters.http.fault', 'extensions.filters.http.fault.v3.HTTPFault'),
  typed('envoy.filters.http.cors', 'extensions.filters.http.cors.v3.Cors'),
  typed('envoy.filters.http.router', 'extensions.filters.http.router.v3.Router'),
];

const manager = (prefix: string, routes: object, more: object = {}): object =>
  typed('envoy.filters.network.http_connection_manager', 'extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: prefix,
    route_config: routes,
    http_filters: HTTP_FILTERS,
    use_remote_address: false,
    normalize_path: true,
    stream_idle_timeout: '0s',
    ...more,
  });

const ORIGINAL_DESTINATION = typed('envoy.filters.listener.original_dst', 'extensions.filters.listener.original_dst.v3.OriginalDst');

const outboundCluster = (service: MeshService, files: SidecarFiles): object => ({
  name: `outbound|${service.port}||${service.host}`,
  type: 'STRICT_DNS',
  dns_lookup_family: 'V4_ONLY',
  connect_timeout: '10s',
  lb_policy: 'LEAST_REQUEST',
  circuit_breakers: {
    thresholds: [{ max_connections: 4294967295, max_pending_requests: 4294967295, max_requests: 4294967295, max_retries: 4294967295 }],
  },
  load_assignment: {
    cluster_name: `outbound|${service.port}||${service.host}`,
    endpoints: [{ lb_endpoints: [{ endpoint: { address: address(service.podsHost, service.port) } }] }],
  },
  typed_extension_protocol_options: http2Upstream,
  upstream_bind_config: { socket_options: [{ level: SOL_SOCKET, name: SO_MARK, int_value: PROXY_MARK, state: 'STATE_PREBIND' }] },
  transport_socket: typed('envoy.transport_sockets.tls', 'extensions.transport_sockets.tls.v3.UpstreamTlsContext', {
    common_tls_context: tlsOf(files, [{ san_type: 'URI', matcher: { exact: service.identity } }], ['istio', 'h2']),
    sni: `outbound_.${service.port}_._.${service.host}`,
  }),
});

const http2Upstream = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': `${API}.extensions.upstreams.http.v3.HttpProtocolOptions`,
    explicit_http_config: { http2_protocol_options: {} },
  },
};

const outboundListener = (port: number, services: readonly MeshService[]): object => ({
  name: `0.0.0.0_${port}`,
  address: address('0.0.0.0', port),
  bind_to_port: false,
  traffic_direction: 'OUTBOUND',
  filter_chains: [
    {
      filters: [
        manager(`outbound_0.0.0.0_${port}`, {
          name: String(port),
          virtual_hosts: services
            .filter((service) => service.port === port)
            .map((service) => ({
              name: `${service.host}:${port}`,
              domains: [service.host, `${service.host}:${port}`],
              routes: [
                {
                  match: { prefix: '/' },
                  route: { cluster: `outbound|${port}||${service.host}`, timeout: '0s', retry_policy: RETRY },
                },
              ],
            })),
        }),
      ],
    },
  ],
});

const inboundListener = (port: number, files: SidecarFiles): object => ({
  name: 'virtualInbound',
  address: address('0.0.0.0', INBOUND_PORT),
  traffic_direction: 'INBOUND',
  listener_filters: [
    ORIGINAL_DESTINATION,
    typed('envoy.filters.listener.tls_inspector', 'extensions.filters.listener.tls_inspector.v3.TlsInspector'),
    typed('envoy.filters.listener.http_inspector', 'extensions.filters.listener.http_inspector.v3.HttpInspector'),
  ],
  filter_chains: [
    {
      filter_chain_match: { destination_port: port, transport_protocol: 'tls' },
      transport_socket: typed('envoy.transport_sockets.tls', 'extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
        require_client_certificate: true,
        common_tls_context: tlsOf(
          files,
          [{ san_type: 'URI', matcher: { prefix: 'spiffe://cluster.local/' } }],
          ['istio-peer-exchange', 'h2', 'http/1.1'],
        ),
      }),
      filters: [
        manager(
          `inbound_0.0.0.0_${port}`,
          {
            name: `inbound|${port}||`,
            virtual_hosts: [
              {
                name: `inbound|http|${port}`,
                domains: ['*'],
                routes: [{ match: { prefix: '/' }, route: { cluster: `inbound|${port}||`, timeout: '0s' } }],
              },
            ],
          },
          { forward_client_cert_details: 'APPEND_FORWARD', set_current_client_cert_details: { subject: true, dns: true, uri: true } },
        ),
      ],
    },
  ],
});

const inboundCluster = (port: number): object => ({
  name: `inbound|${port}||`,
  type: 'STATIC',
  connect_timeout: '10s',
  load_assignment: {
    cluster_name: `inbound|${port}||`,
    endpoints: [{ lb_endpoints: [{ endpoint: { address: address('127.0.0.1', port) } }] }],
  },
  typed_extension_protocol_options: http2Upstream,
});

const statusListener = {
  name: 'status',
  address: address('0.0.0.0', STATUS_PORT),
  filter_chains: [
    {
      filters: [
        manager('status', {
          name: 'status',
          virtual_hosts: [
            {
              name: 'status',
              domains: ['*'],
              routes: [{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'ok' } } }],
            },
          ],
        }),
      ],
    },
  ],
};

/** `inboundPort` is the application's; absent for a pod that only calls. */
export const sidecarBootstrap = (services: readonly MeshService[], files: SidecarFiles, inboundPort: number | undefined): object => {
  const ports = [...new Set(services.map(({ port }) => port))];
  return {
    node: { id: 'sidecar', cluster: 'demo' },
    admin: { address: address('127.0.0.1', ADMIN_PORT) },
    static_resources: {
      listeners: [
        {
          name: 'virtualOutbound',
          address: address('0.0.0.0', OUTBOUND_PORT),
          use_original_dst: true,
          traffic_direction: 'OUTBOUND',
          filter_chains: [
            {
              filters: [
                typed('envoy.filters.network.tcp_proxy', 'extensions.filters.network.tcp_proxy.v3.TcpProxy', {
                  stat_prefix: 'BlackHoleCluster',
                  cluster: 'BlackHoleCluster',
                }),
              ],
            },
          ],
        },
        ...ports.map((port) => outboundListener(port, services)),
        ...(inboundPort === undefined ? [] : [inboundListener(inboundPort, files)]),
        statusListener,
      ],
      clusters: [
        ...services.map((service) => outboundCluster(service, files)),
        ...(inboundPort === undefined ? [] : [inboundCluster(inboundPort)]),
        { name: 'BlackHoleCluster', type: 'STATIC', connect_timeout: '1s' },
      ],
    },
  };
};

/** The packet filter rules of a pod with a sidecar: connections to and from the application's port go through it. For `nft`. */
export const redirectRules = (port: number): string =>
  [
    'add table ip sidecar',
    'add chain ip sidecar output { type nat hook output priority -100 ; }',
    'add chain ip sidecar prerouting { type nat hook prerouting priority -100 ; }',
    `add rule ip sidecar output ip daddr != 127.0.0.0/8 meta mark != ${PROXY_MARK} tcp dport ${port} redirect to :${OUTBOUND_PORT}`,
    `add rule ip sidecar prerouting tcp dport ${port} redirect to :${INBOUND_PORT}`,
  ].join('; ');
