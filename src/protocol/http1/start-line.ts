import { CR, LF, SP, TARGET, TOKEN, VALUE } from './octets.ts';
import { Violation } from './violation.ts';

const State = {
  FIRST: 0,
  METHOD: 1,
  TARGET_START: 2,
  TARGET: 3,
  VERSION: 4,
  AFTER_VERSION: 5,
  STATUS: 6,
  REASON_START: 7,
  REASON: 8,
  LINE_FEED: 9,
} as const;

const NAME = [0x48, 0x54, 0x54, 0x50, 0x2f];
const ZERO = 0x30;
const ONE = 0x31;
const TWO = 0x32;
const DOT = 0x2e;
const ASTERISK = 0x2a;

/**
 * Reads a request line or a status line (RFC 9112 sections 3 and 4), its CR LF included. Elements are separated by exactly one space. Offsets are from
 * `base`; stops and goes on anywhere, with the same octets at the same distance from `base`.
 */
export class StartLine {
  methodEnd = 0;
  targetEnd = 0;
  minorVersion: 0 | 1 = 1;
  status = 0;
  reasonStart = 0;
  reasonEnd = 0;
  isDone = false;
  violation: Violation | undefined = undefined;
  private state: number = State.FIRST;
  /** Octets of the version or digits of the status read so far. */
  private step = 0;
  private readonly isRequest: boolean;
  private readonly targetLimit: number;

  constructor(isRequest: boolean, targetLimit: number) {
    this.isRequest = isRequest;
    this.targetLimit = targetLimit;
  }

  reset(): void {
    this.isDone = false;
    this.state = State.FIRST;
    this.step = 0;
    this.status = 0;
  }

  /** Reads from `from` up to `end` and returns where it stopped: at `end`, behind the line (`isDone`) or at what it refused (`violation`). */
  scan(bytes: Uint8Array, base: number, from: number, end: number): number {
    let at = from;
    while (at < end) {
      switch (this.state) {
        case State.FIRST:
          if (!this.isRequest) this.state = State.VERSION;
          else if (TOKEN[bytes[at]!] === 0) return this.refuseFirst(bytes[at]!, at);
          else this.state = State.METHOD;
          break;
        case State.METHOD:
          while (at < end && TOKEN[bytes[at]!] !== 0) at++;
          if (at === end) break;
          if (bytes[at] !== SP) return this.refuseLine(bytes[at]!, at, 'the method is not a token and a space');
          this.methodEnd = at - base;
          at++;
          this.state = State.TARGET_START;
          break;
        case State.TARGET_START:
          if (TARGET[bytes[at]!] === 0) return this.refuseTarget(bytes[at]!, at, 'the request target is empty');
          this.state = State.TARGET;
          break;
        case State.TARGET: {
          const last = base + this.methodEnd + 1 + this.targetLimit;
          const stop = Math.min(end, last);
          while (at < stop && TARGET[bytes[at]!] !== 0) at++;
          if (at === end) break;
          if (bytes[at] !== SP) {
            if (at === last) return this.refuse(new Violation('target-too-long', `a request target over ${this.targetLimit} octets`), at);
            return this.refuseTarget(bytes[at]!, at, 'an octet that may not stand in a request target');
          }
          this.targetEnd = at - base;
          at++;
          this.state = State.VERSION;
          break;
        }
        case State.VERSION:
          if (!this.version(bytes, base, at)) return at;
          at++;
          break;
        case State.AFTER_VERSION:
          if (bytes[at] !== (this.isRequest ? CR : SP)) return this.refuseLine(bytes[at]!, at, 'something behind the version');
          at++;
          this.step = 0;
          this.state = this.isRequest ? State.LINE_FEED : State.STATUS;
          break;
        case State.STATUS:
          if (!this.statusDigit(bytes[at]!)) return this.refuseLine(bytes[at]!, at, 'the status is not three digits from 100 on');
          at++;
          break;
        case State.REASON_START:
          // Some servers leave out the space in front of an empty reason; there is only one way to read that.
          this.reasonStart = this.reasonEnd = at - base;
          if (bytes[at] === SP) {
            at++;
            this.reasonStart = at - base;
            this.state = State.REASON;
          } else if (bytes[at] === CR) {
            at++;
            this.state = State.LINE_FEED;
          } else return this.refuseLine(bytes[at]!, at, 'the status is not three digits from 100 on');
          break;
        case State.REASON:
          while (at < end && VALUE[bytes[at]!] !== 0) at++;
          if (at === end) break;
          if (bytes[at] !== CR) return this.refuseLine(bytes[at]!, at, 'a control character in the reason phrase');
          this.reasonEnd = at - base;
          at++;
          this.state = State.LINE_FEED;
          break;
        default:
          if (bytes[at] !== LF) return this.refuse(new Violation('bad-start-line', 'CR without LF'), at);
          this.isDone = true;
          return at + 1;
      }
    }
    return at;
  }

