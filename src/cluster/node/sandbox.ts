/** A pod's sandbox: a process that does nothing in a network namespace of its own, so that `/proc/<pid>/ns/net` exists while the pod does. */
import crypto from 'node:crypto';
import fs from 'node:fs';
import { messageOf } from '../error.ts';
import { type ProcessRef, processRef } from '../processes.ts';
import { runScript } from './run-script.ts';

export interface SandboxRequest {
  readonly uid: string;
  readonly hostname: string;
  /** Undefined: the pod uses the node's network. */
  readonly network: { readonly address: string; readonly gateway: string } | undefined;
  readonly env: Readonly<Record<string, string>>;
}

const PAUSE = 'echo "$1" > /proc/sys/kernel/hostname; exec sleep 2147483647';
const START_LIMIT_MS = 5_000;

/** Interface names have at most 15 characters. */
export const vethName = (uid: string): string => `lp${crypto.createHash('sha256').update(uid).digest('hex').slice(0, 11)}`;
export const netnsPath = (sandbox: ProcessRef): string => `/proc/${sandbox.pid}/ns/net`;

export async function createSandbox(request: SandboxRequest): Promise<ProcessRef> {
  const command =
    request.network === undefined
      ? ['sh', '-c', 'exec sleep 2147483647']
      : ['unshare', '--net', '--uts', 'sh', '-c', PAUSE, 'pause', request.hostname];
  const child = Bun.spawn(command, {
    env: { ...request.env },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'ignore',
    detached: true,
    cwd: '/',
  });
  child.unref();
  const ref = await untilPaused(child.pid);
  if (ref === undefined) throw new Error('the sandbox process ended at once');
  try {
    if (request.network !== undefined) await runScript(networkScript(ref.pid, vethName(request.uid), request.network), request.env);
  } catch (error) {
    process.kill(ref.pid, 'SIGKILL');
    throw new Error(`pod network: ${messageOf(error)}`, { cause: error });
  }
  return ref;
}

/** The process exists at once, but it is in its own namespace only when its last program runs. */
async function untilPaused(pid: number): Promise<ProcessRef | undefined> {
  const deadline = Date.now() + START_LIMIT_MS;
  while (Date.now() < deadline) {
    const ref = processRef(pid);
    if (ref === undefined) return undefined;
    if (programName(pid) === 'sleep') return ref;
    await Bun.sleep(2);
  }
  return undefined;
}

function programName(pid: number): string {
  try {
    return fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return ''; // ended
  }
}

export function networkScript(pid: number, veth: string, network: { readonly address: string; readonly gateway: string }): string {
  return `set -e
ip -batch - <<'NODE'
link add ${veth} type veth peer name eth0 netns ${pid}
addr add ${network.gateway}/32 dev ${veth}
link set ${veth} up
route add ${network.address}/32 dev ${veth}
NODE
nsenter --net=/proc/${pid}/ns/net sh -e <<'POD'
for f in all default; do echo 0 > /proc/sys/net/ipv4/conf/$f/rp_filter; done
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
ip -batch - <<'BATCH'
link set lo up
addr add ${network.address}/32 dev eth0
link set eth0 up
route add ${network.gateway} dev eth0 scope link
route add default via ${network.gateway} dev eth0
BATCH
POD
`;
}
