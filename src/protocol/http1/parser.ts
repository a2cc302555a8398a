import { EMPTY } from '../bytes.ts';
import type { HeaderList } from '../http2/types.ts';
import { ChunkLine } from './chunk-line.ts';
import { FieldLines } from './field-lines.ts';
import { readHead, readTrailers } from './head.ts';
import { INTERIM_RESPONSES } from './limits.ts';
import { CR, LF } from './octets.ts';
import { StartLine } from './start-line.ts';
import type { Http1Handler, Http1Limits, Http1Parser } from './types.ts';
import { Violation } from './violation.ts';

const Mode = {
  IDLE: 0,
  /** A CR in front of a request line. */
  EMPTY_LINE: 1,
  HEAD: 2,
  LENGTH: 3,
  UNTIL_CLOSE: 4,
  CHUNK_LINE: 5,
  CHUNK_DATA: 6,
  CHUNK_CR: 7,
  CHUNK_LF: 8,
  TRAILERS: 9,
  TUNNEL: 10,
  OVER: 11,
} as const;

const NO_TRAILERS: HeaderList = [];
/** A head that comes in pieces is kept in memory that starts this large; what follows it in its last piece is copied up to this much in vain. */
const PIECE = 1024;

/** Creates the reader of one direction of one connection. */
export function createHttp1Parser(kind: 'request' | 'response', limits: Http1Limits, handler: Http1Handler): Http1Parser {
  return new Parser(kind === 'request', limits, handler);
}

class Parser implements Http1Parser {
  private mode: number = Mode.IDLE;
  private readonly isRequest: boolean;
  private readonly limits: Http1Limits;
  private readonly handler: Http1Handler;
  private readonly start: StartLine;
  private readonly fields: FieldLines;
  private readonly chunkLine: ChunkLine;
  /** The method a response answers, '' when none is expected. */
  private asked = '';
  private hasSkippedLine = false;
  private interims = 0;
  /** Messages that have ended. */
  private messages = 0;
  /** Octets of the body, or of its current chunk, still to come. */
  private left = 0;
  /** The part of a head or of trailers that came in earlier chunks. */
  private kept: Uint8Array = EMPTY;
  private keptFilled = 0;

  constructor(isRequest: boolean, limits: Http1Limits, handler: Http1Handler) {
    this.isRequest = isRequest;
    this.limits = limits;
    this.handler = handler;
    this.start = new StartLine(isRequest, limits.targetBytes);
    this.fields = new FieldLines(limits.headerCount);
    this.chunkLine = new ChunkLine(limits.chunkLineBytes);
  }

  get isIdle(): boolean {
    return this.mode <= Mode.EMPTY_LINE && this.interims === 0;
  }

  get isTunnel(): boolean {
    return this.mode === Mode.TUNNEL;
  }

  expectResponse(method: string): void {
    this.asked = method;
  }

  stop(): void {
    this.mode = Mode.OVER;
    this.kept = EMPTY;
    this.keptFilled = 0;
  }

  end(): void {
    if (this.mode === Mode.TUNNEL || this.mode === Mode.OVER) return;
    const wasIdle = this.isIdle;
    const isComplete = this.mode === Mode.UNTIL_CLOSE;
    this.stop();
    if (isComplete) this.handler.onEnd(NO_TRAILERS);
    else if (!wasIdle) this.handler.onViolation(new Violation('truncated', 'the connection ended inside a message'));
  }

  push(chunk: Uint8Array): number {
    const end = chunk.length;
    // Not read off the mode: the handler may have pushed the beginning of the next message when it heard of the end of this one.
    const before = this.messages;
    let at = 0;
    while (at < end) {
      switch (this.mode) {
        case Mode.IDLE:
          if (this.isRequest) {
            if (chunk[at] === CR && !this.hasSkippedLine) {
              this.hasSkippedLine = true;
              this.mode = Mode.EMPTY_LINE;
              at++;
              break;
            }
          } else if (this.asked === '') return this.refuse(new Violation('bad-start-line', 'a response nobody asked for'), at);
          this.mode = Mode.HEAD;
          this.start.reset();
          this.fields.reset();
          break;
        case Mode.EMPTY_LINE:
          if (chunk[at] !== LF) return this.refuse(new Violation('bad-start-line', 'CR without LF'), at);
          this.mode = Mode.IDLE;
          at++;
          break;
        case Mode.HEAD:
        case Mode.TRAILERS:
          at = this.section(chunk, at);
          if (this.messages !== before) return at;
          break;
        case Mode.LENGTH:
        case Mode.CHUNK_DATA:
          at = this.data(chunk, at);
          if (this.messages !== before) return at;
          break;
        case Mode.UNTIL_CLOSE:
          this.handler.onBody(at === 0 ? chunk : chunk.subarray(at));
          return end;
        case Mode.CHUNK_LINE:
          at = this.chunkLine.scan(chunk, at, end);
          if (this.chunkLine.violation !== undefined) return this.refuse(this.chunkLine.violation, at);
          if (this.chunkLine.isDone) this.startChunk(this.chunkLine.size);
          break;
        case Mode.CHUNK_CR:
        case Mode.CHUNK_LF: {
          const isFirst = this.mode === Mode.CHUNK_CR;
          if (chunk[at] !== (isFirst ? CR : LF)) return this.refuse(new Violation('bad-chunk', 'no CR LF behind the data of a chunk'), at);
          at++;
          this.mode = isFirst ? Mode.CHUNK_LF : Mode.CHUNK_LINE;
          break;
        }
        default:
          return at;
      }
    }
    return at;
  }

