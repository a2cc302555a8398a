import { CR, HEX, HTAB, LF, SP, TOKEN, VALUE } from './octets.ts';
import { Violation } from './violation.ts';

const State = { SIZE: 0, NAME: 1, VALUE_START: 2, TOKEN: 3, QUOTED: 4, ESCAPED: 5, UNQUOTED: 6, LINE_FEED: 7 } as const;

const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Reads a chunk's size line (RFC 9112 section 7.1), CR LF included. Extensions are checked and forgotten; the optional white space around their signs,
 * which that section keeps only for reading old senders, is refused.
 */
export class ChunkLine {
  size = 0;
  isDone = false;
  violation: Violation | undefined = undefined;
  private state: number = State.SIZE;
  /** Octets of this line so far. */
  private length = 0;
  /** Octets of the current extension's name or value so far. */
  private part = 0;
  private readonly limit: number;

  constructor(limit: number) {
    this.limit = limit;
  }

  reset(): void {
    this.size = 0;
    this.isDone = false;
    this.state = State.SIZE;
    this.length = 0;
  }

  /** Reads from `from` up to `end` and returns where it stopped: at `end`, behind the line (`isDone`) or at what it refused (`violation`). */
  scan(bytes: Uint8Array, from: number, end: number): number {
    for (let at = from; at < end; at++) {
      const octet = bytes[at]!;
      if (this.state === State.LINE_FEED) {
        if (octet !== LF) return this.refuse('CR without LF', octet, at);
        this.isDone = true;
        return at + 1;
      }
      if (octet === CR) {
        if (!this.mayEnd()) return this.refuse('a chunk line ends too early', octet, at);
        this.state = State.LINE_FEED;
        continue;
      }
      if (++this.length > this.limit) return this.refuse(`a chunk line over ${this.limit} octets`, octet, at);
      if (this.state !== State.SIZE) {
        if (!this.extension(octet)) return this.refuse('a malformed chunk extension', octet, at);
        continue;
      }
      const digit = HEX[octet]!;
      if (digit !== 255) {
        this.size = this.size * 16 + digit;
        if (this.size > Number.MAX_SAFE_INTEGER) return this.refuse('a chunk size over 2^53 - 1', octet, at);
      } else if (octet === SEMICOLON && this.length > 1) this.enter(State.NAME);
      else return this.refuse('a chunk size is not hexadecimal', octet, at);
    }
    return end;
  }

  private mayEnd(): boolean {
    switch (this.state) {
      case State.SIZE:
        return this.length > 0;
      case State.NAME:
      case State.TOKEN:
        return this.part > 0;
      default:
        return this.state === State.UNQUOTED;
    }
  }

  private enter(state: number): true {
    this.state = state;
    this.part = 0;
    return true;
  }

  private extension(octet: number): boolean {
    switch (this.state) {
      case State.NAME:
      case State.TOKEN:
        if (TOKEN[octet] !== 0) {
          this.part++;
          return true;
        }
        if (this.part === 0) return false;
        if (octet === EQUALS && this.state === State.NAME) return this.enter(State.VALUE_START);
        return octet === SEMICOLON && this.enter(State.NAME);
      case State.VALUE_START:
        if (octet === QUOTE) return this.enter(State.QUOTED);
        this.enter(State.TOKEN);
        this.part = 1;
        return TOKEN[octet] !== 0;
      case State.QUOTED:
        if (octet === QUOTE) return this.enter(State.UNQUOTED);
        if (octet === BACKSLASH) return this.enter(State.ESCAPED);
        return VALUE[octet] !== 0;
      case State.ESCAPED:
        this.enter(State.QUOTED);
        return VALUE[octet] !== 0;
      default:
        return octet === SEMICOLON && this.enter(State.NAME);
    }
  }

  private refuse(detail: string, octet: number, at: number): number {
    const isSpace = octet === SP || octet === HTAB;
    this.violation =
      octet === LF
        ? new Violation('bare-line-feed', 'LF without CR')
        : new Violation('bad-chunk', isSpace ? 'white space in a chunk line' : detail);
    return at;
  }
}
