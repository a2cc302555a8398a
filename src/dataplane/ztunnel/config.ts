/** The node proxy's configuration: the environment variables and files of a real ztunnel, same names and meanings. */
import { canonicalIp, isLoopback } from '../../mesh/index.ts';
import { ConfigError, type CoreConfig, readCoreConfig } from '../core/config.ts';
import { ConfigReader } from '../core/config-reader.ts';
import { readWorkerCount } from './worker-count.ts';

export interface WorkloadInfo {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** The DNS proxy of each pod. */
export interface DnsConfig {
  /** Canonical addresses of loopback. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** Whose services win where several have a name and none is of the client's namespace. */
  readonly preferredNamespace: string | undefined;
}

export interface Config extends CoreConfig {
  readonly mode: 'shared' | 'dedicated';
  readonly dedicatedWorkload: WorkloadInfo | undefined;
  readonly inpodSocket: string;
  readonly inpodPortReuse: boolean;
  readonly packetMark: number | undefined;
  readonly proxyEnabled: boolean;
  /** undefined: try, and go on without. */
  readonly originalSource: boolean | undefined;
  readonly localhostAppTunnel: boolean;
  readonly authzInfoLogging: boolean;
  /** Connections between pods of one process take no tunnel. */
  readonly joinSameNode: boolean;
  /** Processes that carry traffic. */
  readonly workers: number;
  /** undefined: off. */
  readonly dns: DnsConfig | undefined;
}

/** Throws a `ConfigError` with every problem. */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const reader = new ConfigReader(env);
  const mode = reader.oneOf('PROXY_MODE', ['shared', 'dedicated'], 'shared');
  const core = readCoreConfig(reader, 'ztunnel');
  const inpodPortReuse = reader.boolean('INPOD_PORT_REUSE', true);
  const proxyEnabled = reader.boolean('ENABLE_PROXY', true);
  const workers = readWorkerCount(reader, core.concurrency);
  const config: Config = {
    ...core,
    mode,
    dedicatedWorkload: dedicatedWorkload(reader, mode),
    inpodSocket: reader.text('INPOD_UDS', '/var/run/ztunnel/ztunnel.sock'),
    inpodPortReuse,
    packetMark: packetMark(reader, mode),
    proxyEnabled,
    // Listeners are shared inside pods only, and only if they may be.
    workers: mode === 'shared' && inpodPortReuse && proxyEnabled ? workers : 1,
    originalSource: reader.optionalBoolean('ENABLE_ORIG_SRC'),
    localhostAppTunnel: reader.boolean('LOCALHOST_APP_TUNNEL', true),
    authzInfoLogging: reader.boolean('AUTHZ_POLICY_INFO_LOGGING', false),
    joinSameNode: reader.boolean('LATEEN_JOIN_SAME_NODE', true),
    dns: dnsConfig(reader, core),
  };
  if (reader.boolean('FAKE_CA', false)) reader.problem('FAKE_CA: only test builds have it; set CA_ADDRESS to a certificate authority');
  if (reader.boolean('XDS_ON_DEMAND', false))
    reader.problem('XDS_ON_DEMAND: not supported by this proxy; leave it unset to subscribe to everything');
  if (reader.problems.length > 0) throw new ConfigError(reader.problems);
  return config;
}

function dedicatedWorkload(reader: ConfigReader, mode: string): WorkloadInfo | undefined {
  if (mode !== 'dedicated') return undefined;
  const value = reader.text('PROXY_WORKLOAD_INFO', '');
  const [namespace, name, serviceAccount, ...rest] = value.split('/');
  if (namespace && name && serviceAccount && rest.length === 0) return { namespace, name, serviceAccount };
  reader.problem(
    `environment variable PROXY_WORKLOAD_INFO: "${value}" is not "namespace/name/serviceaccount", which PROXY_MODE=dedicated needs`,
  );
  return undefined;
}

const DEFAULT_DNS_ADDRESS = 'localhost:15053';

/** `ISTIO_META_DNS_CAPTURE` and `ISTIO_META_DNS_PROXY_ADDR`, as variables or in the proxy configuration's metadata, with or without their prefix. */
function dnsConfig(reader: ConfigReader, core: CoreConfig): DnsConfig | undefined {
  const metadata = (name: string): string | undefined => {
    const value = core.nodeMetadata[name] ?? core.nodeMetadata[`ISTIO_META_${name}`];
    return value === undefined ? undefined : String(value);
  };
  if ((metadata('DNS_CAPTURE') ?? 'true').trim().toLowerCase() !== 'true') return undefined;
  const address = metadata('DNS_PROXY_ADDR') || DEFAULT_DNS_ADDRESS;
  const [, host = '', port = ''] = /^(.*):(\d{1,5})$/.exec(address) ?? [];
  const ip = canonicalIp(host.replace(/^\[(.*)\]$/, '$1'));
  const named = host === 'localhost' ? ['127.0.0.1', '::1'] : ip !== undefined && isLoopback(ip) ? [ip] : [];
  const addresses = core.ipv6 ? named : named.filter((each) => !each.includes(':'));
  if (addresses.length === 0 || Number(port) < 1 || Number(port) > 65_535)
    reader.problem(
      `ISTIO_META_DNS_PROXY_ADDR: "${address}" is not a port of loopback: write "${DEFAULT_DNS_ADDRESS}", which redirect rules expect`,
    );
  return {
    addresses,
    port: Number(port),
    preferredNamespace: reader.optional('PREFERED_SERVICE_NAMESPACE') || undefined,
  };
}

/** Unset: 1337 where redirect rules of pods rely on it. */
function packetMark(reader: ConfigReader, mode: string): number | undefined {
  if (reader.optional('PACKET_MARK')) return reader.integer('PACKET_MARK', 1337);
  return mode === 'shared' ? 1337 : undefined;
}
