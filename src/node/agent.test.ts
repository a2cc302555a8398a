import { afterEach, beforeEach, expect, setDefaultTimeout, test } from 'bun:test';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { connectSeqpacket, namespaceInode, runNft, type SeqpacketConnection } from '../platform/linux/index.ts';
import { Logging, Registry } from '../platform/telemetry/index.ts';
import { Version } from '../protocol/index.ts';
import { AckSchema, WorkloadRequestSchema, WorkloadResponseSchema, ZdsHelloSchema } from '../protocol/messages/index.ts';
import { Agent } from './agent.ts';
import { agentMetrics } from './agent-metrics.ts';
import { type PodWriter, REDIRECTION } from './annotate.ts';
import { type FindResult, openVerified } from './netns-finder.ts';
import { type PodView, RULE_DEFAULTS } from './pod-view.ts';
import { DEFAULT_PROBE_RULES, HOST_TABLE, HostProbeRules } from './probe-rules.ts';
import { applyRedirection, inspectRedirection } from './redirection.ts';
import { DEFAULT_POD_RULES } from './rules.ts';
import { NODE_IP, POD_IP, TestNetwork } from './testing.ts';
import { ZdsServer } from './zds-server.ts';

const LIMIT_MS = 20_000;
const POD: PodView = {
  uid: '11111111-2222-3333-4444-555555555555',
  name: 'app-1',
  namespace: 'shop',
  serviceAccount: 'app',
  ips: [POD_IP],
  hostNetwork: false,
  isTerminal: false,
  labels: {},
  annotations: {},
};

/** A proxy of one connection: records what it is told and acknowledges, or refuses with `refusal`. */
class FakeProxy {
  readonly told: string[] = [];
  refusal = '';
  readonly inodes: number[] = [];
  readonly #connection: SeqpacketConnection;
  constructor(file: string) {
    this.#connection = connectSeqpacket(file);
    void this.#run();
  }
  async #run() {
    await this.#connection.send(toBinary(ZdsHelloSchema, create(ZdsHelloSchema, { version: Version.V1 })));
    for (let message = await this.#connection.receive(); message; message = await this.#connection.receive()) {
      const { payload } = fromBinary(WorkloadRequestSchema, message.bytes);
      const uid = payload.case === 'snapshotSent' || payload.case === undefined ? '' : payload.value.uid;
      this.told.push(`${payload.case} ${uid === POD.uid ? 'pod' : uid}`.trim());
      for (const fd of message.fds) {
        this.inodes.push(namespaceInode(fd));
        fs.closeSync(fd);
      }
      const error = payload.case === 'add' ? this.refusal : '';
      await this.#connection.send(
        toBinary(WorkloadResponseSchema, create(WorkloadResponseSchema, { payload: { case: 'ack', value: create(AckSchema, { error }) } })),
      );
    }
  }
  close() {
    this.#connection.close();
  }
}

// Namespaces and nft take long on a busy machine.
setDefaultTimeout(60_000);
let net: TestNetwork;
let folder: string;
const cleanups: (() => void)[] = [];
beforeEach(() => {
  net = new TestNetwork();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'na-agent-'));
});
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
  net.close();
  fs.rmSync(folder, { recursive: true });
});

