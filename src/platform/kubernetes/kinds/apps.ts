import type { Static } from 'typebox';
import { age, ageColumn, type Cell, column, defineKind, type FieldProblem, humanDuration, invalid, nameColumn, required } from './kind.ts';
import { labelSelectorString, matchesLabelSelector, validateLabelSelector } from './labels.ts';
import { conditionSchema, conditions, kindSchema, type LabelSelector, labelSelectorSchema } from './meta.ts';
import { defaultTemplate, validateTemplate } from './pod-defaults.ts';
import { type PodTemplateSpec, podTemplateSchema } from './pod-spec.ts';
import { boolean, choice, int32, int64, intOrString, list, object, opaque, string, time } from './schema.ts';

const REPLICAS = {
  specReplicasPath: '.spec.replicas',
  statusReplicasPath: '.status.replicas',
  labelSelectorPath: '.status.selector',
} as const;
const rollingUpdate = object({ maxUnavailable: intOrString, maxSurge: intOrString, partition: int32 });

const workloadColumns = [
  column('Containers', 'Names of each container in the template.', { wide: true }),
  column('Images', 'Images referenced by each container in the template.', { wide: true }),
  column('Selector', 'Label selector for pods.', { wide: true }),
];
function workloadCells(template: PodTemplateSpec | undefined, selector: LabelSelector | undefined): Cell[] {
  const containers = template?.spec?.containers ?? [];
  return [
    containers.map((container) => container.name).join(','),
    containers.map((container) => container.image ?? '').join(','),
    labelSelectorString(selector) || '<none>',
  ];
}

interface Workload {
  spec?: { selector?: LabelSelector; template?: PodTemplateSpec; replicas?: number };
}

/** Selector and template rules that Deployment, ReplicaSet, DaemonSet and StatefulSet share. */
function validateWorkload(object: Workload, old?: Workload): FieldProblem[] {
  const { spec } = object;
  if (spec === undefined) return [required('spec')];
  const problems = validateTemplate(spec.template, 'spec.template');
  if (
    spec.selector === undefined ||
    (Object.keys(spec.selector.matchLabels ?? {}).length === 0 && (spec.selector.matchExpressions ?? []).length === 0)
  ) {
    problems.push(
      spec.selector === undefined
        ? required('spec.selector')
        : invalid('spec.selector', spec.selector, 'empty selector is invalid for deployment'),
    );
  } else {
    problems.push(...validateLabelSelector(spec.selector, 'spec.selector'));
    const labels = spec.template?.metadata?.labels;
    if (!matchesLabelSelector(spec.selector, labels))
      problems.push(invalid('spec.template.metadata.labels', labels ?? {}, '`selector` does not match template `labels`'));
  }
  if ((spec.replicas ?? 0) < 0) problems.push(invalid('spec.replicas', spec.replicas, 'must be greater than or equal to 0'));
  if (spec.template?.spec?.restartPolicy !== undefined && spec.template.spec.restartPolicy !== 'Always') {
    problems.push({
      field: 'spec.template.spec.restartPolicy',
      reason: 'FieldValueNotSupported',
      message: `Unsupported value: ${JSON.stringify(spec.template.spec.restartPolicy)}: supported values: "Always"`,
    });
  }
  if (old?.spec?.selector !== undefined && !Bun.deepEquals(old.spec.selector, spec.selector))
    problems.push(invalid('spec.selector', spec.selector, 'field is immutable'));
  return problems;
}

