import { nameId } from './names.ts';
import { COLON, CR, HTAB, LF, LOWER, SP, VALUE } from './octets.ts';
import { Violation } from './violation.ts';

const State = { LINE: 0, NAME: 1, SPACE: 2, VALUE: 3, LINE_FEED: 4, LAST_LINE_FEED: 5 } as const;

/** Numbers kept per field: where its name and value start and end, and its name's id (-1: not a known one). */
const WIDTH = 5;
const FIRST_FIELDS = 16;

/**
 * Reads field lines (RFC 9112 section 5) up to and with the empty line behind them: the second part of a head, or trailers. It keeps where they are, not
 * what they say; offsets are from `base`. Stops and goes on anywhere, with the same octets at the same distance from `base`.
 */
export class FieldLines {
  count = 0;
  isDone = false;
  violation: Violation | undefined = undefined;
  private state: number = State.LINE;
  private nameStart = 0;
  private valueStart = 0;
  private places = new Int32Array(FIRST_FIELDS * WIDTH);
  private readonly limit: number;

  constructor(limit: number) {
    this.limit = limit;
  }

  reset(): void {
    this.count = 0;
    this.isDone = false;
    this.state = State.LINE;
  }

  nameStartOf(field: number): number {
    return this.places[field * WIDTH]!;
  }
  nameEndOf(field: number): number {
    return this.places[field * WIDTH + 1]!;
  }
  valueStartOf(field: number): number {
    return this.places[field * WIDTH + 2]!;
  }
  valueEndOf(field: number): number {
    return this.places[field * WIDTH + 3]!;
  }
  idOf(field: number): number {
    return this.places[field * WIDTH + 4]!;
  }

  /** Reads from `from` up to `end` and returns where it stopped: at `end`, behind the empty line (`isDone`) or at what it refused (`violation`). */
  scan(bytes: Uint8Array, base: number, from: number, end: number): number {
    let at = from;
    let state = this.state;
    while (at < end) {
      switch (state) {
        case State.LINE: {
          const octet = bytes[at]!;
          if (octet === CR) {
            state = State.LAST_LINE_FEED;
            at++;
            break;
          }
          if (LOWER[octet] === 0) return this.refuseLine(octet, at);
          if (this.count === this.limit) return this.refuse(new Violation('too-many-headers', `more than ${this.limit} fields`), at);
          this.nameStart = at - base;
          state = State.NAME;
          break;
        }
        case State.NAME: {
          while (at < end && LOWER[bytes[at]!] !== 0) at++;
          if (at === end) break;
          if (bytes[at] !== COLON) return this.refuseName(bytes[at]!, at);
          this.keepName(bytes, base, at);
          at++;
          state = State.SPACE;
          break;
        }
        case State.SPACE: {
          while (at < end && (bytes[at] === SP || bytes[at] === HTAB)) at++;
          if (at === end) break;
          this.valueStart = at - base;
          state = State.VALUE;
          break;
        }
        case State.VALUE: {
          while (at < end && VALUE[bytes[at]!] !== 0) at++;
          if (at === end) break;
          if (bytes[at] !== CR) return this.refuseValue(bytes[at]!, at);
          this.keepValue(bytes, base, at);
          at++;
          state = State.LINE_FEED;
          break;
        }
        case State.LINE_FEED:
          if (bytes[at] !== LF) return this.refuse(new Violation('bad-header-value', 'CR without LF'), at);
          at++;
          this.count++;
          state = State.LINE;
          break;
        default:
          if (bytes[at] !== LF) return this.refuse(new Violation('bad-header-name', 'CR without LF at the start of a line'), at);
          this.isDone = true;
          return at + 1;
      }
    }
    this.state = state;
    return at;
  }

  private keepName(bytes: Uint8Array, base: number, at: number): void {
    let place = this.count * WIDTH;
    if (place === this.places.length) {
      const larger = new Int32Array(place * 2);
      larger.set(this.places);
      this.places = larger;
    }
    this.places[place++] = this.nameStart;
    this.places[place] = at - base;
    this.places[place + 3] = nameId(bytes, base + this.nameStart, at);
  }

  private keepValue(bytes: Uint8Array, base: number, at: number): void {
    const start = base + this.valueStart;
    let end = at;
    while (end > start && (bytes[end - 1] === SP || bytes[end - 1] === HTAB)) end--;
    const place = this.count * WIDTH + 2;
    this.places[place] = this.valueStart;
    this.places[place + 1] = end - base;
  }

  private refuse(violation: Violation, at: number): number {
    this.violation = violation;
    return at;
  }

  private refuseLine(octet: number, at: number): number {
    if (octet === LF) return this.refuse(new Violation('bare-line-feed', 'LF without CR'), at);
    const isSpace = octet === SP || octet === HTAB;
    if (isSpace && this.count > 0) return this.refuse(new Violation('obsolete-folding', 'a field line begins with white space'), at);
    const what = octet === COLON ? 'an empty field name' : isSpace ? 'white space before the first field' : 'a field name is not a token';
    return this.refuse(new Violation('bad-header-name', what), at);
  }

  private refuseName(octet: number, at: number): number {
    if (octet === LF) return this.refuse(new Violation('bare-line-feed', 'LF without CR'), at);
    const isSpace = octet === SP || octet === HTAB;
    const what = isSpace ? 'white space behind a field name' : octet === CR ? 'a field line without colon' : 'a field name is not a token';
    return this.refuse(new Violation('bad-header-name', what), at);
  }

  private refuseValue(octet: number, at: number): number {
    if (octet === LF) return this.refuse(new Violation('bare-line-feed', 'LF without CR'), at);
    return this.refuse(new Violation('bad-header-value', 'a control character in a field value'), at);
  }
}
