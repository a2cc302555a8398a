import { Registry } from '../platform/telemetry/index.ts';

/** The control plane's metrics, named as istiod's. */
export class ControlPlaneMetrics {
  readonly registry = new Registry();
  readonly connected = this.registry.gauge('pilot_xds', 'Number of endpoints connected to this pilot using XDS.', ['version']);
  readonly pushes = this.registry.counter('pilot_xds_pushes', 'Pilot build and send errors for lds, rds, cds and eds, and pushes sent.', [
    'type',
  ]);
  readonly rejects = this.registry.counter('pilot_total_xds_rejects', 'Total number of XDS responses from pilot rejected by proxy.', [
    'type',
  ]);
  readonly configSize = this.registry.histogram(
    'pilot_xds_config_size_bytes',
    'Distribution of configuration sizes pushed to clients.',
    [1e3, 1e4, 1e5, 1e6, 4e6, 1e7, 4e7],
    ['type'],
  );
  readonly convergence = this.registry.histogram(
    'pilot_proxy_convergence_time',
    'Delay in seconds between config change and a proxy receiving all required configuration.',
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 3, 5, 10, 20, 30],
  );
  readonly compileTime = this.registry.histogram(
    'lateen_compile_seconds',
    'Time to compile what a batch of changes touched.',
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
  );
  readonly events = this.registry.counter('pilot_k8s_reg_events', 'Events from Kubernetes.', ['type', 'event']);
  readonly resources = this.registry.gauge('lateen_xds_resources', 'Resources offered, by type.', ['type']);
  readonly networkPolicyProblems = this.registry
    .gauge('lateen_networkpolicies_not_understood', 'NetworkPolicies of which some is not understood.')
    .labels();
  readonly csrs = this.registry.counter('citadel_server_csr_count', 'The number of CSRs received by Citadel server.');
  readonly certificates = this.registry.counter(
    'citadel_server_success_cert_issuance_count',
    'The number of certificates issuances that have succeeded.',
  );
  readonly certificateErrors = this.registry.counter(
    'citadel_server_cert_issuance_failure_count',
    'The number of certificate requests refused, by gRPC status.',
    ['code'],
  );
  readonly rootExpiry = this.registry.gauge(
    'citadel_server_root_cert_expiry_timestamp',
    'The unix timestamp, in seconds, when the Citadel CA certificate will expire.',
  );
  readonly statusWrites = this.registry.counter('lateen_status_writes', 'Status conditions written to policies, by result.', ['result']);
}

/** `istio.workload.Address` → `wds`, as istiod abbreviates. */
export function shortType(typeUrl: string): string {
  if (typeUrl.endsWith('/istio.workload.Address')) return 'wds';
  if (typeUrl.endsWith('/lateen.traffic.v1.ServicePlan')) return 'plan';
  if (typeUrl.endsWith('/lateen.policy.v1.NetworkPolicy')) return 'network-policy';
  return typeUrl.endsWith('/istio.security.Authorization') ? 'wads' : 'unknown';
}
