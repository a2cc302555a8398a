/** An HTTP/1.1 connection to an endpoint: one request at a time, used again when its response was complete. */
import {
  CHUNK_END,
  createHttp1Parser,
  encodeChunkHead,
  encodeLastChunk,
  encodeRequestHead,
  type HeaderList,
  HTTP1_LIMITS,
  type Http1Handler,
  type Http1Head,
  type Http1Parser,
  type Http1Violation,
} from '../../protocol/index.ts';
import type { Channel, ChannelEvents } from './channel.ts';
import { NO_TRAILERS, type ResponseHead, type UpstreamEvents, type UpstreamStream } from './messages.ts';
import { failureOf, type OutgoingRequest, type UpstreamOwner } from './upstream.ts';

export class Http1Upstream implements ChannelEvents, Http1Handler, UpstreamStream {
  readonly #owner: UpstreamOwner<Http1Upstream>;
  readonly #parser: Http1Parser;
  #channel: Channel | undefined;
  /** What was written before the connection was there. */
  #early: Uint8Array[] = [];
  #events: UpstreamEvents | undefined;
  #method = '';
  #isUpgrade = false;
  #isChunked = false;
  #isRequestDone = false;
  #isKeptAlive = true;
  #isAnswered = false;
  #bodyOctets = 0;
  #isTunnel = false;
  /** Of a tunnel: the endpoint says no more. */
  #hasEnded = false;
  #isGone = false;
  /** Requests it has carried. */
  requests = 0;
  idleSince = 0;
  isConnected = false;
  readonly madeAt = performance.now();

  constructor(owner: UpstreamOwner<Http1Upstream>) {
    this.#owner = owner;
    this.#parser = createHttp1Parser('response', HTTP1_LIMITS, this);
  }

