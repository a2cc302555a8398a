/** Whether a pod's traffic is carried by the mesh (ambient contract 6.2). One rule for the node agent, the control plane, the command line and migration. */

/** What is looked at, as Kubernetes has it. */
export interface EnrolmentPod {
  readonly metadata: { readonly labels?: Readonly<Record<string, string>>; readonly annotations?: Readonly<Record<string, string>> };
  readonly spec?: { readonly hostNetwork?: boolean };
  readonly status?: { readonly phase?: string };
}

export interface EnrolmentNamespace {
  readonly metadata: { readonly name?: string; readonly labels?: Readonly<Record<string, string>> };
}

export const DATAPLANE_MODE_LABEL = 'istio.io/dataplane-mode';
export const REDIRECTION_ANNOTATION = 'ambient.istio.io/redirection';
const SIDECAR_STATUS_ANNOTATION = 'sidecar.istio.io/status';

export interface EnrolmentDecision {
  readonly enrolled: boolean;
  /** A clause that completes "because …". */
  readonly reason: string;
}

/** `excludedNamespaces` are those the agent never touches (`kube-system` and the mesh's own, by default). */
export function decideEnrolment(
  pod: EnrolmentPod,
  namespace: EnrolmentNamespace,
  excludedNamespaces: ReadonlySet<string>,
): EnrolmentDecision {
  const podMode = pod.metadata.labels?.[DATAPLANE_MODE_LABEL];
  const namespaceMode = namespace.metadata.labels?.[DATAPLANE_MODE_LABEL];
  const no = (reason: string): EnrolmentDecision => ({ enrolled: false, reason });
  if (podMode === 'none') return no(`the pod carries ${DATAPLANE_MODE_LABEL}=none`);
  if (podMode !== 'ambient' && namespaceMode !== 'ambient')
    return no(`neither the pod nor its namespace carries ${DATAPLANE_MODE_LABEL}=ambient`);
  if (excludedNamespaces.has(namespace.metadata.name ?? '')) return no('its namespace is excluded from the mesh');
  if (pod.metadata.annotations?.[SIDECAR_STATUS_ANNOTATION] !== undefined) return no('it has a sidecar, which takes precedence');
  if (pod.spec?.hostNetwork === true) return no('it uses the network of its node');
  if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return no('it has ended');
  return {
    enrolled: true,
    reason:
      podMode === 'ambient' ? `the pod carries ${DATAPLANE_MODE_LABEL}=ambient` : `its namespace carries ${DATAPLANE_MODE_LABEL}=ambient`,
  };
}
