/**
 * "Tell me when this descriptor can be read": for sockets Bun cannot watch, on the main loop, without a thread.
 *
 * Bun's own sockets read as soon as the kernel reports data, with `recv`, which throws passed descriptors away; so a SOCK_SEQPACKET socket
 * cannot be given to them. What was weighed: a worker in a blocking `recvmsg` (works, costs 10 MiB and more per worker, and a worker cannot be
 * interrupted there); polling on a short timer (wakes an idle proxy all day); and signal-driven input (`O_ASYNC`): the kernel raises
 * SIGIO, Bun runs its listener on the main loop, and one `poll` with timeout 0 tells which descriptors it was about. Measured on
 * Bun 1.4.5: 10 µs from `send` to the listener, no signal lost in bursts, nothing while idle. The last one is used. A slow tick stands behind it,
 * should a signal ever be missed, and keeps the process alive while somebody waits.
 *
 * The listener is never removed: SIGIO without one ends the process.
 */

import { ptr } from 'bun:ffi';
import { constants } from 'node:fs';
import { addStatusFlags, libc, SystemError } from './libc.ts';

const F_SETOWN = 8;
const O_ASYNC = 0o20000;

export const POLLIN = 0x1;
export const POLLOUT = 0x4;

/** The tick behind the signals. */
const TICK_MS = 1000;

interface Waiter {
  readonly fd: number;
  readonly events: number;
  readonly wake: () => void;
}

const waiters = new Set<Waiter>();
let listening = false;
let tick: ReturnType<typeof setInterval> | undefined;

/** Makes a descriptor non-blocking and lets the kernel signal this process about it. Once per descriptor. */
export function watchDescriptor(fd: number): void {
  if (!listening) {
    process.on('SIGIO', wakeReady);
    listening = true;
  }
  if (libc.fcntl(fd, F_SETOWN, process.pid) < 0) throw new SystemError('fcntl(F_SETOWN)');
  addStatusFlags(fd, constants.O_NONBLOCK | O_ASYNC);
}

/** The events of `events` that hold for this descriptor now; errors and hang-ups count, as the next call on it will report them. */
export function readyEvents(fd: number, events: number): number {
  const entry = pollEntries([{ fd, events }]);
  libc.poll(ptr(entry), 1, 0);
  return entry.readInt16LE(6);
}

/** Whether something waits to be read; an error alone does not count. */
export const hasInput = (fd: number): boolean => (readyEvents(fd, POLLIN) & POLLIN) !== 0;

/** Resolves when the descriptor is ready; `cancel` resolves it at once. */
export function whenReady(fd: number, events: number): { readonly ready: Promise<void>; readonly cancel: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const waiter: Waiter = { fd, events, wake: resolve };
  waiters.add(waiter);
  tick ??= setInterval(wakeReady, TICK_MS);
  return { ready: promise, cancel: () => finish(waiter) };
}

function finish(waiter: Waiter): void {
  waiters.delete(waiter);
  waiter.wake();
  if (waiters.size > 0 || !tick) return;
  clearInterval(tick);
  tick = undefined;
}

function wakeReady(): void {
  const list = [...waiters];
  if (list.length === 0) return;
  const entries = pollEntries(list);
  if (libc.poll(ptr(entries), list.length, 0) <= 0) return;
  list.forEach((waiter, i) => {
    if (entries.readInt16LE(i * 8 + 6) !== 0) finish(waiter);
  });
}

/** `struct pollfd[]`. */
function pollEntries(list: readonly { readonly fd: number; readonly events: number }[]): Buffer {
  const buffer = Buffer.alloc(list.length * 8);
  list.forEach(({ fd, events }, i) => {
    buffer.writeInt32LE(fd, i * 8);
    buffer.writeInt16LE(events, i * 8 + 4);
  });
  return buffer;
}
