/** Whether a pod belongs into the mesh, and where it was asked for but cannot be, why. */
import type { PodView } from './pod-view.ts';

const DATAPLANE_MODE = 'istio.io/dataplane-mode';
const SIDECAR_STATUS = 'sidecar.istio.io/status';

export interface EnrolmentRules {
  readonly excludedNamespaces: ReadonlySet<string>;
}

export type Enrolment =
  | { readonly enrolled: true }
  /** `problem` is set when the user asked for the pod explicitly and ought to hear why not. */
  | { readonly enrolled: false; readonly problem?: string };

export function decide(pod: PodView, namespaceLabels: Readonly<Record<string, string>>, rules: EnrolmentRules): Enrolment {
  const own = pod.labels[DATAPLANE_MODE];
  const asked = own === 'ambient' || namespaceLabels[DATAPLANE_MODE] === 'ambient';
  if (!asked || own === 'none' || pod.isTerminal) return { enrolled: false };
  if (rules.excludedNamespaces.has(pod.namespace)) {
    return { enrolled: false, problem: `namespace ${pod.namespace} is excluded from the mesh (EXCLUDE_NAMESPACES of the node agent)` };
  }
  if (pod.hostNetwork) {
    // The namespace's label is not meant for these; the pod's own is.
    return own === 'ambient'
      ? { enrolled: false, problem: 'the pod uses the network of its node, whose traffic cannot be redirected' }
      : { enrolled: false };
  }
  if (SIDECAR_STATUS in pod.annotations) {
    return { enrolled: false, problem: 'the pod has a sidecar (annotation sidecar.istio.io/status), which wins over ambient mode' };
  }
  return { enrolled: true };
}
