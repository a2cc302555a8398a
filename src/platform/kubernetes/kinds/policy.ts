import type { Static } from 'typebox';
import { age, ageColumn, column, defineKind, nameColumn } from './kind.ts';
import { conditions, kindSchema, labelSelectorSchema } from './meta.ts';
import { int32, int64, intOrString, list, map, object, opaque, string, time } from './schema.ts';

const leaseSchema = kindSchema({
  spec: object({
    holderIdentity: string,
    leaseDurationSeconds: int32,
    acquireTime: time,
    renewTime: time,
    leaseTransitions: int32,
    strategy: string,
    preferredHolder: string,
  }),
});
export type Lease = Static<typeof leaseSchema>;
export const LeaseKind = defineKind<Lease>({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  plural: 'leases',
  description: 'Lease defines a lease concept.',
  schema: leaseSchema,
  columns: [nameColumn, column('Holder', 'Who holds it'), ageColumn],
  cells: (lease, now) => [lease.metadata.name ?? '', lease.spec?.holderIdentity ?? '', age(lease, now)],
});

const disruptionBudgetSchema = kindSchema({
  spec: object({
    minAvailable: intOrString,
    maxUnavailable: intOrString,
    selector: labelSelectorSchema,
    unhealthyPodEvictionPolicy: string,
  }),
  status: object({
    observedGeneration: int64,
    disruptedPods: map(time),
    disruptionsAllowed: int32,
    currentHealthy: int32,
    desiredHealthy: int32,
    expectedPods: int32,
    conditions,
  }),
});
export type PodDisruptionBudget = Static<typeof disruptionBudgetSchema>;
export const PodDisruptionBudgetKind = defineKind<PodDisruptionBudget>({
  apiVersion: 'policy/v1',
  kind: 'PodDisruptionBudget',
  plural: 'poddisruptionbudgets',
  shortNames: ['pdb'],
  status: true,
  description: 'PodDisruptionBudget is an object to define the max disruption that can be caused to a collection of pods.',
  schema: disruptionBudgetSchema,
  columns: [
    nameColumn,
    column('Min Available', 'Pods that must stay'),
    column('Max Unavailable', 'Pods that may go'),
    column('Allowed Disruptions', 'Disruptions allowed now', { type: 'integer' }),
    ageColumn,
  ],
  cells: (budget, now) => [
    budget.metadata.name ?? '',
    String(budget.spec?.minAvailable ?? 'N/A'),
    String(budget.spec?.maxUnavailable ?? 'N/A'),
    budget.status?.disruptionsAllowed ?? 0,
    age(budget, now),
  ],
});

const autoscalerSchema = kindSchema({
  spec: object(
    {
      scaleTargetRef: object({ apiVersion: string, kind: string, name: string }, ['kind', 'name']),
      minReplicas: int32,
      maxReplicas: int32,
      metrics: list(opaque),
      behavior: opaque,
    },
    ['scaleTargetRef', 'maxReplicas'],
  ),
  status: object({
    observedGeneration: int64,
    lastScaleTime: time,
    currentReplicas: int32,
    desiredReplicas: int32,
    currentMetrics: list(opaque),
    conditions,
  }),
});
export type HorizontalPodAutoscaler = Static<typeof autoscalerSchema>;
export const HorizontalPodAutoscalerKind = defineKind<HorizontalPodAutoscaler>({
  apiVersion: 'autoscaling/v2',
  kind: 'HorizontalPodAutoscaler',
  plural: 'horizontalpodautoscalers',
  shortNames: ['hpa'],
  categories: ['all'],
  status: true,
  description:
    'HorizontalPodAutoscaler is the configuration for a horizontal pod autoscaler. This cluster collects no metrics and keeps the bounds only.',
  schema: autoscalerSchema,
  columns: [
    nameColumn,
    column('Reference', 'What it scales'),
    column('Targets', 'Metrics'),
    column('MinPods', 'Least replicas'),
    column('MaxPods', 'Most replicas'),
    column('Replicas', 'Replicas now'),
    ageColumn,
  ],
  cells: (scaler, now) => [
    scaler.metadata.name ?? '',
    `${scaler.spec?.scaleTargetRef.kind}/${scaler.spec?.scaleTargetRef.name}`,
    '<unknown>',
    String(scaler.spec?.minReplicas ?? '<unset>'),
    String(scaler.spec?.maxReplicas ?? ''),
    String(scaler.status?.currentReplicas ?? 0),
    age(scaler, now),
  ],
  defaults: (scaler) => {
    if (scaler.spec !== undefined) scaler.spec.minReplicas ??= 1;
  },
});
