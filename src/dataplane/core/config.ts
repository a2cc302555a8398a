/** The configuration every proxy of the mesh has: the environment variables and files of Istio's proxies, same names and meanings. */
import fs from 'node:fs';
import type { Keepalive } from '../../platform/linux/index.ts';
import { compliancePolicy, complianceProblem, meshTls, outsideTls, type TlsLimits } from '../../platform/net/index.ts';
import type { ConfigReader } from './config-reader.ts';
import { type ProxyConfig, readProxyConfig } from './proxy-config.ts';

/** How to reach a gRPC server of the control plane. */
export interface ControlPlaneTarget {
  readonly host: string;
  readonly port: number;
  /** Name to verify in its certificate. */
  readonly serverName: string;
  /** Path, inline PEM or `SYSTEM`. */
  readonly rootCa: string;
  readonly headers: ReadonlyMap<string, string>;
}

/** Who the process says it is to the control plane. */
export type NodeType = 'ztunnel' | 'waypoint';

export interface CoreConfig {
  readonly nodeType: NodeType;
  readonly xds: ControlPlaneTarget | undefined;
  readonly ca: ControlPlaneTarget | undefined;
  readonly localXds: { readonly source: string; readonly text: string } | undefined;
  readonly secretTtlSeconds: number;
  /** A file that is read for each call, or the token itself. */
  readonly authToken: { readonly kind: 'file' | 'literal'; readonly value: string } | undefined;
  readonly clusterId: string;
  readonly clusterDomain: string;
  readonly network: string;
  readonly nodeName: string;
  readonly trustDomain: string;
  readonly ipv6: boolean;
  readonly streamWindow: number;
  readonly connectionWindow: number;
  readonly frameSize: number;
  readonly poolMaxStreams: number;
  readonly poolRelease: number;
  readonly terminationDeadline: number;
  readonly keepalive: Keepalive | undefined;
  readonly userTimeout: boolean;
  readonly responseBaggage: boolean;
  readonly adminPort: number;
  readonly statsPort: number;
  readonly readinessPort: number;
  readonly concurrency: number | undefined;
  readonly podName: string;
  readonly podNamespace: string;
  readonly serviceAccount: string;
  readonly instanceIp: string;
  readonly instanceIps: string;
  /** A file with revocation lists. */
  readonly crlPath: string | undefined;
  /** What TLS is spoken with the mesh's proxies and control plane, and with others. */
  readonly tls: { readonly mesh: TlsLimits; readonly outside: TlsLimits };
  readonly nodeMetadata: Readonly<Record<string, unknown>>;
}

const DEFAULT_ROOT = './var/run/secrets/istio/root-cert.pem';
const DEFAULT_TOKEN = './var/run/secrets/tokens/istio-token';
const MESH_CONFIG_FILE = './etc/istio/config/mesh';
const MiB = 1024 * 1024;

export class ConfigError extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** Problems go to `reader`. */
export function readCoreConfig(reader: ConfigReader, nodeType: NodeType): CoreConfig {
  const proxyConfig = readProxyConfig(reader, MESH_CONFIG_FILE);
  const metadata = proxyConfig.proxyMetadata;
  return {
    nodeType,
    xds: target(reader, 'XDS', proxyConfig),
    ca: target(reader, 'CA', proxyConfig),
    localXds: localXds(reader),
    secretTtlSeconds: Math.round(reader.duration('SECRET_TTL', 86_400_000) / 1000),
    authToken: authToken(reader),
    clusterId: reader.optional('ISTIO_META_CLUSTER_ID') ?? metadata['ISTIO_META_CLUSTER_ID'] ?? reader.text('CLUSTER_ID', 'Kubernetes'),
    clusterDomain: reader.text('CLUSTER_DOMAIN', 'cluster.local'),
    network: reader.text('NETWORK', ''),
    nodeName: reader.text('NODE_NAME', ''),
    trustDomain: reader.text('TRUST_DOMAIN', 'cluster.local'),
    ipv6: reader.boolean('IPV6_ENABLED', true),
    streamWindow: reader.integer('HTTP2_STREAM_WINDOW_SIZE', 4 * MiB, 65_535),
    connectionWindow: reader.integer('HTTP2_CONNECTION_WINDOW_SIZE', 16 * MiB, 65_535),
    frameSize: reader.integer('HTTP2_FRAME_SIZE', MiB, 16_384, 16_777_215),
    poolMaxStreams: reader.integer('POOL_MAX_STREAMS_PER_CONNECTION', 100, 1),
    poolRelease: reader.duration('POOL_UNUSED_RELEASE_TIMEOUT', 300_000),
    terminationDeadline: terminationDeadline(reader),
    keepalive: reader.boolean('KEEPALIVE_ENABLED', true)
      ? {
          time: Math.round(reader.duration('KEEPALIVE_TIME', 180_000) / 1000),
          interval: Math.round(reader.duration('KEEPALIVE_INTERVAL', 180_000) / 1000),
          probes: reader.integer('KEEPALIVE_RETRIES', 9, 1, 127),
        }
      : undefined,
    userTimeout: reader.boolean('USER_TIMEOUT_ENABLED', false),
    responseBaggage: reader.boolean('ENABLE_RESPONSE_BAGGAGE', true),
    adminPort: proxyConfig.proxyAdminPort,
    statsPort: proxyConfig.statsPort,
    readinessPort: 15_021,
    concurrency: proxyConfig.concurrency,
    podName: reader.text('POD_NAME', ''),
    podNamespace: reader.text('POD_NAMESPACE', ''),
    serviceAccount: reader.text('SERVICE_ACCOUNT', ''),
    instanceIp: reader.text('INSTANCE_IP', '1.1.1.1'),
    instanceIps: reader.optional('INSTANCE_IPS') ?? reader.text('INSTANCE_IP', ''),
    crlPath: reader.optional('CRL_PATH') || undefined,
    tls: tlsLimits(reader),
    nodeMetadata: nodeMetadata(reader, metadata),
  };
}

