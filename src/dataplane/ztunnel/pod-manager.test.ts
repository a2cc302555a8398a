import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import {
  closeDescriptor,
  connectSeqpacket,
  listenSeqpacket,
  listenTcp,
  type SeqpacketConnection,
  type SeqpacketListener,
} from '../../platform/linux/index.ts';
import { expose, Logging, Registry } from '../../platform/telemetry/index.ts';
import { WorkloadRequestSchema, WorkloadResponseSchema, ZdsHelloSchema } from '../../protocol/messages/index.ts';
import { Readiness } from '../core/readiness.ts';
import { type AnnouncedPod, PodManager, READY_TASK } from './pod-manager.ts';

setDefaultTimeout(30_000);
const LIMIT_MS = 10_000;
const NAMESPACES = ['a', 'b'].map((name) => `pm-${process.pid}-${name}`);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pod-manager-'));

beforeAll(() => {
  for (const name of NAMESPACES) expect(Bun.spawnSync(['ip', 'netns', 'add', name]).exitCode).toBe(0);
});
afterAll(() => {
  for (const name of NAMESPACES) Bun.spawnSync(['ip', 'netns', 'del', name]);
  fs.rmSync(folder, { recursive: true });
});

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${LIMIT_MS} ms: ${what}`);
    await Bun.sleep(5);
  }
}

const openNamespace = (index = 0): number => fs.openSync(`/run/netns/${NAMESPACES[index]}`, 'r');
const openDescriptors = (): number => fs.readdirSync('/proc/self/fd').length;
const listen = (networkNamespace: number, port: number, reusePort = true): number =>
  listenTcp({ address: '0.0.0.0', port, networkNamespace, reusePort });

/** What serves a pod here: the three listeners of a proxy, in the pod's namespace. */
class Listeners {
  readonly pod: string;
  readonly #fds: number[] = [];
  constructor({ uid, namespace }: AnnouncedPod) {
    this.pod = uid;
    try {
      for (const port of [15_001, 15_006, 15_008]) this.#fds.push(listen(namespace, port));
    } catch (error) {
      this.close();
      throw error;
    }
  }
  close(): void {
    for (const fd of this.#fds.splice(0)) closeDescriptor(fd);
  }
}

type Payload = NonNullable<MessageInitShape<typeof WorkloadRequestSchema>['payload']>;
const info = { name: 'pod', namespace: 'ns', serviceAccount: 'sa' };
const addOf = (uid: string, workloadInfo: typeof info | null = info): Payload => ({
  case: 'add',
  value: workloadInfo ? { uid, workloadInfo } : { uid },
});
const SNAPSHOT: Payload = { case: 'snapshotSent', value: {} };
const del = (uid: string): Payload => ({ case: 'del', value: { uid } });
const keep = (uid: string): Payload => ({ case: 'keep', value: { uid } });
const bytesOf = (payload: Payload): Uint8Array => toBinary(WorkloadRequestSchema, create(WorkloadRequestSchema, { payload }));

/** The node agent's end of one connection. */
class AgentEnd {
  readonly #connection: SeqpacketConnection;
  constructor(connection: SeqpacketConnection) {
    this.#connection = connection;
  }
  /** The acknowledgement's error, empty when all is well. */
  async say(payload: Payload, namespace?: number): Promise<string> {
    return this.raw(bytesOf(payload), namespace);
  }
  /** Sends a descriptor of the namespace and closes its own. */
  async add(uid: string, index = 0): Promise<string> {
    return this.raw(bytesOf(addOf(uid)), openNamespace(index));
  }
  async raw(bytes: Uint8Array, fd?: number): Promise<string> {
    await this.#connection.send(bytes, fd);
    if (fd !== undefined) closeDescriptor(fd);
    const answer = await this.#connection.receive();
    if (!answer) throw new Error('the proxy closed without an answer');
    const { payload } = fromBinary(WorkloadResponseSchema, answer.bytes);
    if (payload.case !== 'ack') throw new Error('no acknowledgement');
    return payload.value.error;
  }
  async isClosed(): Promise<boolean> {
    return (await this.#connection.receive()) === null;
  }
  close(): void {
    this.#connection.close();
  }
}

/** A manager and the node agent it is connected to. */
class Bench {
  readonly telemetry = new Registry();
  readonly readiness = new Readiness();
  readonly fatal: Error[] = [];
  readonly manager: PodManager<Listeners>;
  readonly file = path.join(folder, `${Math.random()}.sock`);
  #listener: SeqpacketListener | undefined;
  readonly #running: Promise<void>;

  constructor() {
    this.listen();
    this.manager = new PodManager({
      connect: () => connectSeqpacket(this.file),
      open: (pod) => new Listeners(pod),
      readiness: this.readiness,
      telemetry: this.telemetry,
      level: 'info',
      log: new Logging({ filter: 'off' }).logger('test'),
      fatal: (error) => void this.fatal.push(error),
    });
    this.#running = this.manager.run();
  }

  listen(): void {
    this.#listener = listenSeqpacket(this.file);
  }
  stopListening(): void {
    this.#listener?.close();
  }
  /** The next connection, after its hello. */
  async agent(): Promise<AgentEnd> {
    const connection = await this.#listener!.accept();
    const hello = fromBinary(ZdsHelloSchema, (await connection!.receive())!.bytes);
    expect(hello.version).toBe(1);
    return new AgentEnd(connection!);
  }
  get isReady(): boolean {
    return !this.readiness.pending.includes(READY_TASK);
  }
  get served(): string[] {
    return [...this.manager.pods()].filter(({ server }) => server !== undefined).map(({ uid }) => uid);
  }
  count(name: string): number {
    const line = expose(this.telemetry, 'openmetrics')
      .split('\n')
      .find((one) => one.startsWith(`${name} `));
    return Number(line?.split(' ')[1]);
  }
  async close(): Promise<void> {
    this.manager.stop();
    this.stopListening();
    await this.#running;
    for (const { server } of this.manager.pods()) server?.close();
  }
}

const benches: Bench[] = [];
const bench = (): Bench => {
  const made = new Bench();
  benches.push(made);
  return made;
};
afterEach(async () => {
  for (const one of benches.splice(0)) await one.close();
});

test('serves a pod once it is added, and is ready only when the snapshot is complete', async () => {
  const b = bench();
  const agent = await b.agent();
  expect(await agent.add('a')).toBe('');
  expect([b.served, b.isReady]).toEqual([['a'], false]);
  expect(await agent.say(SNAPSHOT)).toBe('');
  expect(b.isReady).toBe(true);
  expect([b.count('workload_manager_active_proxy_count'), b.count('workload_manager_pending_proxy_count')]).toEqual([1, 0]);
});

test('the same pod in the same namespace is the same, in another namespace it is started anew', async () => {
  const b = bench();
  const agent = await b.agent();
  await agent.say(SNAPSHOT);
  expect([await agent.add('a'), await agent.add('a')]).toEqual(['', '']);
  expect(b.count('workload_manager_proxies_started_total')).toBe(1);
  const server = [...b.manager.pods()][0]?.server;
  expect(server).toBeDefined();
  expect(await agent.add('a', 1)).toBe('');
  expect([...b.manager.pods()].map((pod) => pod.server === server)).toEqual([false]);
  expect([b.count('workload_manager_proxies_started_total'), b.count('workload_manager_active_proxy_count')]).toEqual([2, 1]);
});

test('refuses a pod whose ports are taken, is not ready, and serves it within seconds once they are free', async () => {
  const b = bench();
  const namespace = openNamespace();
  const taken = listen(namespace, 15_001, false);
  const agent = await b.agent();
  await agent.say(SNAPSHOT);
  expect(await agent.add('a')).toContain('ns/pod: bind: EADDRINUSE');
  expect([b.isReady, b.served, b.count('workload_manager_pending_proxy_count')]).toEqual([false, [], 1]);
  expect(await agent.say(del('unknown'))).toBe('');
  closeDescriptor(taken);
  closeDescriptor(namespace);
  await until('the next try', () => b.isReady);
  expect([b.served, b.count('workload_manager_proxies_started_total')]).toEqual([['a'], 1]);
});

test('a pod that could not be served is served when it comes again, in the same namespace or another', async () => {
  const b = bench();
  const namespace = openNamespace();
  const taken = listen(namespace, 15_008, false);
  const agent = await b.agent();
  await agent.say(SNAPSHOT);
  expect(await agent.add('a')).toContain('EADDRINUSE');
  expect(await agent.add('a')).toContain('EADDRINUSE');
  expect(await agent.add('a', 1)).toBe('');
  expect([b.isReady, b.served]).toEqual([true, ['a']]);
  closeDescriptor(taken);
  closeDescriptor(namespace);
});

test('refuses a descriptor that is no network namespace, and forgets the pod when it is deleted', async () => {
  const b = bench();
  const agent = await b.agent();
  await agent.say(SNAPSHOT);
  expect(await agent.raw(bytesOf(addOf('a')), fs.openSync('/dev/null', 'r'))).toContain('ns/pod: setns: EINVAL');
  expect(b.isReady).toBe(false);
  expect(await agent.say(del('a'))).toBe('');
  expect(b.isReady).toBe(true);
});

test('a deletion before the snapshot takes an announcement back: what is served goes with the snapshot, what could not be at once', async () => {
  const b = bench();
  const agent = await b.agent();
  const namespace = openNamespace(1);
  const taken = listen(namespace, 15_001, false);
  expect(await agent.add('served')).toBe('');
  expect(await agent.add('pending', 1)).toContain('EADDRINUSE');
  expect([await agent.say(del('served')), await agent.say(del('pending')), await agent.say(del('unknown'))]).toEqual(['', '', '']);
  expect([b.served, b.count('workload_manager_pending_proxy_count')]).toEqual([['served'], 0]);
  expect(await agent.say(SNAPSHOT)).toBe('');
  expect([b.served, b.isReady]).toEqual([[], true]);
  closeDescriptor(taken);
  closeDescriptor(namespace);
});

test('after the agent has gone pods are served on, what could not be served is forgotten, and the next snapshot decides who stays', async () => {
  const b = bench();
  const first = await b.agent();
  await first.add('added again', 0);
  await first.say(SNAPSHOT);
  const namespace = openNamespace(1);
  const taken = listen(namespace, 15_001, false);
  expect(await first.add('pending', 1)).toContain('EADDRINUSE');
  closeDescriptor(taken);
  closeDescriptor(namespace);
  expect(await first.add('kept', 1)).toBe('');
  first.close();
  const second = await b.agent();
  expect([b.served, b.isReady, b.count('workload_manager_pending_proxy_count')]).toEqual([['added again', 'kept'], false, 0]);
  expect([await second.add('added again'), await second.say(keep('kept')), await second.say(SNAPSHOT)]).toEqual(['', '', '']);
  expect([b.served, b.isReady, b.count('workload_manager_proxies_started_total')]).toEqual([['added again', 'kept'], true, 2]);
  second.close();
  const third = await b.agent();
  expect([await third.say(keep('kept')), await third.say(keep('never seen')), await third.say(SNAPSHOT)]).toEqual(['', '', '']);
  expect([b.served, b.isReady, b.count('workload_manager_proxies_stopped_total')]).toEqual([['kept'], true, 1]);
});

test('finds the agent again when its socket was away for a while', async () => {
  const b = bench();
  const first = await b.agent();
  await first.say(SNAPSHOT);
  b.stopListening();
  first.close();
  await Bun.sleep(300);
  b.listen();
  const second = await b.agent();
  expect(await second.say(SNAPSHOT)).toBe('');
  expect(b.isReady).toBe(true);
});

test('asks less and less often when its hello cannot be sent, and is not ready', async () => {
  let tries = 0;
  const readiness = new Readiness();
  const manager = new PodManager({
    connect: () => {
      tries++;
      const file = path.join(folder, 'deaf.sock');
      const listener = listenSeqpacket(file);
      const connection = connectSeqpacket(file);
      listener.close(); // nobody will ever accept it
      return connection;
    },
    open: (pod) => new Listeners(pod),
    readiness,
    telemetry: new Registry(),
    level: 'info',
    log: new Logging({ filter: 'off' }).logger('test'),
    fatal: (error) => {
      throw error;
    },
  });
  const running = manager.run();
  await until('several tries', () => tries >= 5);
  const before = tries;
  await Bun.sleep(150); // the next delays are 160 ms and more
  expect(tries - before).toBeLessThanOrEqual(2);
  expect(readiness.pending).toEqual([READY_TASK]);
  manager.stop();
  await running;
});

describe('what means nothing is refused, and a new connection starts over while the pods are served', () => {
  const MESSAGES: readonly (readonly [string, () => readonly [Uint8Array, number?], string])[] = [
    ['undecodable octets', () => [new Uint8Array([0x0a, 0x7f])], 'undecodable'],
    ['a message without payload', () => [new Uint8Array([0x08 | (15 << 3), 1])], 'without payload'],
    ['an unknown payload', () => [new Uint8Array([0x32, 0])], 'without payload'],
    ['more than 1024 octets', () => [new Uint8Array(1025)], '1024'],
    ['more than 1024 octets with a descriptor', () => [new Uint8Array(1025), openNamespace()], '1024'],
    ['an addition without descriptor', () => [bytesOf(addOf('x'))], '0 descriptors'],
    ['a deletion with one', () => [bytesOf(del('a')), openNamespace()], 'takes none'],
    ['a keep with one', () => [bytesOf(keep('a')), openNamespace()], 'takes none'],
    ['the end of the snapshot with one', () => [bytesOf(SNAPSHOT), openNamespace()], 'takes none'],
    ['an addition of a uid as long as fits', () => [bytesOf(addOf('x'.repeat(990)))], '0 descriptors'],
  ];
  test.each(MESSAGES)('%s', async (_, message, reason) => {
    const b = bench();
    const agent = await b.agent();
    await agent.add('a');
    if (!reason.includes('snapshot')) await agent.say(del('nobody'));
    const refusal = await agent.raw(...message());
    // Of the longest uid only the begin comes back.
    if (refusal.length < 300) expect(refusal).toContain(reason);
    else expect(refusal.length).toBe(300);
    expect(await agent.isClosed()).toBe(true);
    const next = await b.agent();
    expect([b.served, b.isReady, b.fatal]).toEqual([['a'], false, []]);
    expect([await next.add('a'), await next.say(SNAPSHOT)]).toEqual(['', '']);
    expect([b.isReady, b.count('workload_manager_proxies_started_total')]).toEqual([true, 1]);
  });
});

describe('an agent that breaks the order of the protocol is refused, and the proxy cannot go on', () => {
  const ORDERS: readonly (readonly [string, (agent: AgentEnd) => Promise<string>, string])[] = [
    ['a second end of the snapshot', (agent) => agent.say(SNAPSHOT), 'second snapshot'],
    ['a keep after the snapshot', (agent) => agent.say(keep('a')), '"keep" after the snapshot'],
    ['an addition without workload', (agent) => agent.raw(bytesOf(addOf('a', null)), openNamespace()), 'without workload_info'],
  ];
  test.each(ORDERS)('%s', async (_, break_, reason) => {
    const b = bench();
    const agent = await b.agent();
    await agent.say(SNAPSHOT);
    expect(await break_(agent)).toContain(reason);
    await until('the end', () => b.fatal.length > 0);
    expect(b.fatal[0]!.message).toContain(reason);
  });
});

test('keeps no descriptor of thousands of refused messages', async () => {
  const b = bench();
  let agent = await b.agent();
  const before = openDescriptors();
  const refused = [bytesOf(del('a')), bytesOf(keep('a')), new Uint8Array(1025), new Uint8Array([0xff])];
  for (let i = 0; i < 3_000; i++) {
    expect(await agent.raw(refused[i % refused.length]!, openNamespace())).not.toBe('');
    agent.close();
    agent = await b.agent();
  }
  expect(openDescriptors()).toBe(before);
});

test('answers any sequence of messages, whatever they hold, and keeps a descriptor for each served pod only', async () => {
  const message = fc.oneof(
    fc.record({ bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }), withDescriptor: fc.boolean() }),
    fc.record({
      bytes: fc.constantFrom(
        ...['a', 'b'].flatMap((uid) => [addOf(uid), del(uid), keep(uid)]).map(bytesOf),
        bytesOf(SNAPSHOT),
        bytesOf(addOf('a', null)),
      ),
      withDescriptor: fc.boolean(),
    }),
  );
  const before = openDescriptors();
  await fc.assert(
    fc.asyncProperty(fc.array(message, { maxLength: 12 }), async (messages) => {
      const b = new Bench();
      try {
        let agent = await b.agent();
        for (const { bytes, withDescriptor } of messages) {
          if (b.fatal.length > 0) break;
          const refusal = await agent.raw(bytes, withDescriptor ? openNamespace() : undefined);
          await Bun.sleep(0);
          if (refusal === '' || b.fatal.length > 0) continue;
          // Refused, so either the connection is over or the proxy is.
          expect(await Promise.race([agent.isClosed(), until('the end', () => b.fatal.length > 0).then(() => true)])).toBe(true);
          agent.close();
          if (b.fatal.length === 0) agent = await b.agent();
        }
        agent.close();
      } finally {
        const isOver = b.fatal.length > 0;
        await b.close();
        if (isOver) expect(b.fatal.length).toBe(1);
        for (const { namespace } of b.manager.pods()) closeDescriptor(namespace);
      }
    }),
    { numRuns: 60 },
  );
  expect(openDescriptors()).toBe(before);
});
