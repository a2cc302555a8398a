/**
 * Why a connection ended: the one closed list shared by access log (error text), metric (`response_flags`) and operator (hint).
 * Texts are those of a real ztunnel where it has one (ambient contract 8.3); a text ending in a space or colon takes a detail.
 */
export type ResponseFlag =
  | '-'
  | 'DENY'
  | 'CONNECT'
  | 'TLS_FAILURE'
  | 'H2_HANDSHAKE_FAILURE'
  | 'NETWORK_POLICY'
  | 'IDENTITY_ERROR'
  | 'CERT_REVOKED';

interface Row {
  readonly flag: ResponseFlag;
  /** Status of the answer when an inbound CONNECT ends for this reason before its 200. */
  readonly status: number;
  readonly text: string;
  readonly hint: string;
}

const row = (flag: ResponseFlag, status: number, text: string, hint: string): Row => ({ flag, status, text, hint });

export const END_REASONS = {
  complete: row('-', 200, '', 'both sides finished'),
  'policy-rejection': row('DENY', 401, '', 'an AuthorizationPolicy does not allow this client; see the policy in the message'),
  'policy-change': row('DENY', 401, 'connection closed due to policy change', 'a policy that no longer allows this client was applied'),
  'network-policy': row(
    'DENY',
    401,
    'connection closed due to policy rejection: ',
    'no rule of the NetworkPolicies in the message allows this connection; see docs/network-policies.md',
  ),
  'network-policy-change': row(
    'DENY',
    401,
    'connection closed due to policy change: ',
    'labels or NetworkPolicies changed, and no rule allows this connection any more',
  ),
  'connect-failed': row(
    'CONNECT',
    503,
    'connection failed: ',
    'the application does not accept connections on this port, or is not reachable',
  ),
  'connect-timeout': row('CONNECT', 503, 'connection timed out: ', 'the application did not answer in time'),
  'hbone-timeout': row(
    'NETWORK_POLICY',
    503,
    'connection timed out, maybe a NetworkPolicy is blocking HBONE port 15008: ',
    'allow TCP 15008 in NetworkPolicies of the destination',
  ),
  'tls-failure': row(
    'TLS_FAILURE',
    503,
    'tls error: ',
    'the peer did not present a certificate this mesh trusts for the expected identity',
  ),
  'cert-revoked': row(
    'CERT_REVOKED',
    503,
    'connection closed: peer certificate revoked by CRL',
    'the peer’s certificate, or one it was issued by, is in the lists of CRL_PATH',
  ),
  'identity-error': row(
    'IDENTITY_ERROR',
    503,
    'identity error: ',
    'no certificate from the CA; see the log target "identity" and CA_ADDRESS',
  ),
  'http2-handshake': row('H2_HANDSHAKE_FAILURE', 503, 'http2 handshake failed: ', 'the peer on port 15008 does not speak HTTP/2'),
  'http-status': row('CONNECT', 503, 'http status: ', 'the destination proxy refused the tunnel; its log has the reason'),
  'tunnel-reset': row('CONNECT', 503, 'http error: ', 'the peer proxy reset the stream or its connection was lost'),
  io: row('CONNECT', 503, 'io error: ', 'a connection broke'),
  'backpressure-limit': row(
    'CONNECT',
    503,
    'a peer took no bytes although the limit of buffered bytes was reached',
    'the peer or the network stalled',
  ),
  drained: row('CONNECT', 503, 'connection drained', 'the proxy or the pod was shutting down'),
  'pod-removed': row('CONNECT', 503, 'connection drained: the workload left the mesh', 'the pod was deleted or un-enrolled'),
  unresolved: row('CONNECT', 503, '', 'see the text'),
  'unknown-source': row(
    'CONNECT',
    503,
    'failed to fetch information about local workload: ',
    'the control plane does not know this pod (yet)',
  ),
  'self-call': row('CONNECT', 503, 'attempted recursive call to ourselves', 'the port belongs to the proxy'),
  'name-not-resolved': row(
    'CONNECT',
    503,
    'cannot resolve the host name of the workload: ',
    'the nameservers of the proxy do not know it, or do not answer; see spec.hosts and spec.endpoints of the ServiceEntry',
  ),
  'not-supported': row('CONNECT', 503, 'not supported: ', 'this version of the proxy cannot do it'),
  'too-many-connections': row(
    'CONNECT',
    503,
    'too many open connections: ',
    'raise the limit of open files of the proxy (process_max_fds)',
  ),
  'bad-method': row('CONNECT', 400, 'expected method CONNECT, got ', 'something other than a mesh proxy talks to port 15008'),
  'bad-authority': row('CONNECT', 400, 'invalid authority: ', 'something other than a mesh proxy talks to port 15008'),
  'ip-mismatch': row('CONNECT', 400, '', 'a tunnel may only name the pod it was sent to'),
  'bad-protocol': row('CONNECT', 400, 'protocol error: ', 'the peer broke the rules of HTTP/2'),
  'handshake-timeout': row(
    'TLS_FAILURE',
    408,
    'handshake timed out',
    'the peer connected but did not complete TLS and HTTP/2 set-up in time',
  ),
  'pool-exhausted': row(
    'CONNECT',
    503,
    'no tunnel has room for another stream',
    'raise POOL_MAX_STREAMS_PER_CONNECTION or look at the peer',
  ),
} as const satisfies Record<string, Row>;

export type EndReason = keyof typeof END_REASONS;

/** How a connection ended: its row, with the full text for the log. */
export interface ConnectionEnd {
  readonly reason: EndReason;
  readonly flag: ResponseFlag;
  /** Empty for a connection that went well. */
  readonly message: string;
  readonly status: number;
}

/** `detail` completes the row's text. `status` overrides the row's. */
export function endOf(reason: EndReason, detail = '', status?: number): ConnectionEnd {
  const entry: Row = END_REASONS[reason];
  return { reason, flag: entry.flag, message: entry.text + detail, status: status ?? entry.status };
}

export const COMPLETE: ConnectionEnd = endOf('complete');
