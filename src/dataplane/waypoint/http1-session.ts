/** An HTTP/1.x connection of a client: one request at a time, the next one when the response before it is complete. */
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import {
  CHUNK_END,
  createHttp1Parser,
  encodeChunkHead,
  encodeLastChunk,
  encodeResponseHead,
  type HeaderList,
  type Http1Handler,
  type Http1Head,
  type Http1Parser,
  type Http1Violation,
  STATUS_REASONS,
} from '../../protocol/index.ts';
import { Backlog } from './backlog.ts';
import type { Channel, ChannelEvents } from './channel.ts';
import { requestOf } from './http1-request.ts';
import { LIMITS } from './limits.ts';
import type { Downstream, DownstreamEvents, ResponseHead } from './messages.ts';
import type { Session, SessionHost } from './session.ts';

const NO_HEADERS: HeaderList = [];
/** Responses that have no body whatever their fields say (RFC 9112 section 6.3). */
const isBodyless = (method: string, status: number): boolean => method === 'HEAD' || status === 204 || status === 304 || status < 200;

export class Http1Session implements Session, ChannelEvents, Http1Handler, Downstream, Deadline {
  readonly #channel: Channel;
  readonly #host: SessionHost;
  readonly #parser: Http1Parser;
  #exchange: DownstreamEvents | undefined;
  #method = '';
  #minorVersion: 0 | 1 = 1;
  #acceptsTrailers = false;
  #isRequestDone = true;
  /** An early response keeps the connection only when the rest of the request is short enough to be thrown away. */
  #isBodyLong = false;
  #isResponseDone = true;
  #isHeadSent = false;
  #isChunked = false;
  /** The client waits for 100 before it sends the body, which may so never come. */
  #isBodyHeldBack = false;
  #closesAfter = false;
  /** Bytes behind the request that is being answered; their window is given back when they are parsed. */
  readonly #backlog = new Backlog();
  /** Body octets of the push under way: the exchange gives their window back. */
  #bodyOctets = 0;
  /** Discarded request octets after an early response. */
  #discarded = 0;
  #isTunnel = false;
  #clientEnded = false;
  #requestEndedAt = 0;
  #idleSince = performance.now();
  /** Nothing more is said to the client, and nothing it says is read. */
  #isOver = false;
  #isClosed = false;
  #isFeeding = false;
  dueAt = performance.now() + LIMITS.IDLE_CONNECTION;

  constructor(channel: Channel, host: SessionHost) {
    this.#channel = channel;
    this.#host = host;
    this.#parser = createHttp1Parser('request', host.http1Limits, this);
    channel.events = this;
    deadlines.add(this);
  }

  drain(): void {
    // The client learns it with its next response: a connection must not end behind one that did not say so.
  }

  get isDone(): boolean {
    return this.#isOver && !this.#channel.isBackedUp;
  }