  attach(channel: Channel): void {
    if (this.#isGone) {
      channel.abort();
      return;
    }
    this.#channel = channel;
    channel.events = this;
    this.isConnected = true;
    this.#owner.connected(this);
    for (const bytes of this.#early) channel.write(bytes);
    const waited = this.#early.length > 0;
    this.#early = [];
    if (waited && !channel.isBackedUp) this.#events?.onRequestDrained();
  }

  /** There is no connection. */
  failed(detail: string): void {
    const events = this.#events;
    this.#gone();
    events?.onUpstreamFailed(failureOf('connect', detail));
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** Throws a TypeError for what HTTP/1.1 cannot carry; the connection is then as before. */
  start(request: OutgoingRequest, events: UpstreamEvents): void {
    const { contentLength, method } = request;
    const isChunked = contentLength < 0;
    // Servers ask for a length where a body belongs to the method (411), also when there is none.
    const saysEmpty = contentLength === 0 && (method === 'POST' || method === 'PUT' || method === 'PATCH');
    const head = encodeRequestHead({
      method,
      target: request.path,
      headers: [['host', request.authority], ...request.headers],
      framing: isChunked ? 'chunked' : contentLength > 0 || saysEmpty ? 'length' : 'none',
      contentLength,
      connection: request.upgrade === '' ? 'keep-alive' : 'upgrade',
      upgrade: request.upgrade,
      minorVersion: 1,
      acceptsTrailers: request.acceptsTrailers,
    });
    this.requests++;
    this.#events = events;
    this.#method = method;
    this.#isUpgrade = request.upgrade !== '';
    this.#isChunked = isChunked;
    this.#isRequestDone = false;
    this.#isKeptAlive = true;
    this.#isAnswered = false;
    this.#parser.expectResponse(method);
    this.#write(head);
  }

  get isRequestBackedUp(): boolean {
    return this.#channel === undefined || this.#channel.isBackedUp;
  }

  sendRequestBody(chunk: Uint8Array): void {
    if (this.#isGone || chunk.length === 0) return;
    if (!this.#isChunked) {
      this.#write(chunk);
      return;
    }
    this.#write(encodeChunkHead(chunk.length));
    this.#write(chunk);
    this.#write(CHUNK_END);
  }

  finishRequest(trailers: HeaderList): void {
    if (this.#isGone || this.#isRequestDone) return;
    this.#isRequestDone = true;
    if (this.#isTunnel) {
      this.#channel?.finish();
      if (this.#hasEnded) this.#gone();
    } else if (this.#isChunked) this.#write(encodeLastChunk(trailers));
  }

  cancel(): void {
    this.#events = undefined;
    if (this.#isGone) return;
    this.#channel?.abort();
    this.#gone();
  }

  responseConsumed(length: number): void {
    this.#channel?.consumed(length);
  }

  /** Closes it in order, while no request uses it. */
  close(): void {
    if (this.#isGone) return;
    this.#channel?.finish();
    this.#gone();
  }

  onChannelData(chunk: Uint8Array): void {
    if (this.#isGone) {
      this.#channel?.consumed(chunk.length);
      return;
    }
    let rest = chunk;
    for (;;) {
      if (this.#isTunnel) {
        this.#events?.onResponseBody(rest);
        return;
      }
      if (this.#events === undefined) {
        // Something before it was asked, as a 408 that closes an idle connection, or more than was asked.
        this.#channel?.abort();
        this.#gone();
        return;
      }
      this.#bodyOctets = 0;
      const taken = this.#parser.push(rest);
      this.#channel?.consumed(taken - this.#bodyOctets);
      if (this.#isGone || taken === rest.length) return;
      rest = rest.subarray(taken);
    }
  }

  onChannelEnd(): void {
    if (this.#isGone) return;
    const events = this.#events;
    if (this.#isTunnel) {
      // The client may still have something to say.
      this.#hasEnded = true;
      if (this.#isRequestDone) {
        this.#channel?.finish();
        this.#gone();
      }
      events?.onResponseEnd(NO_TRAILERS);
      return;
    }
    this.#isKeptAlive = false;
    if (events !== undefined) this.#parser.end();
    if (this.#isGone) return;
    if (this.#events !== undefined) this.#break('the endpoint closed its connection before it answered', 'reset');
    else {
      this.#channel?.finish();
      this.#gone();
    }
  }

  onChannelDrained(): void {
    this.#events?.onRequestDrained();
  }

  onChannelClosed(isClean: boolean, detail: string): void {
    this.#channel = undefined;
    if (this.#isGone) return;
    if (isClean && this.#events !== undefined && !this.#isTunnel) {
      this.#isKeptAlive = false;
      this.#parser.end();
      if (this.#isGone) return;
    }
    const wasRefused = detail.startsWith('tunnel refused');
    this.#break(detail, wasRefused && !this.#isAnswered ? 'connect' : 'reset');
  }

  onHead(head: Http1Head): void {
    const events = this.#events!;
    if (head.status < 200 && head.status !== 101) {
      events.onInterimResponse(head.status, head.headers);
      return;
    }
    if (this.#parser.isTunnel && !this.#isUpgrade) {
      this.#break('bad response: status 101, which nobody asked for', 'protocol');
      return;
    }
    this.#isAnswered = true;
    this.#isKeptAlive &&= head.isKeptAlive;
    this.#isTunnel = this.#parser.isTunnel;
    // What the client says from here on is not the request.
    if (this.#isTunnel) this.#isRequestDone = false;
    events.onResponse(responseOf(head, this.#method));
  }

  onBody(chunk: Uint8Array): void {
    this.#bodyOctets += chunk.length;
    if (this.#events === undefined) this.#channel?.consumed(chunk.length);
    else this.#events.onResponseBody(chunk);
  }

  onEnd(trailers: HeaderList): void {
    if (this.#isTunnel) return;
    const events = this.#events;
    this.#events = undefined;
    // A response before the end of the request: what is left of the request must not be taken for the next one.
    const isReusable = this.#isKeptAlive && this.#isRequestDone && !this.#isGone;
    if (!isReusable && !this.#isGone) {
      const channel = this.#channel;
      if (this.#isRequestDone) channel?.finish();
      else channel?.abort();
      this.#gone();
    }
    events?.onResponseEnd(trailers);
    if (isReusable) this.#owner.release(this);
  }

  onViolation({ reason, detail }: Http1Violation): void {
    this.#channel?.abort();
    // Half a head is no answer that could have been lost on the way: not a reset that another attempt would mend.
    const isCut = reason === 'truncated' && this.#isAnswered;
    this.#break(
      isCut ? 'the endpoint closed its connection within a response' : `bad response: ${reason}: ${detail}`,
      isCut ? 'reset' : 'protocol',
    );
  }

  #break(detail: string, kind: 'connect' | 'reset' | 'protocol'): void {
    const events = this.#events;
    this.#channel?.abort();
    this.#gone();
    events?.onUpstreamFailed(failureOf(kind, detail));
  }

  #write(bytes: Uint8Array): void {
    if (this.#channel !== undefined) this.#channel.write(bytes);
    else if (!this.#isGone) this.#early.push(bytes.slice());
  }

  #gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#events = undefined;
    this.#early = [];
    this.#owner.forget(this);
  }
}

function responseOf(head: Http1Head, method: string): ResponseHead {
  const isBodyless = head.framing === 'none' || method === 'HEAD';
  return {
    status: head.status,
    headers: head.headers,
    contentLength: isBodyless ? 0 : head.framing === 'length' ? head.contentLength : -1,
    upgrade: head.upgrade,
  };
}
