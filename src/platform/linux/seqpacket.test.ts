import { dlopen, ptr } from 'bun:ffi';
import { afterAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { libc, type SystemError } from './libc.ts';
import { connectSeqpacket, listenSeqpacket, SEQPACKET_MAX_BYTES, SeqpacketConnection } from './seqpacket.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'na-seqpacket-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));
let count = 0;
const socketPath = () => path.join(folder, `s${count++}`);
const text = (message: { bytes: Uint8Array } | null) => (message ? Buffer.from(message.bytes).toString() : null);
const openDescriptors = () => fs.readdirSync('/proc/self/fd').length;

async function pair() {
  const file = socketPath();
  const listener = listenSeqpacket(file);
  const client = connectSeqpacket(file);
  const server = (await listener.accept())!;
  listener.close();
  return { client, server };
}

/** Sends several descriptors in one datagram, which the API of this module cannot. */
function sendDescriptors(socket: number, fds: number[]) {
  const data = Buffer.from('x');
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(BigInt(ptr(data)), 0);
  vector.writeBigUInt64LE(1n, 8);
  const length = 16 + fds.length * 4;
  const control = Buffer.alloc((length + 7) & ~7);
  control.writeBigUInt64LE(BigInt(length), 0);
  control.writeInt32LE(1, 8);
  control.writeInt32LE(1, 12);
  for (const [i, fd] of fds.entries()) control.writeInt32LE(fd, 16 + i * 4);
  const header = Buffer.alloc(56);
  header.writeBigUInt64LE(BigInt(ptr(vector)), 16);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(BigInt(ptr(control)), 32);
  header.writeBigUInt64LE(BigInt(control.length), 40);
  return Number(libc.sendmsg(socket, ptr(header), 0));
}

function rawPair(): [number, number] {
  const { socketpair } = dlopen('libc.so.6', { socketpair: { args: ['i32', 'i32', 'i32', 'ptr'], returns: 'i32' } }).symbols;
  const fds = new Int32Array(2);
  expect(socketpair(1, 5, 0, ptr(fds))).toBe(0);
  return [fds[0]!, fds[1]!];
}

test('carries datagrams both ways and keeps their bounds', async () => {
  const { client, server } = await pair();
  await client.send(Buffer.from('one'));
  await client.send(Buffer.from('two'));
  expect([text(await server.receive()), text(await server.receive())]).toEqual(['one', 'two']);
  await server.send(Buffer.from('three'));
  expect(text(await client.receive())).toBe('three');
  client.close();
  server.close();
});

test('wakes a receiver that waits, without blocking the loop', async () => {
  const { client, server } = await pair();
  const received = server.receive();
  let turns = 0;
  await new Promise<void>((resolve) => {
    const turn = () => (++turns === 50 ? resolve() : setImmediate(turn));
    turn();
  });
  await client.send(Buffer.from('late'));
  expect(text(await received)).toBe('late');
  client.close();
  server.close();
});

test('passes a descriptor that means the same object, close-on-exec', async () => {
  const { client, server } = await pair();
  const file = path.join(folder, 'content');
  fs.writeFileSync(file, 'through the socket');
  const fd = fs.openSync(file, 'r');
  await client.send(Buffer.from('take'), fd);
  fs.closeSync(fd);
  const message = (await server.receive())!;
  expect(message.fds.length).toBe(1);
  expect(fs.readFileSync(message.fds[0]!, 'utf8')).toBe('through the socket');
  const flags = fs.readFileSync(`/proc/self/fdinfo/${message.fds[0]}`, 'utf8').match(/flags:\s+(\d+)/)![1]!;
  expect(Number.parseInt(flags, 8) & 0o2000000).not.toBe(0);
  fs.closeSync(message.fds[0]!);
  client.close();
  server.close();
});

test('refuses a datagram with two descriptors and leaks neither', async () => {
  const [a, b] = rawPair();
  const server = new SeqpacketConnection(a);
  const before = openDescriptors();
  sendDescriptors(b, [0, 0]);
  await expect(server.receive()).rejects.toMatchObject({ code: 'TOO_MANY_DESCRIPTORS' });
  expect(openDescriptors()).toBe(before);
  server.close();
  libc.close(b);
});

test('refuses a datagram longer than the limit, closes its descriptor, and takes one of the limit', async () => {
  const { client, server } = await pair();
  await client.send(Buffer.alloc(SEQPACKET_MAX_BYTES, 1));
  expect((await server.receive())!.bytes.length).toBe(SEQPACKET_MAX_BYTES);
  const before = openDescriptors();
  await client.send(Buffer.alloc(SEQPACKET_MAX_BYTES + 1, 1), 0);
  await expect(server.receive()).rejects.toMatchObject({ code: 'TRUNCATED' });
  expect(openDescriptors()).toBe(before);
  client.close();
  server.close();
});

test('reads the end when the peer closes, and when it sends a datagram of no bytes', async () => {
  const { client, server } = await pair();
  const waiting = server.receive();
  client.close();
  expect(await waiting).toBeNull();
  server.close();
  const [a, b] = rawPair();
  const connection = new SeqpacketConnection(a);
  const waitingToo = connection.receive();
  const vector = Buffer.alloc(16);
  const header = Buffer.alloc(56);
  header.writeBigUInt64LE(BigInt(ptr(vector)), 16);
  header.writeBigUInt64LE(1n, 24);
  expect(Number(libc.sendmsg(b, ptr(header), 0))).toBe(0);
  expect(await waitingToo).toBeNull();
  connection.close();
  libc.close(b);
});

test('ends waiting receivers and acceptors when it is closed itself', async () => {
  const { client, server } = await pair();
  const waiting = server.receive();
  server.close();
  expect(await waiting).toBeNull();
  await expect(client.send(Buffer.from('x'))).rejects.toMatchObject({ code: 'EPIPE' });
  client.close();
  const listener = listenSeqpacket(socketPath());
  const accepting = listener.accept();
  listener.close();
  expect(await accepting).toBeNull();
});

test('waits while the queue of the peer is full and loses nothing', async () => {
  const { client, server } = await pair();
  const total = 2000;
  const sending = (async () => {
    for (let i = 0; i < total; i++) await client.send(Buffer.from(`${i}`.padEnd(1000, '.')));
  })();
  for (let i = 0; i < total; i++) expect(Number.parseInt(text(await server.receive())!, 10)).toBe(i);
  await sending;
  client.close();
  server.close();
});

test('replaces the socket file of a killed process, and refuses the one of a living', async () => {
  const file = socketPath();
  const left = libc.socket(1, 5, 0);
  const address = Buffer.alloc(110);
  address.writeUInt16LE(1, 0);
  address.write(file, 2);
  expect(libc.bind(left, ptr(address), 110)).toBe(0);
  libc.close(left);
  const listener = listenSeqpacket(file);
  expect(() => listenSeqpacket(file)).toThrow('another process listens');
  listener.close();
  expect(fs.existsSync(file)).toBe(false);
  let code = '';
  try {
    connectSeqpacket(file);
  } catch (error) {
    code = (error as SystemError).code;
  }
  expect(code).toBe('ENOENT');
});

test('works with paths longer than a socket address', async () => {
  const file = path.join(folder, 'x'.repeat(120), 'zds.sock');
  const listener = listenSeqpacket(file);
  const client = connectSeqpacket(file);
  const server = (await listener.accept())!;
  await client.send(Buffer.from('far'));
  expect(text(await server.receive())).toBe('far');
  for (const closable of [client, server, listener]) closable.close();
});
