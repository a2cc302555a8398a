/** Loggers by target under one filter, and the buffered writer behind them. */
import { writeStandardOutput } from '../linux/index.ts';
import { type Level, type LogFilter, levelOf, parseFilter, severity } from './log-filter.ts';
import { type Fields, jsonLine, plainLine } from './log-format.ts';

/** Bytes of log text that may wait for a slow reader; past it lines are dropped and counted. */
export const MAX_PENDING_LOG_CHARACTERS = 4 * 1024 * 1024;
/** How long to wait before trying a full pipe again. */
const RETRY_MS = 10;
/** Tries to empty the buffer when the process ends, one per millisecond. */
const EXIT_TRIES = 200;

const [ERROR, WARN, INFO, DEBUG, TRACE] = (['error', 'warn', 'info', 'debug', 'trace'] as const).map(severity) as [
  number,
  number,
  number,
  number,
  number,
];

/** Writes text, returns the bytes taken; throws an `EAGAIN` error when nothing can be taken now. */
export type LogSink = (bytes: Uint8Array) => number;

export interface LoggingOptions {
  /** Default `info`. An invalid filter throws: it comes from the operator at start. */
  readonly filter?: string;
  readonly format?: 'plain' | 'json';
  /** Default: standard output. */
  readonly sink?: LogSink;
  /** Milliseconds since the epoch with a fraction. */
  readonly now?: () => number;
}

/** One target's voice. The level checks are one comparison, so a silent `debug` costs nothing but its arguments. */
export class Logger {
  readonly target: string;
  readonly #root: Logging;
  /** Set by {@link Logging} when the filter changes. */
  threshold: number;

  constructor(root: Logging, target: string, threshold: number) {
    this.#root = root;
    this.target = target;
    this.threshold = threshold;
  }

  enabled(level: Level): boolean {
    return severity(level) <= this.threshold;
  }
  error(message: string, fields?: Fields): void {
    if (this.threshold >= ERROR) this.#root.write('error', this.target, message, fields);
  }
  warn(message: string, fields?: Fields): void {
    if (this.threshold >= WARN) this.#root.write('warn', this.target, message, fields);
  }
  info(message: string, fields?: Fields): void {
    if (this.threshold >= INFO) this.#root.write('info', this.target, message, fields);
  }
  debug(message: string, fields?: Fields): void {
    if (this.threshold >= DEBUG) this.#root.write('debug', this.target, message, fields);
  }
  trace(message: string, fields?: Fields): void {
    if (this.threshold >= TRACE) this.#root.write('trace', this.target, message, fields);
  }
}

/** The log of a process: `logger(target)` gives voices, `setFilter` changes what they say at run time. Lines are written once per loop turn. */
export class Logging {
  readonly #loggers = new Map<string, Logger>();
  readonly #initial: LogFilter;
  readonly #json: boolean;
  readonly #sink: LogSink;
  readonly #now: () => number;
  #filter: LogFilter;
  #pending = '';
  /** Bytes of a text that was taken in part. */
  #rest: Uint8Array | undefined;
  #scheduled = false;
  /** Lines lost because the reader was too slow. */
  dropped = 0;

  constructor(options: LoggingOptions = {}) {
    const parsed = parseFilter(options.filter ?? 'info');
    if (!parsed.ok) throw new Error(parsed.error);
    this.#initial = parsed.value;
    this.#filter = parsed.value;
    this.#json = options.format === 'json';
    this.#sink = options.sink ?? writeStandardOutput;
    this.#now = options.now ?? (() => performance.timeOrigin + performance.now());
  }

  /** `RUST_LOG` and `LOG_FORMAT`. */
  static fromEnv(env: NodeJS.ProcessEnv): Logging {
    return new Logging({ filter: env['RUST_LOG'] ?? 'info', format: env['LOG_FORMAT'] === 'json' ? 'json' : 'plain' });
  }

  logger(target: string): Logger {
    const known = this.#loggers.get(target);
    if (known) return known;
    const made = new Logger(this, target, levelOf(this.#filter, target));
    this.#loggers.set(target, made);
    return made;
  }

  get filter(): string {
    return this.#filter.text;
  }

  /** Puts a filter in force; returns the reason if the text is none, and then changes nothing. */
  setFilter(text: string): string | undefined {
    const parsed = parseFilter(text);
    if (!parsed.ok) return parsed.error;
    this.#apply(parsed.value);
    return undefined;
  }

  /** Back to the filter the process started with. */
  resetFilter(): void {
    this.#apply(this.#initial);
  }

  #apply(filter: LogFilter): void {
    this.#filter = filter;
    for (const logger of this.#loggers.values()) logger.threshold = levelOf(filter, logger.target);
  }

  write(level: Level, target: string, message: string, fields: Fields | undefined): void {
    if (this.#pending.length >= MAX_PENDING_LOG_CHARACTERS) {
      this.dropped++;
      return;
    }
    this.#pending += this.#format(level, target, message, fields);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#turn());
  }

  #format(level: Level, target: string, message: string, fields: Fields | undefined): string {
    return (this.#json ? jsonLine : plainLine)(this.#now(), level, target, message, fields);
  }

  #turn(): void {
    this.#scheduled = false;
    if (this.flush()) return;
    this.#scheduled = true;
    setTimeout(() => this.#turn(), RETRY_MS).unref();
  }

  /** Writes what waits, as far as the reader takes it; true when nothing is left. */
  flush(): boolean {
    let bytes = this.#rest;
    this.#rest = undefined;
    try {
      for (;;) {
        if (!bytes) {
          if (this.#pending === '') return true;
          if (this.dropped > 0) {
            this.#pending += this.#format('warn', 'log', 'lines lost: the reader of the log is too slow', { lost: this.dropped });
            this.dropped = 0;
          }
          bytes = Buffer.from(this.#pending);
          this.#pending = '';
        }
        const taken = this.#sink(bytes);
        bytes = taken < bytes.length ? bytes.subarray(taken) : undefined;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') {
        this.#rest = bytes;
        return false;
      }
      // The reader is gone (EPIPE) or the disk is full: there is nobody left to tell.
      return true;
    }
  }

  /** For the end of the process: waits a little for a full pipe. */
  flushAtExit(): void {
    for (let i = 0; i < EXIT_TRIES && !this.flush(); i++) Bun.sleepSync(1);
  }
}

let shared: Logging | undefined;

/** The process's own log, set up from its environment at first use and flushed when the process exits. */
export function processLogging(): Logging {
  if (!shared) {
    const logging = Logging.fromEnv(process.env);
    process.on('exit', () => logging.flushAtExit());
    shared = logging;
  }
  return shared;
}
