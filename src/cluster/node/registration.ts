/** The Node object and its heartbeat. */
import os from 'node:os';
import {
  type Condition,
  isAlreadyExists,
  isNotFound,
  type KubeClient,
  LeaseKind,
  type Node,
  NodeKind,
} from '../../platform/kubernetes/index.ts';
import type { Logger } from '../../platform/telemetry/index.ts';
import { LEASE_NAMESPACE, microTimestamp, timestamp, withTransitionTimes } from '../conditions.ts';
import { KUBERNETES_VERSION, NETWORK } from '../config.ts';
import { messageOf } from '../error.ts';

export interface NodeIdentity {
  readonly name: string;
  readonly index: number;
  readonly address: string;
  readonly podCidr: string;
}

/** Kubernetes uses 10 s and 40 s; here a dead node should be noticed while somebody watches. */
export const HEARTBEAT_MS = 3_000;
export const LEASE_SECONDS = 15;
/** The whole status is posted this often: it heals what was marked while the node could not be reached. */
const STATUS_MS = 8_000;
const RETRY_MS = 300;
const MAX_PODS = 200;
const ZONES = ['zone-a', 'zone-b', 'zone-c'];

/** Where a node is unless somebody says otherwise: these labels are the user's once the node is there. */
const placeOf = (index: number): Record<string, string> => ({
  'topology.kubernetes.io/region': 'local',
  'topology.kubernetes.io/zone': ZONES[(index - 1) % ZONES.length]!,
});

/** The Node as it ought to be; labels of its place only where `previous` has none. */
export function nodeObject(identity: NodeIdentity, previous: Node | undefined, now: number): Node {
  const { name, index, address, podCidr } = identity;
  const capacity = {
    cpu: String(os.cpus().length),
    memory: `${Math.floor(os.totalmem() / 1024)}Ki`,
    pods: String(MAX_PODS),
    'ephemeral-storage': '10Gi',
  };
  const at = timestamp(now);
  const healthy = (type: string, reason: string, message: string): Condition => ({
    type,
    status: 'False',
    reason,
    message,
    lastHeartbeatTime: at,
  });
  const conditions: Condition[] = [
    healthy('MemoryPressure', 'KubeletHasSufficientMemory', 'the node has sufficient memory'),
    healthy('DiskPressure', 'KubeletHasNoDiskPressure', 'the node has no disk pressure'),
    healthy('PIDPressure', 'KubeletHasSufficientPID', 'the node has sufficient PIDs'),
    { type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'the node runtime is ready', lastHeartbeatTime: at },
  ];
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  return {
    metadata: {
      name,
      labels: {
        'kubernetes.io/hostname': name,
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': arch,
        ...Object.fromEntries(Object.entries(placeOf(index)).filter(([key]) => previous?.metadata?.labels?.[key] === undefined)),
      },
    },
    spec: { podCIDR: podCidr, podCIDRs: [podCidr], providerID: `lateen://${name}` },
    status: {
      addresses: [
        { type: 'InternalIP', address },
        { type: 'Hostname', address: name },
      ],
      capacity,
      allocatable: capacity,
      conditions: withTransitionTimes(conditions, previous?.status?.conditions, at),
      daemonEndpoints: { kubeletEndpoint: { Port: NETWORK.kubeletPort } },
      nodeInfo: {
        kernelVersion: os.release(),
        osImage: 'Lateen embedded node',
        containerRuntimeVersion: 'lateen://0.1.0',
        kubeletVersion: KUBERNETES_VERSION.gitVersion,
        kubeProxyVersion: '',
        operatingSystem: 'linux',
        architecture: arch,
        machineID: '',
        systemUUID: '',
        bootID: '',
      },
    },
  };
}

/** Creates or updates the Node and renews its lease until the signal aborts. Resolves after the first success. */
export async function keepRegistered(client: KubeClient, identity: NodeIdentity, signal: AbortSignal, log: Logger): Promise<void> {
  const first = Promise.withResolvers<void>();
  const beat = async (): Promise<void> => {
    for (let postedAt = 0; !signal.aborted; ) {
      try {
        if (Date.now() - postedAt > STATUS_MS) {
          await register(client, identity);
          postedAt = Date.now();
        }
        await renewLease(client, identity.name);
        first.resolve();
      } catch (error) {
        postedAt = 0; // the node or its lease may be gone, or marked as lost meanwhile
        if (!signal.aborted) log.warn('heartbeat failed', { error: messageOf(error) });
      }
      await Bun.sleep(postedAt > 0 ? HEARTBEAT_MS : RETRY_MS);
    }
    first.resolve();
  };
  void beat();
  await first.promise;
}

async function register(client: KubeClient, identity: NodeIdentity): Promise<void> {
  const before = await client.get(NodeKind, identity.name).catch((error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
  const node = nodeObject(identity, before, Date.now());
  if (before === undefined) {
    try {
      await client.create(NodeKind, node);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  } else await client.patch(NodeKind, identity.name, { metadata: { labels: node.metadata?.labels }, spec: node.spec }, {});
  await client.patchStatus(NodeKind, identity.name, { status: node.status });
}

async function renewLease(client: KubeClient, name: string): Promise<void> {
  const spec = { holderIdentity: name, leaseDurationSeconds: LEASE_SECONDS, renewTime: microTimestamp(Date.now()) };
  const scope = { namespace: LEASE_NAMESPACE, timeoutMs: 5_000 };
  try {
    await client.patch(LeaseKind, name, { spec }, scope);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    await client.get(NodeKind, name); // deleted: throws NotFound, so it is registered again
    await client.create(LeaseKind, { metadata: { name, namespace: LEASE_NAMESPACE }, spec });
  }
}
