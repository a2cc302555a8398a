/** Whether a pod belongs into the mesh, and where the user asked for it but it cannot be, what to tell them. */
import { decideEnrolment, type EnrolmentReason } from '../mesh/index.ts';
import type { PodView } from './pod-view.ts';

export interface EnrolmentRules {
  readonly excludedNamespaces: readonly string[];
}

export interface Decision {
  readonly enrolled: boolean;
  /** Set when the user ought to hear why not. */
  readonly problem?: string;
}

const REMEDIES: Partial<Record<EnrolmentReason, string>> = {
  'excluded-namespace': 'Move it to another namespace, or change EXCLUDE_NAMESPACES of the node agent.',
  'sidecar-injected': 'Remove the sidecar first.',
  'host-network': 'Traffic of the node itself cannot be redirected: set hostNetwork to false.',
};

export function decide(pod: PodView, namespaceLabels: Readonly<Record<string, string>>, rules: EnrolmentRules): Decision {
  const { enrolled, reason, message } = decideEnrolment(
    {
      metadata: { name: pod.name, namespace: pod.namespace, labels: pod.labels, annotations: pod.annotations },
      spec: { hostNetwork: pod.hostNetwork },
      status: { phase: pod.isTerminal ? 'Succeeded' : 'Running' },
    },
    { metadata: { name: pod.namespace, labels: namespaceLabels } },
    rules.excludedNamespaces,
  );
  const remedy = REMEDIES[reason];
  // A namespace's label is not meant for the pods of the node's network in it; a pod's own label is.
  const isMeant = reason !== 'host-network' || pod.labels['istio.io/dataplane-mode'] === 'ambient';
  return remedy !== undefined && isMeant ? { enrolled, problem: `${message}. ${remedy}` } : { enrolled };
}
