/** Reads what the proxies log, line by line, and hands every error and warning to the causes. */
import type { TestProxy } from '../ztunnel/lab.ts';
import type { Causes } from './causes.ts';

/** A fault inside the proxy that no cause may explain. */
const NEVER = /ended by a bug|uncaught|unhandled|TypeError|RangeError|ReferenceError|cannot go on/;

export class LogReader {
  readonly #proxy: TestProxy;
  readonly #causes: Causes;
  lines = 0;

  constructor(proxy: TestProxy, causes: Causes) {
    this.#proxy = proxy;
    this.#causes = causes;
  }

  /** Takes what has come since the last call. */
  read(): void {
    const { log } = this.#proxy;
    const end = log.lastIndexOf('\n') + 1;
    if (end === 0) return;
    // Copied, or the rest would hold the whole text.
    this.#proxy.log = Buffer.from(log.slice(end)).toString();
    for (const line of log.slice(0, end - 1).split('\n')) this.#line(line);
  }

  #line(line: string): void {
    if (line === '') return;
    this.lines++;
    const [time = '', level = ''] = line.split('\t', 2);
    // When it happened, not when it was read.
    const at = Date.parse(time) || Date.now();
    if (NEVER.test(line)) this.#causes.unexplain(`log of ${this.#proxy.node.name}`, line, at);
    else if (level === 'error' || level === 'warn' || !/^(info|debug|trace)$/.test(level)) this.#causes.report('log', line, at);
  }
}
