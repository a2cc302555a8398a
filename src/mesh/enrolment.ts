/** Which pods are in the mesh (section 6.2), decided once for the node agent, status and migration. */
import type { ObjectMeta } from './object.ts';

export const DATAPLANE_MODE_LABEL = 'istio.io/dataplane-mode';
export const SIDECAR_STATUS_ANNOTATION = 'sidecar.istio.io/status';
/** Written by the node agent: `enabled`, or `pending` while no proxy has taken the pod. */
export const REDIRECTION_ANNOTATION = 'ambient.istio.io/redirection';
export const BYPASS_INBOUND_ANNOTATION = 'ambient.istio.io/bypass-inbound-capture';
export const DNS_CAPTURE_ANNOTATION = 'ambient.istio.io/dns-capture';
/** Namespaces never captured unless configured otherwise. */
export const DEFAULT_EXCLUDED_NAMESPACES: readonly string[] = ['kube-system'];

export interface EnrolmentPod {
  readonly metadata: ObjectMeta;
  readonly spec?: { readonly hostNetwork?: boolean | undefined } | undefined;
  readonly status?: { readonly phase?: string | undefined } | undefined;
}

const REASONS = {
  namespace: 'its namespace is labelled istio.io/dataplane-mode=ambient',
  pod: 'it is labelled istio.io/dataplane-mode=ambient',
  'opted-out': 'it is labelled istio.io/dataplane-mode=none',
  'not-selected': 'neither it nor its namespace is labelled istio.io/dataplane-mode=ambient',
  'sidecar-injected': 'it has a sidecar (annotation sidecar.istio.io/status), and a sidecar wins',
  'excluded-namespace': 'its namespace is excluded from the mesh',
  'host-network': 'it uses the network of its node',
  terminal: 'it has ended',
} as const;

export type EnrolmentReason = keyof typeof REASONS;

export interface Enrolment {
  readonly enrolled: boolean;
  readonly reason: EnrolmentReason;
  /** The reason as the rest of a sentence that begins with the pod. */
  readonly message: string;
}

const decision = (enrolled: boolean, reason: EnrolmentReason): Enrolment => ({ enrolled, reason, message: REASONS[reason] });

/** `namespace` is undefined while the agent has not seen it; only the pod's own label can enrol then. */
export const decideEnrolment = (
  pod: EnrolmentPod,
  namespace: { readonly metadata: ObjectMeta } | undefined,
  excludedNamespaces: readonly string[] = DEFAULT_EXCLUDED_NAMESPACES,
): Enrolment => {
  const { metadata, spec, status } = pod;
  const own = metadata.labels?.[DATAPLANE_MODE_LABEL];
  if (own === 'none') return decision(false, 'opted-out');
  const byNamespace = namespace?.metadata.labels?.[DATAPLANE_MODE_LABEL] === 'ambient';
  if (own !== 'ambient' && !byNamespace) return decision(false, 'not-selected');
  if (metadata.annotations?.[SIDECAR_STATUS_ANNOTATION] !== undefined) return decision(false, 'sidecar-injected');
  if (excludedNamespaces.includes(metadata.namespace ?? '')) return decision(false, 'excluded-namespace');
  if (spec?.hostNetwork === true) return decision(false, 'host-network');
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return decision(false, 'terminal');
  return decision(true, own === 'ambient' ? 'pod' : 'namespace');
};
