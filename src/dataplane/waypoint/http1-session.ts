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
import type { Channel, ChannelEvents } from './channel.ts';
import { LIMITS } from './limits.ts';
import type { Downstream, DownstreamEvents, HttpVersion, RequestHead, ResponseHead } from './messages.ts';
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
  #closesAfter = false;
  /** Bytes behind the request that is being answered; their window is given back when they are parsed. */
  #backlog: Uint8Array | undefined;
  /** Body octets of the push under way: the exchange gives their window back. */
  #bodyOctets = 0;
  /** Discarded request octets after an early response. */
  #discarded = 0;
  #isTunnel = false;
  #clientEnded = false;
  #isOver = false;
  dueAt = performance.now() + LIMITS.IDLE_CONNECTION;

  constructor(channel: Channel, host: SessionHost) {
    this.#channel = channel;
    this.#host = host;
    this.#parser = createHttp1Parser('request', host.http1Limits, this);
    channel.events = this;
    deadlines.add(this);
  }

  get version(): HttpVersion {
    return this.#minorVersion === 1 ? 'HTTP/1.1' : 'HTTP/1.0';
  }

  drain(): void {
    this.#closesAfter = true;
    // An idle client learns it with its next response; one that never asks again is cut at the deadline of the drain.
  }

  abort(): void {
    this.#channel.abort();
    this.#over('the waypoint is shutting down');
  }

  onDeadline(): void {
    if (this.#exchange !== undefined) return;
    if (!this.#isRequestDone) this.abort();
    else if (!this.#parser.isIdle) this.#refuse(408, 'the request head did not arrive in time');
    else {
      this.#channel.finish();
      this.#over('idle');
    }
  }

  // The client's bytes.

  onChannelData(chunk: Uint8Array): void {
    if (this.#isOver) this.#channel.consumed(chunk.length);
    else if (this.#isTunnel) this.#exchange!.onRequestBody(chunk);
    else if (this.#backlog !== undefined || (this.#isRequestDone && !this.#isResponseDone)) this.#keep(chunk);
    else this.#feed(chunk);
  }

  onChannelEnd(): void {
    this.#clientEnded = true;
    if (this.#isOver) return;
    this.#closesAfter = true;
    if (this.#isTunnel) {
      if (!this.#isRequestDone) {
        this.#isRequestDone = true;
        this.#exchange?.onRequestEnd(NO_HEADERS);
      }
    } else if (this.#isRequestDone && this.#isResponseDone) {
      if (this.#parser.isIdle) {
        this.#channel.finish();
        this.#over('');
      } else this.#refuse(400, 'the connection ended within a request head');
    } else if (!this.#isRequestDone) {
      this.#exchange?.onClientGone('the client ended its connection within a request');
      this.#channel.abort();
      this.#over('');
    }
  }

  onChannelDrained(): void {
    this.#exchange?.onResponseDrained();
  }

  onChannelClosed(_isClean: boolean, detail: string): void {
    if (this.#isOver) return;
    const exchange = this.#exchange;
    this.#over(detail);
    exchange?.onClientGone(detail || 'the client closed its connection');
  }

  // The client's requests.

  onHead(head: Http1Head): void {
    this.dueAt = Number.POSITIVE_INFINITY;
    this.#method = head.method;
    this.#minorVersion = head.minorVersion;
    this.#acceptsTrailers = head.acceptsTrailers;
    this.#closesAfter ||= !head.isKeptAlive;
    this.#isRequestDone = false;
    this.#isBodyLong = head.framing === 'chunked' || head.contentLength > LIMITS.DISCARDED_BODY;
    this.#isResponseDone = false;
    this.#isHeadSent = false;
    this.#discarded = 0;
    const exchange = this.#host.begin(this, requestOf(head));
    // Answered and perhaps over before `begin` returned.
    if (!this.#isResponseDone && !this.#isOver) this.#exchange = exchange;
  }

  onBody(chunk: Uint8Array): void {
    if (this.#exchange !== undefined) {
      this.#bodyOctets += chunk.length;
      this.#exchange.onRequestBody(chunk);
      return;
    }
    this.#discarded += chunk.length;
    if (this.#discarded > LIMITS.DISCARDED_BODY) {
      this.#channel.abort();
      this.#over('');
    }
  }

  onEnd(trailers: HeaderList): void {
    this.#isRequestDone = true;
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
    else {
      this.#channel.abort();
      this.#over('');
    }
  }

  // The response.

  get isResponseBackedUp(): boolean {
    return this.#channel.isBackedUp;
  }

  sendInterim(status: number, headers: HeaderList): void {
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
      const backlog = this.#backlog;
      this.#backlog = undefined;
      if (backlog !== undefined) this.#exchange?.onRequestBody(backlog);
      return;
    }
    this.#closesAfter ||= this.#host.isDraining || (this.#isBodyLong && !this.#isRequestDone);
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
    this.#exchange = undefined;
    if (this.#isTunnel) {
      // The endpoint has said its last word; what the client still says has no reader.
      this.#channel.finish();
      this.#over('');
    } else this.#settle();
  }

  abortResponse(): void {
    this.#channel.abort();
    this.#over('');
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

  #feed(chunk: Uint8Array): void {
    let rest = chunk;
    while (rest.length > 0 && !this.#isOver) {
      this.#bodyOctets = 0;
      const taken = this.#parser.push(rest);
      this.#channel.consumed(taken - this.#bodyOctets);
      if (this.#isOver) return;
      if (!this.#parser.isIdle && this.#exchange === undefined && this.#isResponseDone)
        this.dueAt = performance.now() + LIMITS.HEAD_TIMEOUT;
      if (taken === rest.length) return;
      rest = rest.subarray(taken);
      if (!this.#isResponseDone) {
        if (this.#isTunnel) this.#exchange?.onRequestBody(rest);
        else this.#keep(rest);
        return;
      }
    }
  }

  #keep(chunk: Uint8Array): void {
    this.#backlog = this.#backlog === undefined ? chunk.slice() : Buffer.concat([this.#backlog, chunk]);
  }

  /** Goes on to the next request when this one is over in both directions. */
  #settle(): void {
    if (this.#isOver || !this.#isResponseDone) return;
    this.#exchange = undefined;
    if (this.#closesAfter || this.#clientEnded) {
      this.#channel.finish();
      // Not over yet for a client that is still sending: it gets the response before it is cut.
      if (this.#isRequestDone || this.#clientEnded) this.#over('');
      else this.dueAt = performance.now() + LIMITS.HEAD_TIMEOUT;
      return;
    }
    if (!this.#isRequestDone) {
      this.dueAt = performance.now() + LIMITS.HEAD_TIMEOUT;
      return;
    }
    this.dueAt = performance.now() + LIMITS.IDLE_CONNECTION;
    const backlog = this.#backlog;
    if (backlog === undefined) return;
    this.#backlog = undefined;
    this.#feed(backlog);
  }

  /** Answers what could not be understood; nothing on this connection can be relied on any more. */
  #refuse(status: number, reason: string): void {
    if (this.#isOver) return;
    this.#closesAfter = true;
    this.#writeHead(status, NO_HEADERS, 'length', 0, 'close', '');
    this.#channel.finish();
    this.#host.refused(status, reason);
    this.#over('');
  }

  #over(_detail: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#exchange = undefined;
    this.#backlog = undefined;
    this.dueAt = Number.POSITIVE_INFINITY;
    deadlines.delete(this);
    this.#host.sessionEnded(this);
  }
}

/** The authority and path of a request target (RFC 9112 section 3.2), and the fields without `host`. */
function requestOf(head: Http1Head): RequestHead {
  const { headers, target } = head;
  let authority = '';
  let rest = headers;
  for (let i = 0; i < headers.length; i++) {
    if (headers[i]![0] !== 'host') continue;
    authority = headers[i]![1];
    rest = headers.toSpliced(i, 1);
    break;
  }
  let path = target;
  let scheme = 'http';
  if (target.charCodeAt(0) !== 0x2f && target !== '*' && head.method !== 'CONNECT') {
    const start = target.indexOf('://') + 3;
    let end = start;
    while (end < target.length && target[end] !== '/' && target[end] !== '?') end++;
    scheme = target.slice(0, start - 3).toLowerCase();
    authority = target.slice(start, end);
    path = target.slice(end);
    if (!path.startsWith('/')) path = `/${path}`;
  }
  return {
    method: head.method,
    path,
    authority,
    scheme,
    headers: rest,
    version: head.minorVersion === 1 ? 'HTTP/1.1' : 'HTTP/1.0',
    contentLength: head.framing === 'none' ? 0 : head.framing === 'length' ? head.contentLength : -1,
    upgrade: head.upgrade,
    acceptsTrailers: head.acceptsTrailers,
  };
}