const deploymentSchema = kindSchema(
  {
    spec: object(
      {
        replicas: int32,
        selector: labelSelectorSchema,
        template: podTemplateSchema,
        strategy: object({ type: choice('Recreate', 'RollingUpdate'), rollingUpdate }),
        minReadySeconds: int32,
        revisionHistoryLimit: int32,
        paused: boolean,
        progressDeadlineSeconds: int32,
      },
      ['selector', 'template'],
    ),
    status: object({
      observedGeneration: int64,
      replicas: int32,
      updatedReplicas: int32,
      readyReplicas: int32,
      availableReplicas: int32,
      unavailableReplicas: int32,
      terminatingReplicas: int32,
      conditions,
      collisionCount: int32,
    }),
  },
  ['spec'],
);
export type Deployment = Static<typeof deploymentSchema>;
export const DeploymentKind = defineKind<Deployment>({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  plural: 'deployments',
  shortNames: ['deploy'],
  categories: ['all'],
  status: true,
  scale: REPLICAS,
  description: 'Deployment enables declarative updates for Pods and ReplicaSets.',
  schema: deploymentSchema,
  columns: [
    nameColumn,
    column('Ready', 'Number of the pod with ready state'),
    column('Up-to-date', 'Pods that have the desired template spec'),
    column('Available', 'Pods ready for at least minReadySeconds'),
    ageColumn,
    ...workloadColumns,
  ],
  cells: (deployment, now) => [
    deployment.metadata.name ?? '',
    `${deployment.status?.readyReplicas ?? 0}/${deployment.spec.replicas ?? 1}`,
    String(deployment.status?.updatedReplicas ?? 0),
    String(deployment.status?.availableReplicas ?? 0),
    age(deployment, now),
    ...workloadCells(deployment.spec.template, deployment.spec.selector),
  ],
  defaults: ({ spec }) => {
    if (spec === undefined) return;
    spec.replicas ??= 1;
    spec.revisionHistoryLimit ??= 10;
    spec.progressDeadlineSeconds ??= 600;
    spec.strategy ??= {};
    spec.strategy.type ??= 'RollingUpdate';
    if (spec.strategy.type === 'RollingUpdate') {
      spec.strategy.rollingUpdate ??= {};
      spec.strategy.rollingUpdate.maxUnavailable ??= '25%';
      spec.strategy.rollingUpdate.maxSurge ??= '25%';
    }
    defaultTemplate(spec.template);
  },
  validate: validateWorkload,
});

const replicaSetSchema = kindSchema(
  {
    spec: object({ replicas: int32, minReadySeconds: int32, selector: labelSelectorSchema, template: podTemplateSchema }, [
      'selector',
      'template',
    ]),
    status: object({
      replicas: int32,
      fullyLabeledReplicas: int32,
      readyReplicas: int32,
      availableReplicas: int32,
      terminatingReplicas: int32,
      observedGeneration: int64,
      conditions,
    }),
  },
  ['spec'],
);
export type ReplicaSet = Static<typeof replicaSetSchema>;
export const ReplicaSetKind = defineKind<ReplicaSet>({
  apiVersion: 'apps/v1',
  kind: 'ReplicaSet',
  plural: 'replicasets',
  shortNames: ['rs'],
  categories: ['all'],
  status: true,
  scale: REPLICAS,
  description: 'ReplicaSet ensures that a specified number of pod replicas are running at any given time.',
  schema: replicaSetSchema,
  columns: [
    nameColumn,
    column('Desired', 'Replicas wanted', { type: 'integer' }),
    column('Current', 'Replicas observed', { type: 'integer' }),
    column('Ready', 'Replicas ready', { type: 'integer' }),
    ageColumn,
    ...workloadColumns,
  ],
  cells: (set, now) => [
    set.metadata.name ?? '',
    set.spec.replicas ?? 1,
    set.status?.replicas ?? 0,
    set.status?.readyReplicas ?? 0,
    age(set, now),
    ...workloadCells(set.spec.template, set.spec.selector),
  ],
  defaults: (set) => {
    if (set.spec === undefined) return;
    set.spec.replicas ??= 1;
    set.status ??= { replicas: 0 };
    defaultTemplate(set.spec.template);
  },
  validate: validateWorkload,
});

