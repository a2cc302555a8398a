/** Network namespaces: run a piece of synchronous code inside one. `setns` is per thread, so nothing asynchronous may happen in between. */
import fs from 'node:fs';
import { libc, SystemError } from './libc.ts';

const CLONE_NEWNET = 0x40000000;
let home = -1;

/**
 * Runs `body` with this thread inside the namespace `fd` refers to and returns to the process's own.
 * `body` must be synchronous: sockets it creates belong to that namespace for good.
 */
export function inNetworkNamespace<T>(fd: number, body: () => T): T {
  if (home < 0) home = fs.openSync('/proc/self/ns/net', 'r');
  if (libc.setns(fd, CLONE_NEWNET) !== 0) throw new SystemError('setns');
  try {
    return body();
  } finally {
    // Staying in a foreign namespace would send every later socket to the wrong pod: there is no way on.
    if (libc.setns(home, CLONE_NEWNET) !== 0) process.abort();
  }
}

/** Inode of a namespace descriptor: two descriptors with the same one are the same namespace. */
export function namespaceInode(fd: number): number {
  return fs.fstatSync(fd).ino;
}
