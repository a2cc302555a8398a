/** One supervisor per cluster: an advisory lock the kernel drops when its holder ends, however it ends. */
import { dlopen } from 'bun:ffi';
import fs from 'node:fs';
import path from 'node:path';
import { explainFileError } from '../error.ts';

const LOCK_EX_NB = 2 | 4;
const { flock } = dlopen('libc.so.6', { flock: { args: ['i32', 'i32'], returns: 'i32' } }).symbols;

/** The descriptor that holds the lock, or undefined when another process has it. */
export function takeLock(file: string): number | undefined {
  let fd: number;
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    fd = fs.openSync(file, 'a', 0o600);
  } catch (error) {
    throw explainFileError(error, file);
  }
  if (flock(fd, LOCK_EX_NB) === 0) return fd;
  fs.closeSync(fd);
  return undefined;
}
