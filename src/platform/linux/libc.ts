/** The C library calls Lateen needs and Bun has no interface for. Everything else in `linux/` is built on these. */
import { dlopen, type Pointer, read } from 'bun:ffi';

export const libc = dlopen('libc.so.6', {
  setns: { args: ['i32', 'i32'], returns: 'i32' },
  unshare: { args: ['i32'], returns: 'i32' },
  socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
  socketpair: { args: ['i32', 'i32', 'i32', 'ptr'], returns: 'i32' },
  bind: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
  connect: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
  listen: { args: ['i32', 'i32'], returns: 'i32' },
  accept4: { args: ['i32', 'ptr', 'ptr', 'i32'], returns: 'i32' },
  setsockopt: { args: ['i32', 'i32', 'i32', 'ptr', 'u32'], returns: 'i32' },
  getsockopt: { args: ['i32', 'i32', 'i32', 'ptr', 'ptr'], returns: 'i32' },
  getsockname: { args: ['i32', 'ptr', 'ptr'], returns: 'i32' },
  sendmsg: { args: ['i32', 'ptr', 'i32'], returns: 'i64' },
  recvmsg: { args: ['i32', 'ptr', 'i32'], returns: 'i64' },
  recv: { args: ['i32', 'ptr', 'u64', 'i32'], returns: 'i64' },
  poll: { args: ['ptr', 'u64', 'i32'], returns: 'i32' },
  fcntl: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
  shutdown: { args: ['i32', 'i32'], returns: 'i32' },
  close: { args: ['i32'], returns: 'i32' },
  __errno_location: { args: [], returns: 'ptr' },
}).symbols;

/** The error number the last failed call left, read before any other call. */
export function errno(): number {
  return read.i32(libc.__errno_location() as Pointer, 0);
}

const NAMES: Readonly<Record<number, string>> = {
  1: 'EPERM',
  2: 'ENOENT',
  9: 'EBADF',
  11: 'EAGAIN',
  13: 'EACCES',
  22: 'EINVAL',
  23: 'ENFILE',
  24: 'EMFILE',
  28: 'ENOSPC',
  32: 'EPIPE',
  97: 'EAFNOSUPPORT',
  98: 'EADDRINUSE',
  99: 'EADDRNOTAVAIL',
  101: 'ENETUNREACH',
  104: 'ECONNRESET',
  110: 'ETIMEDOUT',
  111: 'ECONNREFUSED',
  113: 'EHOSTUNREACH',
  115: 'EINPROGRESS',
};

/** A system call that failed: which, with which error number. */
export class SystemError extends Error {
  readonly call: string;
  readonly code: string;
  constructor(call: string, code = errno()) {
    super(`${call}: ${NAMES[code] ?? `errno ${code}`}`);
    this.name = 'SystemError';
    this.call = call;
    this.code = NAMES[code] ?? `E${code}`;
  }
}

const F_GETFL = 3;
const F_SETFL = 4;

/** Sets flags (`O_NONBLOCK`, ...) of what a descriptor stands for; whoever shares it has them too. */
export function addStatusFlags(fd: number, flags: number): void {
  const before = libc.fcntl(fd, F_GETFL, 0);
  if (before < 0) throw new SystemError('fcntl(F_GETFL)');
  if (libc.fcntl(fd, F_SETFL, before | flags) < 0) throw new SystemError('fcntl(F_SETFL)');
}
