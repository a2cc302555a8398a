/** What a ztunnel needs around it, made small: a node agent that hands over namespaces, redirect rules, a static configuration. Works for Lateen's ztunnel and for Istio's. */
import fs from 'node:fs';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { listenSeqpacket } from '../src/platform/linux/index.ts';
import { WorkloadRequestSchema, WorkloadResponseSchema } from '../src/protocol/messages/index.ts';
import { nft, sh } from './shell.ts';

export interface PodOnNode {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Name of its network namespace. */
  readonly netns: string;
}

/** Listens on `file` as a node agent does and hands every pod to each ztunnel that connects. */
export function startZds(file: string, pods: readonly PodOnNode[]): { stop: () => void } {
  const listener = listenSeqpacket(file);
  void (async () => {
    for (;;) {
      const connection = await listener.accept();
      if (connection === null) return;
      const hello = await connection.receive();
      if (hello === null) continue;
      const ask = async (payload: Parameters<typeof create<typeof WorkloadRequestSchema>>[1], fd?: number) => {
        await connection.send(toBinary(WorkloadRequestSchema, create(WorkloadRequestSchema, payload)), fd);
        const answer = await connection.receive();
        const ack = answer && fromBinary(WorkloadResponseSchema, answer.bytes).payload;
        if (ack?.case !== 'ack' || ack.value.error !== '')
          throw new Error(`ztunnel refused a pod: ${ack?.value?.error ?? 'connection closed'}`);
      };
      for (const pod of pods) {
        const fd = fs.openSync(`/run/netns/${pod.netns}`, 'r');
        await ask(
          {
            payload: {
              case: 'add',
              value: { uid: pod.uid, workloadInfo: { name: pod.name, namespace: pod.namespace, serviceAccount: pod.serviceAccount } },
            },
          },
          fd,
        );
        fs.closeSync(fd);
      }
      await ask({ payload: { case: 'snapshotSent', value: {} } });
    }
  })();
  return { stop: () => listener.close() };
}

/** The redirect rules of a pod in the mesh (ambient contract 6.3, IPv4), as its node agent would write them. */
export function ambientRedirect(netns: string): void {
  nft(
    netns,
    `table inet ambient {
  chain mangle-in { type filter hook prerouting priority mangle; meta mark & 0xfff == 0x539 ct mark set 0x111; }
  chain mangle-out { type route hook output priority -150; ct mark & 0xfff == 0x111 meta mark set ct mark; }
  chain nat-in { type nat hook prerouting priority dstnat; ip daddr != 127.0.0.1 tcp dport != 15008 meta mark & 0xfff != 0x539 redirect to :15006; }
  chain nat-out {
    type nat hook output priority -100;
    meta l4proto tcp meta mark & 0xfff == 0x111 accept
    oifname "lo" ip daddr != 127.0.0.1 accept
    ip daddr != 127.0.0.1 meta l4proto tcp meta mark & 0xfff != 0x539 redirect to :15001
  }
}
`,
  );
  sh('ip', '-n', netns, 'rule', 'add', 'fwmark', '0x111/0xfff', 'pref', '32764', 'lookup', '100');
  sh('ip', '-n', netns, 'route', 'add', 'local', '0.0.0.0/0', 'dev', 'lo', 'table', '100');
}

interface At {
  readonly ip: string;
  readonly node: string;
}

/** One workload that takes HBONE; `services` as in `LOCAL_XDS_PATH`. */
const workload = (name: string, at: At, services = '{}') => `- uid: Kubernetes//Pod/bench/${name}
  name: ${name}
  namespace: bench
  serviceAccount: ${name}
  trustDomain: cluster.local
  workloadIps: [${at.ip}]
  protocol: HBONE
  node: ${at.node}
  network: ""
  canonicalName: ${name}
  canonicalRevision: latest
  workloadName: ${name}
  workloadType: POD
  status: Healthy
  clusterId: Kubernetes
  services: ${services}
`;

const policy = (...accounts: string[]) => `policies:
- name: allow-client
  namespace: bench
  scope: Namespace
  action: Allow
  dryRun: false
  rules:
  - - - principals:
${accounts.map((account) => `        - !Exact cluster.local/ns/bench/sa/${account}\n`).join('')}`;

/** A static configuration (`LOCAL_XDS_PATH`) with workloads that take HBONE, and one policy so that authorisation has something to decide: it allows the clients. */
export function localConfig(pods: Readonly<Record<string, At>>, clients: readonly string[] = ['client']): string {
  return `workloads:
${Object.entries(pods)
  .map(([name, at]) => workload(name, at))
  .join('')}services: []
${policy(...clients)}`;
}

export const SERVICE = 'app.bench.svc.cluster.local';
const WAYPOINT_SERVICE = 'waypoint.bench.svc.cluster.local';

/** The same with a service behind a waypoint. `speaks` is a key only Lateen's waypoint knows. */
export function waypointConfig(client: At, server: At, waypoint: At, vip: string, port: number, speaks?: string): string {
  const own = `{"bench/${SERVICE}": {${port}: ${port}}}`;
  return `workloads:
${workload('client', client)}${workload('server', server, own)}${workload('waypoint', waypoint, `{"bench/${WAYPOINT_SERVICE}": {15008: 15008}}`)}services:
- name: waypoint
  namespace: bench
  hostname: ${WAYPOINT_SERVICE}
  vips: []
  ports: {15008: 15008}
- name: app
  namespace: bench
  hostname: ${SERVICE}
  vips: [/${vip}]
  ports: {${port}: ${port}}
${speaks === undefined ? '' : `  appProtocols: {${port}: ${speaks}}\n`}  waypoint:
    destination: bench/${WAYPOINT_SERVICE}
    hboneMtlsPort: 15008
${policy('client', 'waypoint')}`;
}
