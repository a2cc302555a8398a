/** Configurations that make other proxies speak HBONE. */
const API = 'type.googleapis.com/envoy.extensions';

export interface CredentialFiles {
  readonly cert: string;
  readonly key: string;
  readonly root: string;
  /** Certificate and key in one file. */
  readonly both: string;
}

const tlsContext = ({ cert, key, root }: CredentialFiles) => ({
  tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
  tls_certificates: [{ certificate_chain: { filename: cert }, private_key: { filename: key } }],
  validation_context: { trusted_ca: { filename: root } },
  alpn_protocols: ['h2'],
});

const socketAddress = (address: string, port: number) => ({ socket_address: { address, port_value: port } });

const cluster = (name: string, address: string, port: number, more: object = {}) => ({
  name,
  type: 'STATIC',
  connect_timeout: '5s',
  load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(address, port) } }] }] },
  ...more,
});

/** Plain TCP on `listen` becomes CONNECT streams for `authority` to the tunnel port of `pod`. */
export const envoyTunnelClient = (listen: number, pod: string, authority: string, files: CredentialFiles): object => ({
  static_resources: {
    listeners: [
      {
        name: 'entry',
        address: socketAddress('0.0.0.0', listen),
        filter_chains: [
          {
            filters: [
              {
                name: 'envoy.filters.network.tcp_proxy',
                typed_config: {
                  '@type': `${API}.filters.network.tcp_proxy.v3.TcpProxy`,
                  stat_prefix: 'entry',
                  cluster: 'tunnel',
                  tunneling_config: { hostname: authority },
                },
              },
            ],
          },
        ],
      },
    ],
    clusters: [
      cluster('tunnel', pod, 15_008, {
        typed_extension_protocol_options: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
            '@type': `${API}.upstreams.http.v3.HttpProtocolOptions`,
            explicit_http_config: { http2_protocol_options: {} },
          },
        },
        transport_socket: {
          name: 'envoy.transport_sockets.tls',
          typed_config: { '@type': `${API}.transport_sockets.tls.v3.UpstreamTlsContext`, common_tls_context: tlsContext(files) },
        },
      }),
    ],
  },
});

/** CONNECT streams on the tunnel port become plain TCP to `application` of the same pod. */
export const envoyTunnelServer = (application: number, files: CredentialFiles): object => ({
  static_resources: {
    listeners: [
      {
        name: 'tunnels',
        address: socketAddress('0.0.0.0', 15_008),
        filter_chains: [
          {
            transport_socket: {
              name: 'envoy.transport_sockets.tls',
              typed_config: {
                '@type': `${API}.transport_sockets.tls.v3.DownstreamTlsContext`,
                require_client_certificate: true,
                common_tls_context: tlsContext(files),
              },
            },
            filters: [
              {
                name: 'envoy.filters.network.http_connection_manager',
                typed_config: {
                  '@type': `${API}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
                  stat_prefix: 'tunnels',
                  http2_protocol_options: { allow_connect: true },
                  upgrade_configs: [{ upgrade_type: 'CONNECT' }],
                  stream_idle_timeout: '0s',
                  route_config: {
                    virtual_hosts: [
                      {
                        name: 'all',
                        domains: ['*'],
                        routes: [
                          {
                            match: { connect_matcher: {} },
                            route: {
                              cluster: 'application',
                              timeout: '0s',
                              upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }],
                            },
                          },
                        ],
                      },
                    ],
                  },
                  http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': `${API}.filters.http.router.v3.Router` } }],
                },
              },
            ],
          },
        ],
      },
    ],
    clusters: [cluster('application', '127.0.0.1', application)],
  },
});

/** HTTP/1 on `listen`, HTTP/2 with a client certificate to the tunnel port of `pod`. */
export const haproxyTunnelClient = (listen: number, pod: string, { both, root }: CredentialFiles): string => `
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
frontend entry
  bind *:${listen}
  default_backend tunnel
backend tunnel
  server pod ${pod}:15008 ssl crt ${both} ca-file ${root} verify required alpn h2 ssl-min-ver TLSv1.3
`;