async function until(what: string, condition: () => boolean | Promise<boolean>) {
  const deadline = performance.now() + LIMIT_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${LIMIT_MS} ms: ${what}`);
    await Bun.sleep(5);
  }
}

function setUp(options: { find?: () => FindResult; known?: readonly (readonly [PodView, boolean])[] } = {}) {
  const annotations: (string | undefined)[] = [];
  const events: string[] = [];
  const writer: PodWriter = {
    annotate: async (_, value) => {
      annotations.push(value);
    },
    event: (_, reason, message) => {
      events.push(`${reason}: ${message}`);
    },
  };
  const logging = new Logging({ filter: 'off' });
  const agent = new Agent({
    log: logging.logger('node'),
    metrics: agentMetrics(new Registry()),
    writer,
    probes: new HostProbeRules(DEFAULT_PROBE_RULES, net.node),
    rules: RULE_DEFAULTS,
    findNamespace: options.find ?? ((_, ips) => openVerified(net.podPath, ips)),
    drainLimitMs: 2_000,
    drainQuietMs: 0,
  });
  agent.recover(options.known ?? []);
  const file = path.join(folder, `zds${cleanups.length}.sock`);
  const zds = new ZdsServer({
    path: file,
    log: logging.logger('zds'),
    snapshot: () => agent.snapshot(),
    onSynced: (refused) => agent.proxySynced(refused),
    onConnectedChange: (connected) => agent.proxiesChanged(connected),
  });
  agent.start(zds);
  cleanups.push(() => {
    agent.stop();
    zds.close();
  });
  const proxy = () => {
    const made = new FakeProxy(file);
    cleanups.push(() => made.close());
    return made;
  };
  return { agent, annotations, events, proxy, zds };
}

const rules = () => inspectRedirection(net.pod, DEFAULT_POD_RULES);

test('takes a running pod in: proxy first, then rules, then the annotation, and lets probes through', async () => {
  const { agent, annotations, proxy, zds } = setUp();
  const ztunnel = proxy();
  await until('snapshot', () => zds.isSynced);
  expect(ztunnel.told).toEqual(['snapshotSent']);
  agent.update(POD, true);
  await until('annotation', () => annotations.length > 0);
  expect(ztunnel.told).toEqual(['snapshotSent', 'add pod']);
  expect(ztunnel.inodes).toEqual([namespaceInode(net.pod)]);
  expect(await rules()).toBe('current');
  expect(annotations).toEqual(['enabled']);
  net.serve(net.pod, 'app', 8080);
  expect((await net.connect(net.node, POD_IP, 8080)).greeting).toStartWith('app ');
});

test('leaves a running pod alone and says pending while no proxy is connected, and goes on when one comes', async () => {
  const { agent, annotations, proxy } = setUp();
  agent.update(POD, true);
  await until('pending', () => annotations.length > 0);
  expect(annotations).toEqual(['pending']);
  expect(await rules()).toBe('none');
  const ztunnel = proxy();
  await until('enabled', () => annotations.length > 1);
  expect(annotations).toEqual(['pending', 'enabled']);
  expect(ztunnel.told).toEqual(['add pod', 'snapshotSent']);
  expect(await rules()).toBe('current');
});

test('writes no rules for a pod the proxy refuses, says so, and tries again', async () => {
  const { agent, annotations, events, proxy, zds } = setUp();
  const ztunnel = proxy();
  await until('snapshot', () => zds.isSynced);
  ztunnel.refusal = 'cannot bind';
  agent.update(POD, true);
  await until('event', () => events.length > 0);
  expect(events[0]).toBe('ZtunnelRefused: ztunnel cannot serve the pod: cannot bind');
  expect(annotations).toEqual(['pending']);
  expect(await rules()).toBe('none');
  ztunnel.refusal = '';
  await until('enabled', () => annotations.includes('enabled'));
  expect(await rules()).toBe('current');
});

test('takes a pod out without cutting its connections: annotation, drain, deletion, removal', async () => {
  const before = net.state();
  const { agent, annotations, proxy, zds } = setUp();
  const ztunnel = proxy();
  net.serve(net.pod, 'outbound', 15001);
  net.serve(net.node, 'remote', 9000);
  await until('snapshot', () => zds.isSynced);
  agent.update(POD, true);
  await until('enabled', () => annotations.length > 0);
  const open = await net.connect(net.pod, NODE_IP, 9000);
  expect(open.greeting).toStartWith('outbound ');
  agent.update({ ...POD, annotations: { [REDIRECTION]: 'enabled' } }, false);
  await until('draining', async () => (await inspectRedirection(net.pod, { ...DEFAULT_POD_RULES, draining: true })) === 'current');
  expect(annotations).toEqual(['enabled', undefined]);
  expect(await open.echo('still open')).toBe('still open');
  expect(ztunnel.told).not.toContain('del pod');
  open.socket.end();
  await until('rules removed', async () => net.state() === before);
  expect(ztunnel.told.at(-1)).toBe('del pod');
});

test('stops draining when the pod is wanted again', async () => {
  const { agent, annotations, proxy, zds } = setUp();
  const ztunnel = proxy();
  net.serve(net.pod, 'outbound', 15001);
  await until('snapshot', () => zds.isSynced);
  agent.update(POD, true);
  await until('enabled', () => annotations.length > 0);
  const open = await net.connect(net.pod, NODE_IP, 9000);
  agent.update({ ...POD, annotations: { [REDIRECTION]: 'enabled' } }, false);
  await until('annotation removed', () => annotations.length > 1);
  agent.update(POD, true);
  await until('enabled again', () => annotations.length > 2);
  expect(await rules()).toBe('current');
  expect(await open.echo('never cut')).toBe('never cut');
  expect(ztunnel.told).not.toContain('del pod');
});

test('a new agent finds a working pod again, changes nothing in it and announces it in the snapshot', async () => {
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  const before = net.inPod('nft', '-a', 'list', 'ruleset');
  const { annotations, events, proxy, zds } = setUp({ known: [[{ ...POD, annotations: { [REDIRECTION]: 'enabled' } }, true]] });
  const ztunnel = proxy();
  await until('snapshot', () => zds.isSynced);
  expect(ztunnel.told).toEqual(['add pod', 'snapshotSent']);
  await Bun.sleep(50);
  expect(net.inPod('nft', '-a', 'list', 'ruleset')).toBe(before);
  expect([annotations, events]).toEqual([[], []]);
});

test('a new agent cleans a pod an old one left half-way out', async () => {
  const before = net.state();
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  setUp({ known: [[POD, false]] });
  await until('rules removed', async () => net.state() === before);
});

test('tells the proxy to keep a pod whose namespace cannot be found, and reports it', async () => {
  const { events, proxy, zds } = setUp({ find: () => ({ ok: false, error: 'nowhere' }), known: [[POD, true]] });
  const ztunnel = proxy();
  await until('snapshot', () => zds.isSynced);
  expect(ztunnel.told).toEqual(['keep pod', 'snapshotSent']);
  await until('event', () => events.length > 0);
  expect(events[0]).toBe('NetworkNamespaceNotFound: the pod cannot be put into the mesh: nowhere');
});

test('sends additions to the latest proxy, deletions to all, and everything again to one that reconnects', async () => {
  const { agent, annotations, proxy, zds } = setUp();
  const old = proxy();
  await until('first', () => zds.connected === 1);
  const latest = proxy();
  await until('second', () => zds.connected === 2 && zds.isSynced);
  agent.update(POD, true);
  await until('enabled', () => annotations.includes('enabled'));
  expect([old.told, latest.told]).toEqual([['snapshotSent'], ['snapshotSent', 'add pod']]);
  const next = proxy();
  await until('third', () => next.told.includes('snapshotSent'));
  expect(next.told).toEqual(['add pod', 'snapshotSent']);
  agent.remove(POD.uid);
  await until('deletion everywhere', () => [old, latest, next].every(({ told }) => told.at(-1) === 'del pod'));
});

test('admits a new pod with rules and proxy, and refuses it without a proxy leaving nothing behind', async () => {
  const before = net.state();
  const { agent, annotations, proxy, zds } = setUp();
  const sandbox = { netnsPath: net.podPath, ips: [POD_IP] };
  expect(await agent.admit({ ...POD, ips: [] }, sandbox)).toBe('no ztunnel is connected to this node agent');
  expect(net.state()).toBe(before);
  const ztunnel = proxy();
  await until('snapshot', () => zds.isSynced);
  expect(ztunnel.told).toEqual(['snapshotSent']);
  expect(await agent.admit({ ...POD, ips: [] }, sandbox)).toBeUndefined();
  expect(ztunnel.told).toEqual(['snapshotSent', 'add pod']);
  expect(await rules()).toBe('current');
  await until('enabled', () => annotations.includes('enabled'));
  expect(ztunnel.told).toEqual(['snapshotSent', 'add pod']);
});

test('refuses a sandbox that is not the pod’s', async () => {
  const { agent, proxy, zds } = setUp();
  proxy();
  await until('snapshot', () => zds.isSynced);
  expect(await agent.admit(POD, { netnsPath: net.podPath, ips: ['10.9.9.9'] })).toContain("none of the pod's addresses 10.9.9.9");
  expect(await agent.admit(POD, { netnsPath: '/proc/self/ns/net', ips: [POD_IP] })).toContain('the node itself');
  expect(await agent.admit(POD, { netnsPath: path.join(folder, 'none'), ips: [POD_IP] })).toContain('cannot be opened');
});

test('takes the pod from the proxy when its network goes, and in again with the next sandbox', async () => {
  const { agent, proxy, zds } = setUp();
  const ztunnel = proxy();
  await until('snapshot', () => zds.isSynced);
  const sandbox = { netnsPath: net.podPath, ips: [POD_IP] };
  expect(await agent.admit(POD, sandbox)).toBeUndefined();
  await agent.dismiss(POD.uid);
  expect(ztunnel.told.slice(1)).toEqual(['add pod', 'del pod']);
  expect(await agent.admit(POD, sandbox)).toBeUndefined();
  expect(ztunnel.told.slice(1)).toEqual(['add pod', 'del pod', 'add pod']);
});

test('honours the annotations of a pod and reports those it cannot', async () => {
  const { agent, events, annotations, proxy, zds } = setUp();
  proxy();
  await until('snapshot', () => zds.isSynced);
  const wishes = {
    'ambient.istio.io/bypass-inbound-capture': 'true',
    'ambient.istio.io/dns-capture': 'maybe',
    'istio.io/reroute-virtual-interfaces': 'br0, no"pe',
  };
  agent.update({ ...POD, annotations: wishes }, true);
  await until('enabled', () => annotations.includes('enabled'));
  expect(await inspectRedirection(net.pod, { ...DEFAULT_POD_RULES, bypassInbound: true, virtualInterfaces: ['br0'] })).toBe('current');
  expect(events).toEqual([
    expect.stringContaining('"no"pe" is not the name of an interface'),
    expect.stringContaining('"maybe" is neither "true" nor "false"'),
  ]);
});

test('keeps the node’s probe rules whole over a restart of the agent', async () => {
  await new HostProbeRules(DEFAULT_PROBE_RULES, net.node).set('old', [POD_IP]);
  setUp({ known: [[{ ...POD, annotations: { [REDIRECTION]: 'enabled' } }, true]] });
  net.serve(net.pod, 'app', 8080);
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  for (let i = 0; i < 10; i++) expect((await net.connect(net.node, POD_IP, 8080)).greeting).toStartWith('app ');
  await runNft(`delete table inet ${HOST_TABLE}`, net.node);
});
