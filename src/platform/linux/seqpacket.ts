/**
 * AF_UNIX SOCK_SEQPACKET in both roles, with at most one descriptor per datagram: the transport of ZDS.
 * Nothing here blocks the loop (see fd-readiness.ts for how). Received descriptors are close-on-exec and belong to the caller.
 */
import { ptr } from 'bun:ffi';
import fs from 'node:fs';
import path from 'node:path';
import { POLLIN, POLLOUT, readyEvents, watchDescriptor, whenReady } from './fd-readiness.ts';
import { errno, libc, SystemError } from './libc.ts';

/** Bytes of the largest datagram, as in ztunnel; a longer one is a receive error. */
export const SEQPACKET_MAX_BYTES = 1024;
/** Connections that may wait for `accept`. */
const BACKLOG = 16;

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const EINTR = 4;
const EAGAIN = 11;
const EPIPE = 32;
const ECONNRESET = 104;
/** CMSG_LEN of one descriptor. Not CMSG_SPACE: its padding would let a second descriptor in unnoticed. */
const CONTROL_BYTES = 20;
const SUN_PATH_BYTES = 108;

export interface SeqpacketMessage {
  readonly bytes: Uint8Array;
  /** None or one. */
  readonly fds: readonly number[];
}

/** A datagram that broke the rules of the socket: longer than {@link SEQPACKET_MAX_BYTES}, or more than one descriptor. The connection is unusable. */
export class SeqpacketError extends Error {
  readonly code: 'TRUNCATED' | 'TOO_MANY_DESCRIPTORS';
  constructor(code: 'TRUNCATED' | 'TOO_MANY_DESCRIPTORS') {
    super(code === 'TRUNCATED' ? `datagram longer than ${SEQPACKET_MAX_BYTES} bytes` : 'datagram with more than one descriptor');
    this.name = 'SeqpacketError';
    this.code = code;
  }
}

/** One connected socket. One `receive` at a time; `send` and `receive` are independent. */
export class SeqpacketConnection {
  #fd: number;
  #cancel: (() => void) | undefined;

  /** Takes over `fd`. */
  constructor(fd: number) {
    this.#fd = fd;
    watchDescriptor(fd);
  }

  get closed(): boolean {
    return this.#fd < 0;
  }

