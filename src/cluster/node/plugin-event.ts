/** The mesh's node agent is told of a new pod before any of its containers runs, as a chained CNI plugin would. */
import fs from 'node:fs';
import path from 'node:path';
import type { Pod } from '../../platform/kubernetes/index.ts';
import { messageOf } from '../error.ts';

const SOCKET = 'var/run/istio-cni/pluginevent.sock';
const LIMIT_MS = 30_000;

/** Undefined when the agent accepted the pod or there is none; otherwise why the pod cannot start. */
export async function announcePod(hostDir: string, pod: Pod, netns: string, ips: readonly string[]): Promise<string | undefined> {
  const unix = path.join(hostDir, SOCKET);
  if (!fs.existsSync(unix)) return undefined;
  const body = JSON.stringify({
    podNamespace: pod.metadata?.namespace ?? 'default',
    podName: pod.metadata?.name ?? '',
    podUID: pod.metadata?.uid ?? '',
    netns,
    ips,
  });
  try {
    const response = await fetch('http://localhost/cmdadd', {
      unix,
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    const text = (await response.text()).slice(0, 512).trim();
    return response.status === 200 ? undefined : `the mesh's node agent refused the pod: ${response.status} ${text}`;
  } catch (error) {
    return `the mesh's node agent does not answer on ${SOCKET}: ${messageOf(error)}. It is tried again; see the pod istio-cni-node of this node`;
  }
}
