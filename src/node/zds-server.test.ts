import { afterEach, beforeEach, expect, setDefaultTimeout, test } from 'bun:test';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { connectSeqpacket, type SeqpacketConnection } from '../platform/linux/index.ts';
import { Logging } from '../platform/telemetry/index.ts';
import { Version } from '../protocol/index.ts';
import { AckSchema, WorkloadRequestSchema, WorkloadResponseSchema, ZdsHelloSchema } from '../protocol/messages/index.ts';
import { MAX_PROXIES, type SnapshotEntry, ZdsServer } from './zds-server.ts';

setDefaultTimeout(60_000);
const HELLO = toBinary(ZdsHelloSchema, create(ZdsHelloSchema, { version: Version.V1 }));
const ackOf = (error: string): Uint8Array =>
  toBinary(WorkloadResponseSchema, create(WorkloadResponseSchema, { payload: { case: 'ack', value: create(AckSchema, { error }) } }));
const workload = { uid: 'uid', name: 'n', namespace: 'ns', serviceAccount: 'sa' };

let folder: string;
let server: ZdsServer;
let snapshot: SnapshotEntry[];
let synced: (readonly string[])[];
let netns: number;
const clients: Client[] = [];
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'zds-server-'));
  netns = fs.openSync('/proc/self/ns/net', 'r');
  snapshot = [];
  synced = [];
  server = new ZdsServer({
    path: path.join(folder, 'zds.sock'),
    log: new Logging({ filter: 'off' }).logger('zds'),
    snapshot: () => snapshot,
    onSynced: (refused) => void synced.push([...refused].map(([uid, reason]) => `${uid}: ${reason}`)),
    onConnectedChange: () => {},
  });
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  server.close();
  fs.closeSync(netns);
  fs.rmSync(folder, { recursive: true });
});

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    if (i > 4000) throw new Error(`in vain: ${what}`);
    await Bun.sleep(5);
  }
}
const openDescriptors = (): number => fs.readdirSync('/proc/self/fd').length;

/** A proxy's end: does only what a test tells it. */
class Client {
  readonly connection: SeqpacketConnection = connectSeqpacket(path.join(folder, 'zds.sock'));
  constructor() {
    clients.push(this);
  }
  hello(): Promise<void> {
    return this.connection.send(HELLO);
  }
  /** What the next request is about, its descriptor closed; undefined at the end of the connection. */
  async request(): Promise<string | undefined> {
    const message = await this.connection.receive();
    if (!message) return undefined;
    for (const fd of message.fds) fs.closeSync(fd);
    const { payload } = fromBinary(WorkloadRequestSchema, message.bytes);
    return `${payload.case}${message.fds.length > 0 ? ' with a descriptor' : ''}`;
  }
  ack(error = ''): Promise<void> {
    return this.connection.send(ackOf(error));
  }
  /** Says hello and acknowledges everything; gives what it was told so far. */
  follow(refuse: (request: string) => string = () => ''): string[] {
    const told: string[] = [];
    void (async () => {
      await this.hello();
      for (let request = await this.request(); request !== undefined; request = await this.request()) {
        told.push(request);
        await this.ack(refuse(request));
      }
      told.push('end');
    })();
    return told;
  }
  close(): void {
    this.connection.close();
  }
}

test('one request is outstanding at a time: the snapshot in order, with a descriptor for additions only, then changes', async () => {
  snapshot = [{ workload, netns }, { keep: 'lost' }];
  const client = new Client();
  await client.hello();
  expect(await client.request()).toBe('add with a descriptor');
  const change = server.del('other');
  const asked = client.request();
  expect(await Promise.race([asked, Bun.sleep(50).then(() => 'nothing')])).toBe('nothing');
  await client.ack();
  expect(await asked).toBe('keep');
  await client.ack();
  expect(await client.request()).toBe('snapshotSent');
  expect(server.isSynced).toBe(false);
  await client.ack();
  expect(await client.request()).toBe('del');
  await client.ack();
  await change;
  expect([server.isSynced, synced]).toEqual([true, [[]]]);
});