  /** The next datagram; `null` when the peer has closed (a datagram of no bytes reads the same) or after `close`. */
  async receive(): Promise<SeqpacketMessage | null> {
    for (;;) {
      if (this.#fd < 0) return null;
      if (readyEvents(this.#fd, POLLIN) !== 0) {
        const message = receiveNow(this.#fd);
        if (message !== undefined) return message;
      }
      const { ready, cancel } = whenReady(this.#fd, POLLIN);
      this.#cancel = cancel;
      await ready;
      this.#cancel = undefined;
    }
  }

  /** Sends one datagram, with a descriptor if given; the caller keeps its own copy. Waits while the peer's queue is full. */
  async send(bytes: Uint8Array, fd?: number): Promise<void> {
    if (bytes.length === 0) throw new Error('a datagram of no bytes would read as the end of the connection');
    for (;;) {
      if (this.#fd < 0) throw new SystemError('sendmsg', EPIPE);
      prepareHeader(bytes, fd);
      const sent = Number(libc.sendmsg(this.#fd, ptr(header), MSG_DONTWAIT | MSG_NOSIGNAL));
      if (sent >= 0) return;
      const code = errno();
      if (code !== EAGAIN && code !== EINTR) throw new SystemError('sendmsg', code);
      await whenReady(this.#fd, POLLOUT).ready;
    }
  }

  close(): void {
    if (this.#fd < 0) return;
    libc.close(this.#fd);
    this.#fd = -1;
    this.#cancel?.();
  }
}

/** Two connected sockets: ours, and the descriptor of the other end, close-on-exec, which a child process may inherit. */
export function seqpacketPair(): { readonly connection: SeqpacketConnection; readonly other: number } {
  const pair = new Int32Array(new ArrayBuffer(8));
  if (libc.socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ptr(pair)) !== 0) throw new SystemError('socketpair');
  return { connection: new SeqpacketConnection(pair[0]!), other: pair[1]! };
}

/** The end of a pair that this process inherited. Takes over `fd`. */
export const inheritedSeqpacket = (fd: number): SeqpacketConnection => new SeqpacketConnection(fd);

export interface SeqpacketListener {
  /** The next connection; `null` after `close`. */
  accept(): Promise<SeqpacketConnection | null>;
  /** Stops listening and removes the socket file. Accepted connections stay. */
  close(): void;
}

/** Listens on a socket file; a stale one is replaced, one that somebody listens on is an error. */
export function listenSeqpacket(file: string): SeqpacketListener {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  removeStale(file);
  const socket = openSocket();
  try {
    withAddress(file, (address) => {
      if (libc.bind(socket, ptr(address), address.length) !== 0) throw new SystemError(`bind ${file}`);
    });
    fs.chmodSync(file, 0o660);
    if (libc.listen(socket, BACKLOG) !== 0) throw new SystemError(`listen ${file}`);
    watchDescriptor(socket);
  } catch (error) {
    libc.close(socket);
    throw error;
  }
  let open = true;
  let cancelWait: (() => void) | undefined;
  return {
    async accept() {
      for (;;) {
        if (!open) return null;
        if (readyEvents(socket, POLLIN) !== 0) {
          const fd = libc.accept4(socket, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK);
          if (fd >= 0) return new SeqpacketConnection(fd);
        }
        const { ready, cancel } = whenReady(socket, POLLIN);
        cancelWait = cancel;
        await ready;
      }
    },
    close() {
      if (!open) return;
      open = false;
      libc.close(socket);
      fs.rmSync(file, { force: true });
      cancelWait?.();
    },
  };
}

/** Connects to a listening socket file; refusal and absence are {@link SystemError}s (`ECONNREFUSED`, `ENOENT`). */
export function connectSeqpacket(file: string): SeqpacketConnection {
  const socket = openSocket();
  try {
    withAddress(file, (address) => {
      if (libc.connect(socket, ptr(address), address.length) !== 0) throw new SystemError(`connect ${file}`);
    });
    return new SeqpacketConnection(socket);
  } catch (error) {
    libc.close(socket);
    throw error;
  }
}

function openSocket(): number {
  const socket = libc.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0) throw new SystemError('socket(AF_UNIX, SOCK_SEQPACKET)');
  return socket;
}

function removeStale(file: string): void {
  if (!fs.existsSync(file)) return;
  try {
    connectSeqpacket(file).close();
  } catch {
    // Nobody answers there: it is left over from a process that was killed.
    fs.rmSync(file, { force: true });
    return;
  }
  throw new Error(`${file}: another process listens on this socket. Stop it, or give this one another path.`);
}

/** `struct sockaddr_un`. A path that does not fit goes through a descriptor of its directory. */
function withAddress(file: string, use: (address: Buffer) => void): void {
  if (Buffer.byteLength(file) < SUN_PATH_BYTES) {
    use(socketAddress(file));
    return;
  }
  const directory = fs.openSync(path.dirname(file), 'r');
  try {
    use(socketAddress(`/proc/self/fd/${directory}/${path.basename(file)}`));
  } finally {
    fs.closeSync(directory);
  }
}

function socketAddress(file: string): Buffer {
  const text = Buffer.from(`${file}\0`);
  if (text.length > SUN_PATH_BYTES) throw new Error(`${file}: the file name is too long for a socket address`);
  const address = Buffer.alloc(2 + text.length);
  address.writeUInt16LE(AF_UNIX, 0);
  address.set(text, 2);
  return address;
}

/** Used by one call at a time and kept for good, as `struct msghdr` points from one to the other. */
const header = Buffer.alloc(56);
const vector = Buffer.alloc(16);
const control = Buffer.alloc(24);
const received = Buffer.alloc(SEQPACKET_MAX_BYTES);

/** Fills in `struct msghdr` for `data`, with one descriptor, with room for one, or neither. */
function prepareHeader(data: Uint8Array, fd: number | 'room' | undefined): void {
  vector.writeBigUInt64LE(BigInt(ptr(data)), 0);
  vector.writeBigUInt64LE(BigInt(data.length), 8);
  header.fill(0);
  header.writeBigUInt64LE(BigInt(ptr(vector)), 16);
  header.writeBigUInt64LE(1n, 24);
  if (fd === undefined) return;
  control.fill(0);
  header.writeBigUInt64LE(BigInt(ptr(control)), 32);
  header.writeBigUInt64LE(BigInt(CONTROL_BYTES), 40);
  if (fd === 'room') return;
  control.writeBigUInt64LE(BigInt(CONTROL_BYTES), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  control.writeInt32LE(fd, 16);
}

/** One non-blocking read: a message, `null` at the end, `undefined` when there is nothing after all. */
function receiveNow(socket: number): SeqpacketMessage | null | undefined {
  prepareHeader(received, 'room');
  const count = Number(libc.recvmsg(socket, ptr(header), MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  if (count < 0) {
    const code = errno();
    if (code === EAGAIN || code === EINTR) return undefined;
    // A peer that went away with unread data of ours resets the connection: for the reader that is its end.
    if (code === ECONNRESET) return null;
    throw new SystemError('recvmsg', code);
  }
  const fds = passedDescriptors();
  const flags = header.readInt32LE(48);
  if ((flags & (MSG_TRUNC | MSG_CTRUNC)) !== 0 || count === 0) for (const fd of fds) libc.close(fd);
  if ((flags & MSG_CTRUNC) !== 0) throw new SeqpacketError('TOO_MANY_DESCRIPTORS');
  if ((flags & MSG_TRUNC) !== 0) throw new SeqpacketError('TRUNCATED');
  return count === 0 ? null : { bytes: new Uint8Array(received.subarray(0, count)), fds };
}

function passedDescriptors(): number[] {
  if (Number(header.readBigUInt64LE(40)) < CONTROL_BYTES) return [];
  if (control.readInt32LE(8) !== SOL_SOCKET || control.readInt32LE(12) !== SCM_RIGHTS) return [];
  return [control.readInt32LE(16)];
}