  /** Takes one octet of `HTTP/x.y`. */
  private version(bytes: Uint8Array, base: number, at: number): boolean {
    const octet = bytes[at]!;
    const step = this.step++;
    if (step < 5) {
      if (octet === NAME[step]) return true;
      if (this.isRequest) this.refuseLine(octet, at, 'no version behind the request target');
      else this.refuse(new Violation('not-http1', 'the answer does not begin with a version'), at);
      return false;
    }
    if (step === 5) {
      if (octet === ONE) return true;
      this.refuseMajor(bytes, base, octet, at);
      return false;
    }
    if (step === 6) {
      if (octet === DOT) return true;
      this.refuseLine(octet, at, 'a malformed version');
      return false;
    }
    if (octet === ZERO || octet === ONE) {
      this.minorVersion = octet === ZERO ? 0 : 1;
      this.state = State.AFTER_VERSION;
      return true;
    }
    if (octet >= ZERO && octet <= 0x39) this.refuse(new Violation('bad-version', 'a minor version other than 0 and 1'), at);
    else this.refuseLine(octet, at, 'a malformed version');
    return false;
  }

  private statusDigit(octet: number): boolean {
    if (octet < ZERO || octet > 0x39 || (this.step === 0 && octet === ZERO)) return false;
    this.status = this.status * 10 + octet - ZERO;
    if (++this.step === 3) this.state = State.REASON_START;
    return true;
  }

  private refuse(violation: Violation, at: number): number {
    this.violation = violation;
    return at;
  }

  private refuseLine(octet: number, at: number, detail: string): number {
    return this.refuse(octet === LF ? new Violation('bare-line-feed', 'LF without CR') : new Violation('bad-start-line', detail), at);
  }

  private refuseFirst(octet: number, at: number): number {
    const isText = octet >= SP && octet < 0x7f;
    if (isText || octet === LF || octet === CR) return this.refuseLine(octet, at, 'the method is not a token');
    return this.refuse(new Violation('not-http1', 'the first octet begins no method'), at);
  }

  private refuseTarget(octet: number, at: number, detail: string): number {
    if (octet === LF || octet === CR) return this.refuseLine(octet, at, 'no version behind the request target');
    return this.refuse(new Violation('bad-target', octet === SP ? 'more than one space' : detail), at);
  }

  private refuseMajor(bytes: Uint8Array, base: number, octet: number, at: number): number {
    if (this.isRequest && octet === TWO && this.isPreface(bytes, base))
      return this.refuse(new Violation('not-http1', 'an HTTP/2 preface'), at);
    if (octet >= ZERO && octet <= 0x39) return this.refuse(new Violation('bad-version', 'a major version other than 1'), at);
    return this.refuseLine(octet, at, 'a malformed version');
  }

  /** `PRI *`, which only the preface of HTTP/2 says (RFC 9113 section 3.4). */
  private isPreface(bytes: Uint8Array, base: number): boolean {
    const isPri = this.methodEnd === 3 && bytes[base] === 0x50 && bytes[base + 1] === 0x52 && bytes[base + 2] === 0x49;
    return isPri && this.targetEnd === 5 && bytes[base + 4] === ASTERISK;
  }
}
