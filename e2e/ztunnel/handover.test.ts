/**
 * One node proxy takes over from another on the same node, behind the real node agent: its rules, its ZDS server, its enrolment. Each proxy runs in a
 * namespace of its own, as pods of a DaemonSet do while it is updated. With a real ztunnel as either of them when `ZTUNNEL_BIN` names one.
 */
import { afterEach, describe, expect, test } from 'bun:test';
import fs from 'node:fs';
import path from 'node:path';
import { Agent } from '../../src/node/agent.ts';
import { agentMetrics } from '../../src/node/agent-metrics.ts';
import { REDIRECTION } from '../../src/node/annotate.ts';
import { openVerified } from '../../src/node/netns-finder.ts';
import { type PodView, RULE_DEFAULTS } from '../../src/node/pod-view.ts';
import { DEFAULT_PROBE_RULES, HostProbeRules } from '../../src/node/probe-rules.ts';
import { ZdsServer } from '../../src/node/zds-server.ts';
import { Logging, Registry } from '../../src/platform/telemetry/index.ts';
import { dial, echo, type Peer, type ServerHandle, serve } from './apps.ts';
import { LATEEN, Lab, type TestProxy, until } from './lab.ts';
import type { Pod } from './network.ts';

const REAL = process.env['ZTUNNEL_BIN'] ?? '';
/** New connections in flight at once while the proxies change. */
const CLIENTS = 32;
/** How long the goodbye on a tunnel may be under way on a busy machine. */
const GOODBYE_MS = 1_000;

/** The node agent of one node, told what pods there are. */
class NodeAgent {
  readonly socket: string;
  readonly annotations = new Map<string, string | undefined>();
  readonly zds: ZdsServer;
  readonly agent: Agent;
  readonly #node: number;

  constructor(lab: Lab, nodeNamespace: string, pods: readonly Pod[]) {
    this.socket = path.join(lab.directory, 'agent.sock');
    this.#node = fs.openSync(`/run/netns/${nodeNamespace}`, 'r');
    const log = new Logging({ filter: process.env['LATEEN_E2E_LOG'] ? 'debug' : 'off' }).logger('node');
    this.agent = new Agent({
      log,
      metrics: agentMetrics(new Registry()),
      writer: { annotate: async (pod, value) => void this.annotations.set(pod.name, value), event: () => {} },
      probes: new HostProbeRules(DEFAULT_PROBE_RULES, this.#node),
      rules: RULE_DEFAULTS,
      findNamespace: (uid, ips) => {
        const pod = pods.find((one) => uid === `uid-${one.name}`);
        return pod ? openVerified(`/run/netns/${pod.namespace}`, ips) : { ok: false, error: 'no such pod' };
      },
      drainLimitMs: 5_000,
      drainQuietMs: 0,
    });
    this.agent.recover([]);
    this.zds = new ZdsServer({
      path: this.socket,
      log,
      snapshot: () => this.agent.snapshot(),
      onSynced: (refused) => this.agent.proxySynced(refused),
      onConnectedChange: (connected) => this.agent.proxiesChanged(connected),
    });
    this.agent.start(this.zds);
  }

  enrol(pod: Pod): Promise<true> {
    this.agent.update(viewOf(pod), true);
    return until(`${pod.name} to be enrolled`, () => this.annotations.get(pod.name) === 'enabled');
  }

  close(): void {
    this.agent.stop();
    this.zds.close();
    fs.closeSync(this.#node);
  }
}

const viewOf = (pod: Pod): PodView => ({
  uid: `uid-${pod.name}`,
  name: pod.name,
  namespace: 'default',
  serviceAccount: pod.name,
  ips: [pod.ip],
  hostNetwork: false,
  isTerminal: false,
  labels: {},
  annotations: {},
});

/** Clients that connect, ask once and leave, again and again; what went wrong is kept. */
class Load {
  done = 0;
  readonly failures: { readonly startedAt: number; readonly error: string }[] = [];
  #stopping = false;
  readonly #clients: Promise<void>[];

  constructor(from: Pod, to: Pod) {
    this.#clients = Array.from({ length: CLIENTS }, async (_, index) => {
      while (!this.#stopping) {
        const startedAt = performance.now();
        try {
          const peer = dial(from, to.ip, 8080);
          await peer.connected.promise;
          peer.send(`question ${index}`);
          await peer.bytes(10);
          peer.finish();
          const error = await peer.closed.promise;
          if (error) throw error;
          this.done++;
        } catch (error) {
          this.failures.push({ startedAt, error: (error as Error).message });
        }
      }
    });
  }