  private refuse(violation: Violation, at: number): number {
    this.stop();
    this.handler.onViolation(violation);
    return at;
  }

  /** A method, since the compiler takes the mode for what it was before a handler was called. */
  private isOver(): boolean {
    return this.mode === Mode.OVER;
  }

  /** Reads on in a head or in trailers: in place while all of it is in `chunk`, else in `kept`. */
  private section(chunk: Uint8Array, at: number): number {
    const limit = this.mode === Mode.HEAD ? this.limits.headBytes : this.limits.trailerBytes;
    if (this.keptFilled === 0) {
      const end = Math.min(chunk.length, at + limit);
      const stop = this.scan(chunk, at, at, end);
      if (this.fields.isDone) return this.completeSection(chunk, at, stop, stop);
      if (this.isRefused()) return stop;
      if (end - at === limit) return this.refuse(this.tooLarge(), end);
      this.keep(chunk, at, end);
      return end;
    }
    const before = this.keptFilled;
    const size = Math.min(chunk.length - at, limit - before, PIECE);
    this.keep(chunk, at, at + size);
    const stop = this.scan(this.kept, 0, before, this.keptFilled);
    if (this.fields.isDone) {
      const kept = this.kept;
      this.kept = EMPTY;
      this.keptFilled = 0;
      return this.completeSection(kept, 0, stop, at + stop - before);
    }
    if (this.isRefused()) return at + stop - before;
    return this.keptFilled === limit ? this.refuse(this.tooLarge(), at + size) : at + size;
  }

  private scan(bytes: Uint8Array, base: number, from: number, end: number): number {
    let at = from;
    if (this.mode === Mode.HEAD && !this.start.isDone) {
      at = this.start.scan(bytes, base, at, end);
      if (!this.start.isDone) return at;
    }
    return this.fields.scan(bytes, base, at, end);
  }

  private isRefused(): boolean {
    const violation = this.start.violation ?? this.fields.violation;
    if (violation !== undefined) this.refuse(violation, 0);
    return violation !== undefined;
  }

  private tooLarge(): Violation {
    if (this.mode === Mode.HEAD) return new Violation('head-too-large', `a head over ${this.limits.headBytes} octets`);
    return new Violation('trailers-too-large', `trailers over ${this.limits.trailerBytes} octets`);
  }

  private keep(chunk: Uint8Array, from: number, to: number): void {
    const filled = this.keptFilled + to - from;
    if (filled > this.kept.length) {
      const larger = new Uint8Array(Math.max(PIECE, filled, this.kept.length * 2));
      larger.set(this.kept.subarray(0, this.keptFilled));
      this.kept = larger;
    }
    this.kept.set(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to), this.keptFilled);
    this.keptFilled = filled;
  }

  /** `stop` is behind the section in `bytes`; `taken`, in what was pushed, is handed back. */
  private completeSection(bytes: Uint8Array, base: number, stop: number, taken: number): number {
    if (this.mode === Mode.TRAILERS) {
      const trailers = this.fields.count === 0 ? NO_TRAILERS : readTrailers(bytes, base, stop, this.fields);
      if (trailers instanceof Violation) return this.refuse(trailers, taken);
      this.endMessage(trailers);
      return taken;
    }
    const head = readHead(bytes, base, stop, this.asked, this.start, this.fields);
    if (head instanceof Violation) return this.refuse(head, taken);
    const status = head.status;
    if (!this.isRequest && (status === 101 || (this.asked === 'CONNECT' && status >= 200 && status < 300))) {
      this.mode = Mode.TUNNEL;
      this.handler.onHead(head);
      return taken;
    }
    if (!this.isRequest && status < 200) {
      if (++this.interims > INTERIM_RESPONSES) return this.refuse(new Violation('bad-start-line', 'too many interim responses'), taken);
      this.mode = Mode.IDLE;
      this.handler.onHead(head);
      return taken;
    }
    switch (head.framing) {
      case 'length':
        this.mode = Mode.LENGTH;
        this.left = head.contentLength;
        break;
      case 'chunked':
        this.mode = Mode.CHUNK_LINE;
        this.chunkLine.reset();
        break;
      case 'until-close':
        this.mode = Mode.UNTIL_CLOSE;
        break;
      default:
        this.left = 0;
        break;
    }
    this.handler.onHead(head);
    const isComplete = head.framing === 'none' || head.contentLength === 0;
    if (isComplete && !this.isOver()) this.endMessage(NO_TRAILERS);
    return taken;
  }

  private data(chunk: Uint8Array, at: number): number {
    const size = Math.min(chunk.length - at, this.left);
    this.left -= size;
    const slice = size === chunk.length ? chunk : chunk.subarray(at, at + size);
    const isChunked = this.mode === Mode.CHUNK_DATA;
    if (this.left === 0 && isChunked) this.mode = Mode.CHUNK_CR;
    this.handler.onBody(slice);
    if (this.left === 0 && !isChunked && !this.isOver()) this.endMessage(NO_TRAILERS);
    return at + size;
  }

  private startChunk(size: number): void {
    this.chunkLine.reset();
    if (size > 0) {
      this.mode = Mode.CHUNK_DATA;
      this.left = size;
    } else {
      this.mode = Mode.TRAILERS;
      this.fields.reset();
    }
  }

  private endMessage(trailers: HeaderList): void {
    this.mode = Mode.IDLE;
    this.asked = '';
    this.hasSkippedLine = false;
    this.interims = 0;
    this.messages++;
    this.handler.onEnd(trailers);
  }
}