const daemonSetSchema = kindSchema(
  {
    spec: object(
      {
        selector: labelSelectorSchema,
        template: podTemplateSchema,
        updateStrategy: object({ type: choice('OnDelete', 'RollingUpdate'), rollingUpdate }),
        minReadySeconds: int32,
        revisionHistoryLimit: int32,
      },
      ['selector', 'template'],
    ),
    status: object({
      currentNumberScheduled: int32,
      numberMisscheduled: int32,
      desiredNumberScheduled: int32,
      numberReady: int32,
      observedGeneration: int64,
      updatedNumberScheduled: int32,
      numberAvailable: int32,
      numberUnavailable: int32,
      collisionCount: int32,
      conditions,
    }),
  },
  ['spec'],
);
export type DaemonSet = Static<typeof daemonSetSchema>;
export const DaemonSetKind = defineKind<DaemonSet>({
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  plural: 'daemonsets',
  shortNames: ['ds'],
  categories: ['all'],
  status: true,
  description: 'DaemonSet represents the configuration of a daemon set.',
  schema: daemonSetSchema,
  columns: [
    nameColumn,
    column('Desired', 'Nodes that should run the pod', { type: 'integer' }),
    column('Current', 'Nodes that run it', { type: 'integer' }),
    column('Ready', 'Pods ready', { type: 'integer' }),
    column('Up-to-date', 'Pods of the current template', { type: 'integer' }),
    column('Available', 'Pods available', { type: 'integer' }),
    column('Node Selector', 'Nodes it runs on'),
    ageColumn,
    ...workloadColumns,
  ],
  cells: ({ metadata, spec, status }, now) => [
    metadata.name ?? '',
    status?.desiredNumberScheduled ?? 0,
    status?.currentNumberScheduled ?? 0,
    status?.numberReady ?? 0,
    status?.updatedNumberScheduled ?? 0,
    status?.numberAvailable ?? 0,
    labelSelectorString({ matchLabels: spec.template.spec?.nodeSelector ?? {} }) || '<none>',
    age({ metadata }, now),
    ...workloadCells(spec.template, spec.selector),
  ],
  defaults: ({ spec }) => {
    if (spec === undefined) return;
    spec.revisionHistoryLimit ??= 10;
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ??= 'RollingUpdate';
    if (spec.updateStrategy.type === 'RollingUpdate') {
      spec.updateStrategy.rollingUpdate ??= {};
      spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
      spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
    }
    defaultTemplate(spec.template);
  },
  validate: validateWorkload,
});

const jobSchema = kindSchema(
  {
    spec: object(
      {
        parallelism: int32,
        completions: int32,
        activeDeadlineSeconds: int64,
        backoffLimit: int32,
        selector: labelSelectorSchema,
        manualSelector: boolean,
        template: podTemplateSchema,
        ttlSecondsAfterFinished: int32,
        completionMode: string,
        suspend: boolean,
        podFailurePolicy: opaque,
        podReplacementPolicy: string,
        managedBy: string,
      },
      ['template'],
    ),
    status: object({
      conditions: list(conditionSchema),
      startTime: time,
      completionTime: time,
      active: int32,
      succeeded: int32,
      failed: int32,
      ready: int32,
      terminating: int32,
      completedIndexes: string,
      uncountedTerminatedPods: opaque,
    }),
  },
  ['spec'],
);
export type Job = Static<typeof jobSchema>;
export const JobKind = defineKind<Job>({
  apiVersion: 'batch/v1',
  kind: 'Job',
  plural: 'jobs',
  categories: ['all'],
  status: true,
  description: 'Job represents the configuration of a single job.',
  schema: jobSchema,
  columns: [
    nameColumn,
    column('Status', 'State of the job'),
    column('Completions', 'Finished pods'),
    column('Duration', 'Time it took'),
    ageColumn,
    ...workloadColumns,
  ],
  cells: ({ metadata, spec, status }, now) => {
    const done = (status?.conditions ?? []).find(
      (condition) => ['Complete', 'Failed'].includes(condition.type) && condition.status === 'True',
    );
    const started = status?.startTime === undefined ? Number.NaN : Date.parse(status.startTime);
    const ended = status?.completionTime === undefined ? now : Date.parse(status.completionTime);
    return [
      metadata.name ?? '',
      done === undefined ? 'Running' : done.type,
      `${status?.succeeded ?? 0}/${spec.completions ?? 1}`,
      Number.isNaN(started) ? '' : humanDuration(ended - started),
      age({ metadata }, now),
      ...workloadCells(spec.template, spec.selector),
    ];
  },
  defaults: ({ spec }) => {
    if (spec === undefined) return;
    spec.parallelism ??= 1;
    spec.completions ??= 1;
    spec.backoffLimit ??= 6;
    spec.suspend ??= false;
    spec.completionMode ??= 'NonIndexed';
    defaultTemplate(spec.template);
  },
  validate: ({ spec }) => validateTemplate(spec?.template, 'spec.template'),
});
