/** The node proxy's configuration: the environment variables and files of a real ztunnel, same names and meanings. */
import { ConfigError, type CoreConfig, readCoreConfig } from '../core/config.ts';
import { ConfigReader } from '../core/config-reader.ts';

export interface WorkloadInfo {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
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
}

/** Throws a `ConfigError` with every problem. */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const reader = new ConfigReader(env);
  const mode = reader.oneOf('PROXY_MODE', ['shared', 'dedicated'], 'shared');
  const config: Config = {
    ...readCoreConfig(reader, 'ztunnel'),
    mode,
    dedicatedWorkload: dedicatedWorkload(reader, mode),
    inpodSocket: reader.text('INPOD_UDS', '/var/run/ztunnel/ztunnel.sock'),
    inpodPortReuse: reader.boolean('INPOD_PORT_REUSE', true),
    packetMark: packetMark(reader, mode),
    proxyEnabled: reader.boolean('ENABLE_PROXY', true),
    originalSource: reader.optionalBoolean('ENABLE_ORIG_SRC'),
    localhostAppTunnel: reader.boolean('LOCALHOST_APP_TUNNEL', true),
    authzInfoLogging: reader.boolean('AUTHZ_POLICY_INFO_LOGGING', false),
  };
  if (reader.boolean('FAKE_CA', false)) reader.problem('FAKE_CA: only test builds have it; set CA_ADDRESS to a certificate authority');
  if (reader.boolean('XDS_ON_DEMAND', false))
    reader.problem('XDS_ON_DEMAND: not supported by this proxy; leave it unset to subscribe to everything');
  if (reader.boolean('TLS12_ENABLED', false)) reader.problem('TLS12_ENABLED: not supported by this proxy; both ends speak TLS 1.3');
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

/** Unset: 1337 where redirect rules of pods rely on it. */

/** Unset: 1337 where redirect rules of pods rely on it. */
function packetMark(reader: ConfigReader, mode: string): number | undefined {
  if (reader.optional('PACKET_MARK')) return reader.integer('PACKET_MARK', 1337);
  return mode === 'shared' ? 1337 : undefined;
}
