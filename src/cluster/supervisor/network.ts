/** The cluster's private network: a bridge in the inner "host" namespace, one namespace per node, routes between the nodes' pods. */
import { spawnSync } from 'node:child_process';
import { NETWORK, nodeHostDir } from '../config.ts';
import { ClusterError } from '../error.ts';

export const nodeName = (index: number): string => `node${index}`;
export const nodeNetns = (index: number): string => `/run/netns/${nodeName(index)}`;

/** rp_filter off: redirected and re-marked packets of the mesh do not take the route back the strict check expects. */
const SYSCTLS = `
for f in all default; do echo 0 > /proc/sys/net/ipv4/conf/$f/rp_filter; done
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
`;

/** The shell script that builds it; errors stop it at once. */
export function networkScript(nodes: number): string {
  const lines = [
    'set -e',
    'ip link set lo up',
    SYSCTLS,
    `ip link add ${NETWORK.bridge} type bridge`,
    `ip addr add ${NETWORK.hostAddress}/${NETWORK.nodePrefix} dev ${NETWORK.bridge}`,
    `ip link set ${NETWORK.bridge} up`,
  ];
  const indexes = Array.from({ length: nodes }, (_, at) => at + 1);
  for (const index of indexes) {
    const name = nodeName(index);
    const address = NETWORK.nodeAddress(index);
    const routes = indexes
      .filter((other) => other !== index)
      .map((other) => `route add ${NETWORK.nodePodCidr(other)} via ${NETWORK.nodeAddress(other)}`);
    lines.push(
      `mkdir -p ${nodeHostDir(index)}`,
      `ip netns add ${name}`,
      `ip link add ln${index} type veth peer name eth0 netns ${name}`,
      `ip link set ln${index} master ${NETWORK.bridge}`,
      `ip link set ln${index} up`,
      `ip route add ${NETWORK.nodePodCidr(index)} via ${address}`,
      `nsenter --net=${nodeNetns(index)} sh -e <<'NODE'`,
      SYSCTLS,
      'ip -batch - <<BATCH',
      'link set lo up',
      `addr add ${address}/${NETWORK.nodePrefix} dev eth0`,
      'link set eth0 up',
      `route add default via ${NETWORK.hostAddress}`,
      ...routes,
      // On the loopback device: not every kernel has dummy devices.
      `addr add ${NETWORK.dnsService}/32 dev lo`,
      'BATCH',
      'NODE',
    );
  }
  return `${lines.join('\n')}\n`;
}

/** Covers /run with the cluster's own and builds the network. Runs inside the private namespaces. */
export function buildNetwork(nodes: number, env: Readonly<Record<string, string>>): void {
  const script = `set -e\nmount -t tmpfs -o mode=755 lateen /run\nmount --make-shared /run\nmkdir -p /run/netns /run/lateen\n${networkScript(nodes)}`;
  const run = spawnSync('sh', { input: script, env, encoding: 'utf8' });
  if (run.status !== 0) {
    throw new ClusterError(
      'START_FAILED',
      `The cluster's network could not be built: ${run.stderr.trim() || `sh ended with ${run.status ?? run.signal}`}.`,
    );
  }
}
