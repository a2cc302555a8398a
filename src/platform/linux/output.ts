/** Output that never waits for its reader: a log must not stop the process that writes it. */
import fs from 'node:fs';
import { addStatusFlags } from './libc.ts';

const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = fs.constants;

/**
 * A descriptor for what `fd` writes to, on which a write fails with `EAGAIN` where it would wait. A pipe or terminal is opened anew, because the flag belongs to
 * what is shared: other processes that write to it may count on waiting. A socket cannot be, and nor can a pipe of another user, so there the flag is set
 * for all. A regular file never lets anyone wait.
 */
function nonBlockingOutput(fd: number): number {
  const stat = fs.fstatSync(fd);
  if (stat.isFIFO() || stat.isCharacterDevice()) {
    try {
      return fs.openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
    } catch {
      // No /proc, no right to it, or its reader has gone: the flag will do.
    }
  }
  if (!stat.isFile()) addStatusFlags(fd, O_NONBLOCK);
  return fd;
}

let standardOutput: number | undefined;

/** Writes to standard output as far as its reader takes it; returns the octets taken. Throws `EAGAIN` when it takes none now, `EPIPE` when it has gone. */
export function writeStandardOutput(bytes: Uint8Array): number {
  standardOutput ??= nonBlockingOutput(1);
  return fs.writeSync(standardOutput, bytes);
}