test('reports the pods a proxy refused in its snapshot, and keeps the connection', async () => {
  snapshot = [{ workload, netns }];
  const told = new Client().follow((request) => (request.startsWith('add') ? 'no room' : ''));
  await until('the snapshot', () => synced.length > 0);
  expect([synced, told]).toEqual([[['uid: no room']], ['add with a descriptor', 'snapshotSent']]);
  expect(await server.add(workload, netns)).toBe('no room');
  expect(server.connected).toBe(1);
});

test('additions go to the latest proxy, deletions to all; when the latest has gone the one before is the latest again', async () => {
  const [first, second] = [new Client(), new Client()];
  const told = [first.follow()];
  await until('the first', () => server.isSynced);
  told.push(second.follow());
  await until('the second', () => server.connected === 2 && server.isSynced);
  expect(await server.add(workload, netns)).toBeUndefined();
  await server.del('uid');
  expect(told).toEqual([
    ['snapshotSent', 'del'],
    ['snapshotSent', 'add with a descriptor', 'del'],
  ]);
  second.close();
  await until('its end', () => server.connected === 1);
  expect([await server.add(workload, netns), told[0]!.at(-1)]).toEqual([undefined, 'add with a descriptor']);
});

test('closes a connection without hello after its deadline, and one that does not answer, failing what waits for it', async () => {
  const silent = new Client();
  const deaf = new Client();
  await deaf.hello();
  const told = new Client();
  await until('the hello', () => server.connected === 1);
  expect(await deaf.request()).toBe('snapshotSent');
  const refusal = await server.add(workload, netns);
  expect(refusal).toBe('the proxy did not answer snapshotSent within 5 s');
  expect([await silent.request(), await deaf.request()]).toEqual([undefined, undefined]);
  expect([server.connected, server.isSynced]).toEqual([0, false]);
  expect(await server.add(workload, netns)).toBe('no ztunnel is connected to this node agent');
  // Whoever comes next is served.
  const seen = told.follow();
  await until('the end of one that came too late, or its snapshot', () => seen.length > 0);
  const next = new Client().follow();
  await until('the next', () => next.includes('snapshotSent'));
});

test('takes no more proxies than its limit, and another one when one has left', async () => {
  const all = Array.from({ length: MAX_PROXIES }, () => new Client());
  for (const client of all) client.follow();
  await until('all', () => server.connected === MAX_PROXIES);
  expect(await new Client().request()).toBeUndefined();
  all[0]!.close();
  await until('one to leave', () => server.connected === MAX_PROXIES - 1);
  new Client().follow();
  await until('another', () => server.connected === MAX_PROXIES);
});

test('whatever a proxy sends ends only its own connection and leaves no descriptor', async () => {
  const told = new Client().follow();
  await until('the proxy', () => server.isSynced);
  const before = openDescriptors();
  const bytes = fc.oneof(
    fc.constant(HELLO),
    fc.constant(ackOf('')),
    fc.constant(ackOf('no')),
    fc.uint8Array({ minLength: 1, maxLength: 1200 }),
  );
  // Few runs, as the server takes five connections a second.
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(bytes, fc.boolean()), { minLength: 1, maxLength: 8 }), async (messages) => {
      const client = new Client();
      for (const [message, withDescriptor] of messages) {
        // It is refused when the server has ended the connection already.
        await client.connection.send(message, withDescriptor ? netns : undefined).catch(() => {});
      }
      await client.request(); // the snapshot's end after a hello, the end of the connection after anything else
      client.close();
      await until('its end', () => openDescriptors() <= before && server.connected === 1);
    }),
    { numRuns: 25 },
  );
  await server.del('uid');
  expect(told).toEqual(['snapshotSent', 'del']);
  expect(openDescriptors()).toBe(before);
});
