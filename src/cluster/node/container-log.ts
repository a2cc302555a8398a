/** Reading container logs the way `kubectl logs` asks for them. */
import fs from 'node:fs';
import { LogKeeper } from './log-keeper.ts';

export interface LogQuery {
  readonly follow: boolean;
  readonly timestamps: boolean;
  readonly tailLines: number | undefined;
  readonly limitBytes: number | undefined;
  /** Milliseconds since 1970; earlier lines are left out. */
  readonly since: number | undefined;
}

const FOLLOW_POLL_MS = 100;
const CHUNK = 64 * 1024;
/** A line longer than this is passed on in pieces. */
const MAX_LINE = 1024 * 1024;
const NEWLINE = 10;

export function logQuery(params: URLSearchParams, now: number): LogQuery {
  const number = (name: string): number | undefined => {
    const text = params.get(name);
    if (text === null || text === '') return undefined;
    const value = Number(text);
    if (!Number.isInteger(value) || value < 0) throw new RangeError(`${name} must be a whole number, 0 or more`);
    return value;
  };
  const isTrue = (name: string): boolean => ['true', '1', ''].includes(params.get(name) ?? 'false');
  const seconds = number('sinceSeconds');
  const sinceTime = params.get('sinceTime');
  const since = seconds !== undefined ? now - seconds * 1000 : sinceTime !== null ? Date.parse(sinceTime) : undefined;
  return {
    follow: isTrue('follow'),
    timestamps: isTrue('timestamps'),
    tailLines: number('tailLines'),
    limitBytes: number('limitBytes'),
    since,
  };
}

/** `isOver` says that nothing more will be written. */
export async function* readLog(file: string, query: LogQuery, isOver: () => boolean, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_CREAT, 0o600);
  try {
    let left = query.limitBytes ?? Number.POSITIVE_INFINITY;
    let offset = startOffset(fd, file, query);
    let rest: Buffer = Buffer.alloc(0);
    while (!signal.aborted && left > 0) {
      const over = isOver();
      const size = fs.fstatSync(fd).size;
      if (size < offset) offset = 0; // cut because it had grown too large
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK, Math.max(0, size - offset)));
      const got = buffer.length === 0 ? 0 : fs.readSync(fd, buffer, 0, buffer.length, offset);
      if (got === 0) {
        if (rest.length > 0 && (over || !query.follow)) {
          yield dated(rest, file, offset - rest.length, query).subarray(0, left);
          rest = Buffer.alloc(0);
        }
        if (over || !query.follow) return;
        await Bun.sleep(FOLLOW_POLL_MS);
        continue;
      }
      const whole = Buffer.concat([rest, buffer.subarray(0, got)]);
      const from = offset - rest.length;
      offset += got;
      const cut = whole.lastIndexOf(NEWLINE) + 1 || (whole.length > MAX_LINE ? whole.length : 0);
      rest = Buffer.from(whole.subarray(cut));
      if (cut === 0) continue;
      const out = dated(whole.subarray(0, cut), file, from, query).subarray(0, left);
      left -= out.length;
      yield out;
    }
  } finally {
    fs.closeSync(fd);
  }
}

function dated(lines: Buffer, file: string, offset: number, query: LogQuery): Uint8Array {
  if (!query.timestamps) return lines;
  const out: string[] = [];
  let at = 0;
  while (at < lines.length) {
    const end = lines.indexOf(NEWLINE, at) + 1 || lines.length;
    out.push(`${new Date(LogKeeper.timeOf(file, offset + at)).toISOString().replace('Z', '000000Z')} ${lines.toString('utf8', at, end)}`);
    at = end;
  }
  return Buffer.from(out.join(''));
}

/** The first byte the query wants. */
function startOffset(fd: number, file: string, query: LogQuery): number {
  const size = fs.fstatSync(fd).size;
  let start = 0;
  if (query.since !== undefined) start = firstLineSince(fd, file, size, query.since);
  return query.tailLines === undefined ? start : Math.max(start, tailOffset(fd, size, query.tailLines));
}

function firstLineSince(fd: number, file: string, size: number, since: number): number {
  const content = Buffer.alloc(size);
  fs.readSync(fd, content, 0, size, 0);
  let at = 0;
  while (at < size && LogKeeper.timeOf(file, at) < since) at = content.indexOf(NEWLINE, at) + 1 || size;
  return at;
}

function tailOffset(fd: number, size: number, lines: number): number {
  if (lines === 0) return size;
  let position = size;
  let found = 0;
  const buffer = Buffer.allocUnsafe(CHUNK);
  while (position > 0) {
    const length = Math.min(CHUNK, position);
    fs.readSync(fd, buffer, 0, length, position - length);
    for (let at = length - 1; at >= 0; at--) {
      // The line break at the very end closes the last line, it does not begin another.
      if (buffer[at] === NEWLINE && position - length + at !== size - 1 && ++found === lines) return position - length + at + 1;
    }
    position -= length;
  }
  return 0;
}
