import { type CompliancePolicy, compliancePolicy, complianceProblem } from '../platform/net/index.ts';
import { DEFAULT_CLUSTER_ID, DEFAULT_TRUST_DOMAIN } from './wire.ts';

/** What the environment decides; ports may be 0 in tests. */
export interface ControlPlaneConfig {
  readonly clusterId: string;
  readonly trustDomain: string;
  /** Where mesh-wide policies, the CA's secret and the mesh's own programs live. */
  readonly rootNamespace: string;
  /** `namespace/serviceAccount` of node proxies that may ask for other identities (5.3). */
  readonly trustedNodeAccounts: ReadonlySet<string>;
  /** DNS suffix of Services: `name.namespace.svc.<domain>`. */
  readonly clusterDomain: string;
  readonly network: string;
  readonly bindAddress: string;
  readonly xdsPort: number;
  readonly httpPort: number;
  readonly monitoringPort: number;
  readonly defaultCertTtlSeconds: number;
  readonly maxCertTtlSeconds: number;
  readonly extraServerNames: readonly string[];
  /** Whether proxies enforce NetworkPolicies. */
  readonly networkPolicies: boolean;
  /** Whether node proxies that know no NetworkPolicies get them as Authorizations. */
  readonly networkPolicyAuthorizations: boolean;
  /** What TLS the control plane speaks (`COMPLIANCE_POLICY`, which the proxies have of their own). */
  readonly compliancePolicy: CompliancePolicy;
  /** Image of the waypoints this control plane deploys. */
  readonly waypointImage: string;
}

const DAY = 86_400;

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export function readConfig(env: NodeJS.ProcessEnv): ControlPlaneConfig {
  const rootNamespace = env['POD_NAMESPACE'] || 'istio-system';
  const trusted = (env['CA_TRUSTED_NODE_ACCOUNTS'] || `${rootNamespace}/ztunnel`).split(',').map((account) => account.trim());
  for (const account of trusted) {
    if (!/^[^/\s]+\/[^/\s]+$/.test(account))
      throw new ConfigError(`CA_TRUSTED_NODE_ACCOUNTS: "${account}" is not namespace/serviceAccount. Separate several with commas.`);
  }
  const networkPolicies = flag(env, 'ENFORCE_NETWORK_POLICIES', true);
  const networkPolicyAuthorizations = flag(env, 'NETWORK_POLICY_AUTHORIZATIONS', false);
  if (networkPolicyAuthorizations && !networkPolicies)
    throw new ConfigError('NETWORK_POLICY_AUTHORIZATIONS needs ENFORCE_NETWORK_POLICIES: set both to true, or neither.');
  const compliance = compliancePolicy(env['COMPLIANCE_POLICY']);
  if (compliance === undefined) throw new ConfigError(`${complianceProblem(env['COMPLIANCE_POLICY'])}.`);
  return {
    clusterId: env['CLUSTER_ID'] || DEFAULT_CLUSTER_ID,
    trustDomain: env['TRUST_DOMAIN'] || DEFAULT_TRUST_DOMAIN,
    rootNamespace,
    trustedNodeAccounts: new Set(trusted),
    clusterDomain: env['CLUSTER_DOMAIN'] || 'cluster.local',
    network: env['NETWORK'] || '',
    bindAddress: env['BIND_ADDRESS'] || '0.0.0.0',
    xdsPort: port(env, 'XDS_PORT', 15012),
    httpPort: port(env, 'HTTP_PORT', 8080),
    monitoringPort: port(env, 'MONITORING_PORT', 15014),
    defaultCertTtlSeconds: seconds(env, 'DEFAULT_WORKLOAD_CERT_TTL', DAY),
    maxCertTtlSeconds: seconds(env, 'MAX_WORKLOAD_CERT_TTL', 90 * DAY),
    extraServerNames: (env['ISTIOD_CUSTOM_HOST'] || '').split(',').filter((name) => name !== ''),
    networkPolicies,
    networkPolicyAuthorizations,
    compliancePolicy: compliance,
    waypointImage: env['WAYPOINT_IMAGE'] || 'lateen/lateen:dev',
  };
}

function flag(env: NodeJS.ProcessEnv, name: string, fallback: boolean): boolean {
  const text = env[name];
  if (text === undefined || text === '') return fallback;
  if (text !== 'true' && text !== 'false') throw new ConfigError(`${name}: "${text}" is neither true nor false.`);
  return text === 'true';
}

function port(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const text = env[name];
  if (text === undefined || text === '') return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65_535) throw new ConfigError(`${name}: "${text}" is not a port (0 to 65535).`);
  return value;
}

const UNITS: Record<string, number> = { h: 3600, m: 60, s: 1 };

/** A Go duration such as `24h` or `90m30s`, in seconds. */
function seconds(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const text = env[name];
  if (text === undefined || text === '') return fallback;
  if (!/^(\d+[hms])+$/.test(text)) throw new ConfigError(`${name}: "${text}" is not a duration such as 24h or 90m.`);
  let total = 0;
  for (const part of text.matchAll(/(\d+)([hms])/g)) total += Number(part[1]) * UNITS[part[2]!]!;
  if (total <= 0) throw new ConfigError(`${name} must be more than zero.`);
  return total;
}
