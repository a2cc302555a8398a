import type { Static } from 'typebox';
import { age, ageColumn, type Cell, column, defineKind, forbidden, humanDuration, nameColumn } from './kind.ts';
import { conditions, kindSchema } from './meta.ts';
import { defaultPodSpec, validatePodSpec } from './pod-defaults.ts';
import { containerStatuses, podSpecSchema } from './pod-spec.ts';
import { int64, list, listMap, object, opaque, string, time } from './schema.ts';

const podStatusSchema = object({
  phase: string,
  conditions,
  message: string,
  reason: string,
  nominatedNodeName: string,
  hostIP: string,
  hostIPs: list(object({ ip: string })),
  podIP: string,
  podIPs: listMap(object({ ip: string }), 'ip'),
  startTime: time,
  initContainerStatuses: containerStatuses,
  containerStatuses,
  ephemeralContainerStatuses: containerStatuses,
  qosClass: string,
  resize: string,
  observedGeneration: int64,
  resourceClaimStatuses: list(opaque),
});
export type PodStatus = Static<typeof podStatusSchema>;

const podSchema = kindSchema({ spec: podSpecSchema, status: podStatusSchema }, ['spec']);
export type Pod = Static<typeof podSchema>;

export const PodKind = defineKind<Pod>({
  apiVersion: 'v1',
  kind: 'Pod',
  plural: 'pods',
  shortNames: ['po'],
  categories: ['all'],
  status: true,
  description: 'Pod is a collection of containers that can run on a host.',
  schema: podSchema,
  columns: [
    nameColumn,
    column('Ready', 'The aggregate readiness state of this pod for accepting traffic.'),
    column('Status', 'The aggregate status of the containers in this pod.'),
    column(
      'Restarts',
      'The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.',
    ),
    ageColumn,
    column('IP', 'IP address allocated to the pod.', { wide: true }),
    column('Node', 'The node the pod runs on.', { wide: true }),
    column('Nominated Node', 'The node a preempting pod waits for.', { wide: true }),
    column('Readiness Gates', 'Conditions that must hold for the pod to be ready.', { wide: true }),
  ],
  cells: podCells,
  defaults: (pod) => {
    pod.spec ??= { containers: [] };
    pod.spec.enableServiceLinks ??= true;
    defaultPodSpec(pod.spec);
    for (const container of [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])]) {
      const { limits } = container.resources ?? {};
      if (limits !== undefined) container.resources!.requests = { ...limits, ...container.resources!.requests };
    }
  },
  validate: (pod, old) => {
    const problems = validatePodSpec(pod.spec, 'spec');
    if (old !== undefined && !sameImmutableSpec(pod, old)) {
      problems.push(
        forbidden(
          'spec',
          'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
        ),
      );
    }
    return problems;
  },
});

function sameImmutableSpec(pod: Pod, old: Pod): boolean {
  const strip = ({ spec }: Pod) => {
    const image = <C extends object>(containers: readonly C[] | undefined) =>
      (containers ?? []).map((container) => ({ ...container, image: '' }));
    return {
      ...spec,
      containers: image(spec.containers),
      initContainers: image(spec.initContainers),
      activeDeadlineSeconds: 0,
      tolerations: [],
      terminationGracePeriodSeconds: 0,
      // the scheduler fills an empty nodeName once
      nodeName: old.spec.nodeName === undefined || old.spec.nodeName === '' ? '' : spec.nodeName,
      schedulingGates: [],
      ephemeralContainers: [],
    };
  };
  return Bun.deepEquals(strip(pod), strip(old));
}

/** READY, STATUS and RESTARTS as kubectl has always shown them. */
function podCells(pod: Pod, now: number): Cell[] {
  const { spec, status } = pod;
  const statuses = status?.containerStatuses ?? [];
  let reason = status?.reason !== undefined && status.reason !== '' ? status.reason : (status?.phase ?? 'Pending');
  let restarts = 0;
  let ready = 0;
  let running = false;
  let lastRestart = 0;
  const gated = (status?.conditions ?? []).some((condition) => condition.type === 'PodScheduled' && condition.reason === 'SchedulingGated');
  if (gated) reason = 'SchedulingGated';

  const initStatuses = status?.initContainerStatuses ?? [];
  let initializing = false;
  // Init containers that go on running (native sidecars) count with the others once they have started.
  const sidecars = new Set((spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always').map(({ name }) => name));
  let sidecarRestarts = 0;
  for (const [index, container] of initStatuses.entries()) {
    restarts += container.restartCount ?? 0;
    const { terminated, waiting } = container.state ?? {};
    if (terminated?.exitCode === 0) continue;
    if (sidecars.has(container.name)) sidecarRestarts += container.restartCount ?? 0;
    if (sidecars.has(container.name) && container.started === true) {
      if (container.ready) ready++;
      continue;
    }
    if (terminated !== undefined)
      reason = `Init:${terminated.reason ?? (terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode}`)}`;
    else if (waiting?.reason !== undefined && waiting.reason !== '' && waiting.reason !== 'PodInitializing')
      reason = `Init:${waiting.reason}`;
    else reason = `Init:${index}/${spec.initContainers?.length ?? 0}`;
    initializing = true;
    break;
  }
  if (!initializing) {
    restarts = sidecarRestarts;
    for (const container of statuses.toReversed()) {
      restarts += container.restartCount ?? 0;
      const finished = container.lastState?.terminated?.finishedAt;
      if (finished !== undefined) lastRestart = Math.max(lastRestart, Date.parse(finished));
      const { terminated, waiting } = container.state ?? {};
      if (waiting?.reason !== undefined && waiting.reason !== '') reason = waiting.reason;
      else if (terminated?.reason !== undefined && terminated.reason !== '') reason = terminated.reason;
      else if (terminated !== undefined) reason = terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode}`;
      else if (container.ready && container.state?.running !== undefined) {
        running = true;
        ready++;
      }
    }
    const podReady = (status?.conditions ?? []).some((condition) => condition.type === 'Ready' && condition.status === 'True');
    if (reason === 'Completed' && running) reason = podReady ? 'Running' : 'NotReady';
  }
  if (pod.metadata.deletionTimestamp !== undefined && status?.reason === 'NodeLost') reason = 'Unknown';
  else if (pod.metadata.deletionTimestamp !== undefined && status?.phase !== 'Succeeded' && status?.phase !== 'Failed')
    reason = 'Terminating';

  const restartCell = restarts > 0 && lastRestart > 0 ? `${restarts} (${humanDuration(now - lastRestart)} ago)` : String(restarts);
  const gates = spec.readinessGates ?? [];
  const met = gates.filter((gate) =>
    (status?.conditions ?? []).some((condition) => condition.type === gate.conditionType && condition.status === 'True'),
  );
  return [
    pod.metadata.name ?? '',
    `${ready}/${spec.containers.length + sidecars.size}`,
    reason,
    restartCell,
    age(pod, now),
    status?.podIP || '<none>',
    spec.nodeName || '<none>',
    status?.nominatedNodeName || '<none>',
    gates.length === 0 ? '<none>' : `${met.length}/${gates.length}`,
  ];
}