  endIdle(before: number): void {
    if (this.#isOver || !this.#isIdle || this.#idleSince > before) return;
    this.#part();
  }

  abort(): void {
    const exchange = this.#exchange;
    this.#cut();
    exchange?.onClientGone('the waypoint is shutting down');
  }

  onDeadline(now: number): void {
    if (this.#isOver) {
      // What was said may still be on its way to a slow reader.
      if (this.#channel.isBackedUp) this.dueAt = now + LIMITS.LINGER;
      else this.#cut();
    } else if (this.#exchange === undefined) {
      if (!this.#isRequestDone) this.#cut();
      else if (!this.#parser.isIdle) this.#refuse(408, 'the request head did not arrive in time');
      else this.#part();
    }
  }

  /** Between two requests. */
  get #isIdle(): boolean {
    return this.#isRequestDone && this.#isResponseDone && this.#parser.isIdle && this.#backlog.isEmpty;
  }

  // The client's bytes.

  onChannelData(chunk: Uint8Array): void {
    if (this.#isOver) this.#discard(chunk.length);
    else if (this.#isTunnel) this.#exchange!.onRequestBody(chunk);
    else if (!this.#backlog.isEmpty || (this.#isRequestDone && (!this.#isResponseDone || this.#channel.isBackedUp)))
      this.#backlog.add(chunk);
    else {
      const taken = this.#feed(chunk);
      if (taken < chunk.length && !this.#isOver) this.#backlog.add(chunk.subarray(taken));
    }
  }

  onChannelEnd(): void {
    this.#clientEnded = true;
    if (!this.#isOver) this.#endOfClient();
  }

  onChannelDrained(): void {
    if (this.#exchange !== undefined) this.#exchange.onResponseDrained();
    else if (this.#isResponseDone) this.#settle();
  }

  onChannelClosed(_isClean: boolean, detail: string): void {
    const exchange = this.#exchange;
    this.#closed();
    exchange?.onClientGone(detail || 'the client closed its connection');
  }

  // The client's requests.

  onHead(head: Http1Head): void {
    this.dueAt = Number.POSITIVE_INFINITY;
    this.#method = head.method;
    this.#minorVersion = head.minorVersion;
    this.#acceptsTrailers = head.acceptsTrailers;
    // Behind a CONNECT comes what its client wants to have tunnelled, not a request, even when it is refused.
    this.#closesAfter ||= !head.isKeptAlive || head.method === 'CONNECT';
    this.#isRequestDone = false;
    this.#isBodyLong = head.framing === 'chunked' || head.contentLength > LIMITS.DISCARDED_BODY;
    this.#isResponseDone = false;
    this.#isHeadSent = false;
    this.#isBodyHeldBack = head.expectsContinue && head.framing !== 'none';
    this.#discarded = 0;
    const exchange = this.#host.begin(this, requestOf(head));
    // Answered and perhaps over before `begin` returned.
    if (!this.#isResponseDone && !this.#isOver) this.#exchange = exchange;
  }

  onBody(chunk: Uint8Array): void {
    this.#isBodyHeldBack = false;
    if (this.#exchange !== undefined) {
      this.#bodyOctets += chunk.length;
      this.#exchange.onRequestBody(chunk);
      return;
    }
    this.#discarded += chunk.length;
    if (this.#discarded > LIMITS.DISCARDED_BODY) this.#part();
  }

  onEnd(trailers: HeaderList): void {
    this.#isRequestDone = true;
    this.#requestEndedAt = performance.now();
    this.#exchange?.onRequestEnd(trailers);
    this.#settle();
  }

  onViolation({ status, reason, detail }: Http1Violation): void {
    const exchange = this.#exchange;
    if (exchange === undefined && this.#isResponseDone && this.#isRequestDone) {
      this.#refuse(status, `${reason}: ${detail}`);
      return;
    }
    const canAnswer = !this.#isHeadSent && !this.#isResponseDone;
    this.#exchange = undefined;
    exchange?.onClientGone(`bad request body: ${reason}`);
    if (canAnswer) this.#refuse(status, `${reason}: ${detail}`);
    else this.#cut();
  }

  // The response.

  get isResponseBackedUp(): boolean {
    return this.#channel.isBackedUp;
  }

  sendInterim(status: number, headers: HeaderList): void {
    if (status === 100) this.#isBodyHeldBack = false;
    if (this.#isOver || this.#minorVersion === 0) return;
    this.#writeHead(status, headers, 'none', -1, 'keep-alive', '');
  }

  sendResponse(head: ResponseHead): void {
    if (this.#isOver) return;
    this.#isHeadSent = true;
    this.#isChunked = false;
    if (head.status === 101) {
      this.#isTunnel = true;
      this.#isRequestDone = false;
      this.#closesAfter = true;
      this.#writeHead(101, head.headers, 'none', -1, 'upgrade', head.upgrade);
      const early = this.#backlog.bytes;
      this.#backlog.clear();
      if (early.length > 0) this.#exchange?.onRequestBody(early);
      if (this.#clientEnded) this.#endOfClient();
      return;
    }
    this.#closesAfter ||= this.#host.isDraining || (this.#clientEnded && this.#backlog.isEmpty);
    if (!this.#isRequestDone) this.#closesAfter ||= this.#isBodyLong || this.#isBodyHeldBack;
    const bodyless = isBodyless(this.#method, head.status);
    if (bodyless) this.#writeHead(head.status, head.headers, 'none', -1, this.#connection, '');
    else if (head.contentLength >= 0) this.#writeHead(head.status, head.headers, 'length', head.contentLength, this.#connection, '');
    else if (this.#minorVersion === 1) {
      this.#isChunked = true;
      this.#writeHead(head.status, head.headers, 'chunked', -1, this.#connection, '');
    } else {
      this.#closesAfter = true;
      this.#writeHead(head.status, head.headers, 'until-close', -1, 'close', '');
    }
  }

  sendResponseBody(chunk: Uint8Array): void {
    if (this.#isOver || chunk.length === 0) return;
    if (!this.#isChunked) {
      this.#channel.write(chunk);
      return;
    }
    this.#channel.write(encodeChunkHead(chunk.length));
    this.#channel.write(chunk);
    this.#channel.write(CHUNK_END);
  }

  finishResponse(trailers: HeaderList): void {
    if (this.#isOver) return;
    if (this.#isChunked) this.#channel.write(encodeLastChunk(this.#acceptsTrailers ? trailers : NO_HEADERS));
    this.#isResponseDone = true;
    if (this.#isTunnel && !this.#isRequestDone) {
      // The endpoint has said its last word, the client not yet.
      this.#channel.finish();
      return;
    }
    this.#exchange = undefined;
    this.#settle();
  }

  abortResponse(): void {
    this.#cut();
  }

  requestConsumed(length: number): void {
    this.#channel.consumed(length);
  }

  get #connection(): 'keep-alive' | 'close' {
    return this.#closesAfter ? 'close' : 'keep-alive';
  }

  #writeHead(
    status: number,
    headers: HeaderList,
    framing: 'none' | 'length' | 'chunked' | 'until-close',
    contentLength: number,
    connection: 'keep-alive' | 'close' | 'upgrade',
    upgrade: string,
  ): void {
    const reason = STATUS_REASONS[status] ?? '';
    const minorVersion = this.#minorVersion;
    this.#channel.write(encodeResponseHead({ status, reason, headers, framing, contentLength, connection, upgrade, minorVersion }));
  }

  /** Parses up to the end of a request that has to be answered first. The octets taken. */
  #feed(bytes: Uint8Array): number {
    this.#isFeeding = true;
    let at = 0;
    while (at < bytes.length && !this.#isOver) {
      this.#bodyOctets = 0;
      const taken = this.#parser.push(at === 0 ? bytes : bytes.subarray(at));
      at += taken;
      this.#channel.consumed(taken - this.#bodyOctets);
      if (this.#isOver) break;
      if (!this.#parser.isIdle && this.#exchange === undefined && this.#isResponseDone)
        this.dueAt = performance.now() + LIMITS.HEAD_TIMEOUT;
      if (!this.#isResponseDone || this.#channel.isBackedUp) break;
    }
    this.#isFeeding = false;
    return at;
  }

  /** The requests that came meanwhile. */
  #catchUp(): void {
    while (!this.#isOver && !this.#backlog.isEmpty && this.#isRequestDone && this.#isResponseDone && !this.#channel.isBackedUp)
      this.#backlog.drop(this.#feed(this.#backlog.bytes));
  }

  /** Goes on to the next request when this one is over in both directions, and its answer is on its way. */
  #settle(): void {
    if (this.#isOver || !this.#isResponseDone) return;
    this.#exchange = undefined;
    if (this.#closesAfter) {
      // A client that is still sending gets to read the response before it is cut.
      this.#part();
      return;
    }
    const now = performance.now();
    if (!this.#isRequestDone) {
      this.dueAt = now + LIMITS.HEAD_TIMEOUT;
      return;
    }
    this.#idleSince = now;
    this.dueAt = now + LIMITS.IDLE_CONNECTION;
    // Else whoever feeds goes on by itself.
    if (!this.#isFeeding) this.#catchUp();
    if (this.#clientEnded) this.#endOfClient();
  }

  /**
   * The client says no more. Whether it still listens TCP does not tell: one that ends its side together with its request does (`nc`); one that does so
   * while it waits, or in the middle of the response, has most likely gone, and its endpoint must not go on working for nobody.
   */
  #endOfClient(): void {
    if (this.#isOver) return;
    const exchange = this.#exchange;
    if (this.#isTunnel) {
      if (this.#isRequestDone) return;
      this.#isRequestDone = true;
      exchange?.onRequestEnd(NO_HEADERS);
      if (this.#isResponseDone) this.#part();
    } else if (!this.#isRequestDone) {
      this.#cut();
      exchange?.onClientGone('the client ended its connection within a request');
    } else if (this.#isResponseDone) {
      if (!this.#backlog.isEmpty) return;
      if (this.#parser.isIdle) this.#part();
      else this.#refuse(400, 'the connection ended within a request head');
    } else if (this.#backlog.isEmpty && (this.#isHeadSent || performance.now() - this.#requestEndedAt > LIMITS.HALF_CLOSE)) {
      this.#cut();
      exchange?.onClientGone('the client ended its connection while it was answered');
    }
  }

  /** Answers what could not be understood; nothing on this connection can be relied on any more. */
  #refuse(status: number, reason: string): void {
    if (this.#isOver) return;
    this.#closesAfter = true;
    this.#writeHead(status, NO_HEADERS, 'length', 0, 'close', '');
    this.#host.refused(status, reason);
    this.#part();
  }

  /** Ends this side. What the client still sends is thrown away for a while: a reset would take from it what it has not read yet. */
  #part(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#exchange = undefined;
    this.#backlog.clear();
    this.#discarded = 0;
    this.dueAt = performance.now() + LIMITS.LINGER;
    this.#channel.finish();
  }

  #discard(octets: number): void {
    this.#discarded += octets;
    // Beyond that its window closes, and it has to wait for the deadline.
    if (this.#discarded <= LIMITS.DISCARDED_BODY) this.#channel.consumed(octets);
  }

  #cut(): void {
    this.#channel.abort();
    this.#closed();
  }

  #closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#isOver = true;
    this.#exchange = undefined;
    this.#backlog.clear();
    deadlines.delete(this);
    this.#host.sessionEnded(this);
  }
}