  /** Goes on until this many more connections are done. */
  async more(count: number): Promise<void> {
    const goal = this.done + count;
    await until(
      `${count} more connections (${this.failures.length} failed)`,
      () => this.done >= goal || this.failures.length > 100,
      60_000,
    );
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#clients);
  }
}

describe.each([
  ['ours takes over from ours', LATEEN, LATEEN],
  ['ours of two processes takes over from ours of two', LATEEN, LATEEN, { ZTUNNEL_WORKER_THREADS: '2' }],
  ['ours takes over from a real one', REAL, LATEEN],
  ['a real one takes over from ours', LATEEN, REAL],
] as [string, string, string, Record<string, string>?][])('%s', (name, oldProgram, newProgram, env: Record<string, string> = {}) => {
  let lab: Lab | undefined;
  let agent: NodeAgent | undefined;
  let server: ServerHandle | undefined;
  afterEach(() => {
    server?.close();
    agent?.close();
    lab?.stop();
  });

  test.skipIf(oldProgram === '' || newProgram === '')(
    oldProgram === '' || newProgram === ''
      ? `not run: ZTUNNEL_BIN names no real ztunnel (${name})`
      : 'no new connection fails, and the old one’s end with it',
    async () => {
      lab = new Lab('zt-h', '10.79');
      const node = lab.network.addNode(1);
      const elsewhere = lab.network.addNode(2);
      const pods = ['client', 'server'].map((pod, i) => lab!.network.addPod(node, pod, 10 + i)) as [Pod, Pod];
      await lab.start();
      for (const pod of pods) lab.workload(pod, pod.name);
      await lab.push();
      agent = new NodeAgent(lab, node.namespace, pods);
      server = serve(pods[1], 8080, echo());
      const begin = async (proxy: TestProxy, program: string) => {
        proxy.program = program;
        proxy.start({ INPOD_UDS: agent!.socket, NODE_NAME: node.name, ...env });
        await proxy.ready();
      };
      const old = lab.addProxy(node);
      await begin(old, oldProgram);
      for (const pod of pods) await agent.enrol(pod);
      const lasting: Peer = dial(pods[0], pods[1].ip, 8080);
      await lasting.connected.promise;
      lasting.send('x');
      await lasting.bytes(1);

      const load = new Load(...pods);
      await load.more(300);
      const next = lab.addProxy(elsewhere);
      await begin(next, newProgram);
      await load.more(300);
      expect(agent.zds.connected).toBe(2);
      old.process.kill('SIGTERM');
      await until('the old one to leave the agent', () => agent!.zds.connected === 1);
      const leftAt = performance.now();
      await load.more(300);
      lasting.send('y');
      await lasting.bytes(2);
      lasting.finish();
      await lasting.closed.promise;
      expect(await old.process.exited).toBe(0);
      await load.more(300);
      await load.stop();
      // A real ztunnel takes no stream that arrives while it says goodbye on a tunnel, and ends it at its deadline: nobody else can help those.
      const failures = oldProgram === REAL ? load.failures.filter(({ startedAt }) => startedAt > leftAt + GOODBYE_MS) : load.failures;
      expect(failures).toEqual([]);
      expect(next.lines('connection complete', 'direction="outbound"').filter((line) => line.includes('dst.addr')).length).toBeGreaterThan(
        100,
      );
      agent.agent.update({ ...viewOf(pods[0]), annotations: { [REDIRECTION]: 'enabled' } }, false);
      await until('the pod to leave', () => agent!.annotations.get('client') === undefined);
    },
    120_000,
  );
});