function tlsLimits(reader: ConfigReader): CoreConfig['tls'] {
  const value = reader.optional('COMPLIANCE_POLICY');
  const policy = compliancePolicy(value);
  const tls12 = reader.boolean('TLS12_ENABLED', false);
  if (policy === undefined) reader.problem(complianceProblem(value));
  if (policy === 'pqc' && tls12) reader.problem('TLS12_ENABLED: COMPLIANCE_POLICY=pqc allows TLS 1.3 only: unset one of them');
  return { mesh: meshTls(policy ?? 'none', tls12), outside: outsideTls(policy ?? 'none') };
}

function target(reader: ConfigReader, kind: 'XDS' | 'CA', proxyConfig: ProxyConfig): ControlPlaneTarget | undefined {
  const inCluster = reader.optional('KUBERNETES_SERVICE_HOST') !== undefined;
  const fallback = proxyConfig.discoveryAddress ?? (inCluster ? 'https://istiod.istio-system.svc:15012' : 'https://localhost:15012');
  const address = reader.text(`${kind}_ADDRESS`, fallback);
  if (address === '') return undefined;
  let url: URL;
  try {
    url = new URL(address.includes('://') ? address.replace(/^[a-z+]+:/, 'https:') : `https://${address}`);
  } catch {
    reader.problem(`environment variable ${kind}_ADDRESS: "${address}" is not an address: write "https://host:port"`);
    return undefined;
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return {
    host,
    port: Number(url.port || 443),
    serverName: reader.optional(`ALT_${kind}_HOSTNAME`) || host,
    rootCa: reader.text(`${kind}_ROOT_CA`, DEFAULT_ROOT),
    headers: reader.withPrefix(`${kind}_HEADER_`),
  };
}

function localXds(reader: ConfigReader): CoreConfig['localXds'] {
  const file = reader.optional('LOCAL_XDS_PATH');
  const inline = reader.optional('LOCAL_XDS');
  if (file && inline) {
    reader.problem('LOCAL_XDS_PATH and LOCAL_XDS are both set: keep one');
    return undefined;
  }
  if (inline) return { source: 'LOCAL_XDS', text: inline };
  if (!file) return undefined;
  try {
    return { source: file, text: fs.readFileSync(file, 'utf8') };
  } catch (error) {
    reader.problem(`environment variable LOCAL_XDS_PATH: cannot read "${file}": ${(error as Error).message}`);
    return undefined;
  }
}

function authToken(reader: ConfigReader): CoreConfig['authToken'] {
  const value = reader.optional('AUTH_TOKEN');
  if (value === undefined) return fs.existsSync(DEFAULT_TOKEN) ? { kind: 'file', value: DEFAULT_TOKEN } : undefined;
  if (value === '') return undefined;
  return fs.existsSync(value) ? { kind: 'file', value } : { kind: 'literal', value };
}

function terminationDeadline(reader: ConfigReader): number {
  const explicit = reader.optionalDuration('CONNECTION_TERMINATION_DEADLINE');
  if (explicit !== undefined) return explicit;
  const grace = reader.integer('TERMINATION_GRACE_PERIOD_SECONDS', -1, 0);
  if (grace < 0) return 5000;
  return Math.max(1, grace > 10 ? grace - 5 : grace - 1) * 1000;
}

function nodeMetadata(reader: ConfigReader, proxyMetadata: Readonly<Record<string, string>>): Record<string, unknown> {
  const metadata: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(proxyMetadata)) metadata[key.replace(/^ISTIO_META_/, '')] = value;
  for (const [key, value] of reader.withPrefix('ISTIO_META_')) metadata[key] = value;
  for (const [key, value] of reader.withPrefix('ISTIO_METAJSON_')) {
    try {
      metadata[key] = JSON.parse(value);
    } catch {
      reader.problem(`environment variable ISTIO_METAJSON_${key}: value is not JSON`);
    }
  }
  return metadata;
}
