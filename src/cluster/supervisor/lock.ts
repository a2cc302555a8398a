/** One supervisor per cluster: an advisory lock the kernel drops when its holder ends, however it ends. */
import { dlopen } from 'bun:ffi';
import fs from 'node:fs';
import path from 'node:path';
import { explainFileError } from '../error.ts';

const LOCK_EX_NB = 2 | 4;
const { flock } = dlopen('libc.so.6', { flock: { args: ['i32', 'i32'], returns: 'i32' } }).symbols;

/** The kernel closes the files of a process, and with them drops its lock, a moment after the process counts as ended. */
const WAIT_MS = 3_000;

/** The descriptor that holds the lock, or undefined when another process has it and keeps it. */
export async function takeLock(file: string, waitMs = WAIT_MS): Promise<number | undefined> {
  let fd: number;
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    fd = fs.openSync(file, 'a', 0o600);
  } catch (error) {
    throw explainFileError(error, file);
  }
  for (const deadline = Date.now() + waitMs; ; ) {
    if (flock(fd, LOCK_EX_NB) === 0) return fd;
    if (Date.now() >= deadline) break;
    await Bun.sleep(20);
  }
  fs.closeSync(fd);
  return undefined;
}
