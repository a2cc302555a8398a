import { forwardPort, type KubeClient } from '../../platform/kubernetes/index.ts';
import { CliError, EXIT } from '../exit.ts';
import { type PodView, podsMatching } from '../pods/choose.ts';

/** What `/config_dump` of a node proxy says; the keys are those of the reference, so a real one is read as well. */
export interface WorkloadDump {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly workloadIps?: readonly string[];
  readonly node?: string;
  readonly network?: string;
  readonly protocol?: string;
  readonly serviceAccount?: string;
  readonly waypoint?: WaypointRef | null;
}
interface WaypointRef {
  readonly destination?: string | { readonly hostname?: string; readonly namespace?: string; readonly address?: string };
}
export interface ServiceDump {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly vips?: readonly string[];
  readonly waypoint?: WaypointRef | null;
  readonly endpoints?: Readonly<Record<string, { readonly workloadUid?: string; readonly status?: string }>>;
}
export interface PolicyDump {
  readonly name: string;
  readonly namespace: string;
  readonly scope: string;
  readonly action: string;
}
export interface CertificateDump {
  readonly identity: string;
  readonly state: string | Readonly<Record<string, unknown>>;
  readonly certChain?: readonly CertDump[];
  readonly rootCerts?: readonly CertDump[];
}
export interface CertDump {
  readonly serialNumber: string;
  readonly validFrom: string;
  readonly expirationTime: string;
}
export interface ConnectionDump {
  readonly src: string;
  readonly originalDst?: string | null;
  readonly actualDst: string;
  readonly protocol?: string;
}
export interface WorkloadStateDump {
  readonly state?: string;
  readonly info: { readonly name: string; readonly namespace: string; readonly serviceAccount?: string };
  readonly connections?: { readonly inbound?: readonly ConnectionDump[]; readonly outbound?: readonly ConnectionDump[] };
}
export interface ConfigDump {
  readonly workloads?: readonly WorkloadDump[];
  readonly services?: readonly ServiceDump[];
  readonly policies?: readonly PolicyDump[];
  readonly certificates?: readonly CertificateDump[];
  readonly workloadState?: Readonly<Record<string, WorkloadStateDump>>;
}

/** A node proxy's answer, with the node it came from. */
export interface NodeDump {
  readonly node: string;
  readonly pod: string;
  readonly dump: ConfigDump;
}

const ADMIN_PORT = 15_000;
const ANSWER_LIMIT_MS = 10_000;
/** How long nodes are asked in parallel: enough for a rack, kind to an API server. */
const PARALLEL = 16;

/** The running node proxies, in the order of their nodes. */
export const findProxies = async (client: KubeClient, namespace: string, node: string | undefined): Promise<PodView[]> => {
  const all = await podsMatching(client, namespace, 'app=ztunnel');
  const running = all.filter((pod) => pod.status?.phase === 'Running' && (node === undefined || pod.spec?.nodeName === node));
  if (running.length === 0) {
    throw new CliError(
      node === undefined ? `no running ztunnel pods in namespace ${namespace}` : `no running ztunnel pod on node ${node}`,
      EXIT.notFound,
      `Look at them with: lateen get pods -n ${namespace} -l app=ztunnel -o wide; another mesh namespace is chosen with --mesh-namespace.`,
    );
  }
  return running.sort((a, b) => (a.spec?.nodeName ?? '').localeCompare(b.spec?.nodeName ?? ''));
};

/** One HTTP request to a port inside a pod, through the API server. */
export const requestPod = async (
  client: KubeClient,
  pod: PodView,
  port: number,
  path: string,
  init: RequestInit = {},
): Promise<Response> => {
  const namespace = pod.metadata?.namespace ?? '';
  const name = pod.metadata?.name ?? '';
  let failure: Error | undefined;
  const forward = forwardPort(client, { namespace, pod: name, port }, { onError: (error) => (failure ??= error) });
  try {
    const response = await fetch(`http://127.0.0.1:${forward.port}${path}`, {
      ...init,
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
    });
    // Read completely while the forward is open.
    return new Response(await response.arrayBuffer(), { status: response.status, headers: response.headers });
  } catch (error) {
    throw new CliError(
      `pod ${namespace}/${name}, port ${port}${path}: ${(failure ?? (error as Error)).message}`,
      EXIT.unreachable,
      `Is it running? lateen get pod ${name} -n ${namespace}`,
    );
  } finally {
    forward.close();
  }
};

/** Asks every proxy for its configuration. */
export const fetchDumps = async (client: KubeClient, proxies: readonly PodView[]): Promise<NodeDump[]> => {
  const dumps: NodeDump[] = [];
  for (let start = 0; start < proxies.length; start += PARALLEL) {
    dumps.push(
      ...(await Promise.all(
        proxies.slice(start, start + PARALLEL).map(async (pod) => {
          const response = await requestPod(client, pod, ADMIN_PORT, '/config_dump');
          if (!response.ok) throw new CliError(`pod ${pod.metadata?.name}: /config_dump answered ${response.status}`);
          return { node: pod.spec?.nodeName ?? '', pod: pod.metadata?.name ?? '', dump: (await response.json()) as ConfigDump };
        }),
      )),
    );
  }
  return dumps;
};
