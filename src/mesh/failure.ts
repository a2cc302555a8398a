/**
 * Why a connection could not be routed, accepted or kept: one closed list with the texts of the access log (ambient contract 8.3),
 * the HTTP status an inbound CONNECT gets (1.4), the `response_flags` value (8.1) and what the operator should look at.
 */
export const FAILURES = {
  'no-healthy-upstream': { text: 'no healthy upstream: ', status: 503, hint: 'the service has no ready endpoint for this port' },
  'self-call': { text: 'attempted recursive call to ourselves', status: 503, hint: 'the target port belongs to the proxy' },
  'unknown-source': {
    text: 'failed to fetch information about local workload: ',
    status: 503,
    hint: 'the control plane does not know the pod',
  },
  'unknown-waypoint': { text: 'unknown waypoint: ', status: 503, hint: 'the waypoint is configured but has no usable endpoint' },
  'unknown-network-gateway': { text: 'unknown network gateway: ', status: 503, hint: 'no usable gateway to the other network' },
  'unknown-hostname': { text: 'no service or workload for hostname: ', status: 503, hint: 'check the host name of the request' },
  'unresolvable-port': { text: 'requested service ', status: 503, hint: 'the endpoint does not map this service port' },
  'no-routing-destination': {
    text: 'no valid routing destination for workload: ',
    status: 503,
    hint: 'the workload has no usable address',
  },
  'ip-mismatch': { text: 'ip mismatch: ', status: 400, hint: 'the tunnel was sent to another pod than its target' },
} as const;

export type FailureReason = keyof typeof FAILURES;

export interface Failure {
  readonly kind: 'failure';
  readonly reason: FailureReason;
  /** The exact error string of the access log. */
  readonly message: string;
  /** Status of the answer to an inbound CONNECT. */
  readonly status: number;
}

/** A failure with its text; `detail` completes the reason's phrase. */
export const failure = (reason: FailureReason, detail = ''): Failure => ({
  kind: 'failure',
  reason,
  message: FAILURES[reason].text + detail,
  status: FAILURES[reason].status,
});

export const unresolvablePort = (host: string, port: number): Failure =>
  failure('unresolvable-port', `${host}:${port} found, but cannot resolve port`);
