/** `lateen capture`: writes what passes an interface to a pcap file, until a signal ends it. Its own process, so that it may block. */
import { dlopen, ptr } from 'bun:ffi';
import fs from 'node:fs';
import { errno, libc, SystemError } from './libc.ts';

const { if_nametoindex } = dlopen('libc.so.6', { if_nametoindex: { args: ['ptr'], returns: 'u32' } }).symbols;

/** Bytes kept of one packet. Offloaded segments on a veth are larger than its MTU. */
export const SNAPLEN = 262_144;
/** Bytes of a capture at which it stops, so that a forgotten one does not fill the disk. */
export const MAX_CAPTURE_BYTES = 2 * 1024 ** 3;

const LINKTYPE_ETHERNET = 1;
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_STATISTICS = 6;
const PACKET_MR_PROMISC = 1;
const SO_RCVBUFFORCE = 33;
const ETH_P_ALL = 0x0003;
const MSG_DONTWAIT = 0x40;
const MSG_TRUNC = 0x20;
const EINTR = 4;
const EAGAIN = 11;
const RECEIVE_BUFFER_BYTES = 64 * 1024 * 1024;
/** Packets taken between two looks at the event loop. */
const BATCH = 2_000;
const POLL_MS = 20;

/** The 24 bytes a pcap file begins with (microseconds, little-endian). */
export function pcapHeader(): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(SNAPLEN, 16);
  header.writeUInt32LE(LINKTYPE_ETHERNET, 20);
  return header;
}

/** The 16 bytes before one packet; `now` in milliseconds since the epoch. */
export function recordHeader(now: number, captured: number, original: number): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(Math.floor(now / 1000), 0);
  header.writeUInt32LE(Math.floor((now % 1000) * 1000), 4);
  header.writeUInt32LE(captured, 8);
  header.writeUInt32LE(original, 12);
  return header;
}

export interface CaptureResult {
  readonly packets: number;
  /** Packets the kernel had no room for: with any, the capture proves nothing about what it does not have. */
  readonly dropped: number;
}

/** Captures in this process's network namespace until `signal` aborts. The file exists, with its header, as soon as this returns its promise. */
export function capture(interfaceName: string, file: string, signal: AbortSignal): Promise<CaptureResult> {
  const socket = openPacketSocket(interfaceName);
  const out = fs.openSync(file, 'w');
  fs.writeSync(out, pcapHeader());
  return pumpPackets(socket, out, signal).finally(() => {
    libc.close(socket);
    fs.closeSync(out);
  });
}

async function pumpPackets(socket: number, out: number, signal: AbortSignal): Promise<CaptureResult> {
  const buffer = Buffer.alloc(SNAPLEN);
  let packets = 0;
  let written = 24;
  for (;;) {
    // Read before the packets: after the signal, what the kernel already has is still taken.
    const isLast = signal.aborted;
    const chunks: Buffer[] = [];
    let length = 0;
    while (chunks.length < 2 * BATCH) {
      length = receive(socket, buffer);
      if (length < 0) break;
      const kept = Math.min(length, SNAPLEN);
      chunks.push(recordHeader(performance.timeOrigin + performance.now(), kept, length), Buffer.from(buffer.subarray(0, kept)));
      written += 16 + kept;
      packets++;
    }
    if (chunks.length > 0) fs.writeSync(out, Buffer.concat(chunks));
    if (written > MAX_CAPTURE_BYTES) throw new Error(`the capture reached its limit of ${MAX_CAPTURE_BYTES} bytes and was stopped`);
    if (length < 0 && isLast) return { packets, dropped: droppedPackets(socket) };
    await Bun.sleep(length < 0 ? POLL_MS : 0);
  }
}

/** The length of the next packet on the wire, −1 when there is none now. */
function receive(socket: number, buffer: Buffer): number {
  const length = Number(libc.recv(socket, ptr(buffer), SNAPLEN, MSG_DONTWAIT | MSG_TRUNC));
  if (length >= 0) return length;
  const code = errno();
  if (code === EAGAIN || code === EINTR) return -1;
  throw new SystemError('recv from the packet socket', code);
}

function openPacketSocket(interfaceName: string): number {
  const index = if_nametoindex(ptr(Buffer.from(`${interfaceName}\0`)));
  if (index === 0) throw new Error(`capture: there is no interface "${interfaceName}" in this network namespace; see "ip link"`);
  // Protocol 0 first: nothing arrives before the socket is bound to its interface.
  const socket = libc.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (socket < 0) throw new SystemError('socket(AF_PACKET): capturing needs CAP_NET_RAW');
  const size = new Int32Array([RECEIVE_BUFFER_BYTES]);
  libc.setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, ptr(size), 4);
  const address = Buffer.alloc(20); // struct sockaddr_ll
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(ETH_P_ALL, 2);
  address.writeInt32LE(index, 4);
  if (libc.bind(socket, ptr(address), address.length) !== 0) {
    const error = new SystemError(`bind to ${interfaceName}`);
    libc.close(socket);
    throw error;
  }
  // A bridge only shows what it forwards to those who want everything.
  const membership = Buffer.alloc(16); // struct packet_mreq
  membership.writeInt32LE(index, 0);
  membership.writeUInt16LE(PACKET_MR_PROMISC, 4);
  libc.setsockopt(socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, ptr(membership), membership.length);
  return socket;
}

function droppedPackets(socket: number): number {
  const statistics = new Uint32Array(2); // struct tpacket_stats
  const length = new Uint32Array([8]);
  return libc.getsockopt(socket, SOL_PACKET, PACKET_STATISTICS, ptr(statistics), ptr(length)) === 0 ? statistics[1]! : 0;
}

const USAGE = 'usage: lateen capture -i INTERFACE -o FILE';

/** The program: `-i INTERFACE -o FILE`; runs until SIGTERM or SIGINT and then prints one line of JSON. The exit code. */
export async function runCapture(args: readonly string[]): Promise<number> {
  const value = (flag: string) => {
    const at = args.indexOf(flag);
    return at < 0 ? undefined : args[at + 1];
  };
  const [interfaceName, file] = [value('-i'), value('-o')];
  if (interfaceName === undefined || file === undefined) {
    console.error(USAGE);
    return 2;
  }
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  try {
    console.log(JSON.stringify(await capture(interfaceName, file, stop.signal)));
    return 0;
  } catch (error) {
    console.error((error as Error).message);
    return 1;
  }
}

/** The content of a file in pieces, for {@link analyzePcap}. */
export function* fileChunks(file: string, size = 1024 * 1024): Generator<Buffer> {
  const fd = fs.openSync(file, 'r');
  try {
    for (;;) {
      const chunk = Buffer.alloc(size);
      const length = fs.readSync(fd, chunk);
      if (length === 0) return;
      yield chunk.subarray(0, length);
    }
  } finally {
    fs.closeSync(fd);
  }
}
