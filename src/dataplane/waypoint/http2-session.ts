/** An HTTP/2 connection of a client inside a tunnel (prior knowledge): many requests at once, gRPC among them. */
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import {
  createHttp2Connection,
  ErrorCode,
  type HeaderList,
  type Http2CloseReason,
  type Http2Connection,
  type Http2Handler,
  isPeerFault,
} from '../../protocol/index.ts';
import type { Channel, ChannelEvents } from './channel.ts';
import { FrameOutput } from './frame-output.ts';
import { sendableTrailers } from './header-fields.ts';
import { type RefusedHead, requestOf } from './http2-request.ts';
import { LIMITS } from './limits.ts';
import { type Downstream, type DownstreamEvents, NO_TRAILERS, type RequestHead, type ResponseHead } from './messages.ts';
import type { Session, SessionHost } from './session.ts';

const EMPTY = new Uint8Array(0);

export class Http2Session implements Session, ChannelEvents, Http2Handler, Deadline {
  readonly channel: Channel;
  readonly http2: Http2Connection;
  readonly #host: SessionHost;
  readonly #streams = new Map<number, Http2Request>();
  /** Octets of the channel's window, given back when the client reads what it is sent. */
  #owed = 0;
  #isOver = false;
  #isClosed = false;
  #lingersUntil = Number.POSITIVE_INFINITY;

  constructor(channel: Channel, host: SessionHost) {
    this.channel = channel;
    this.#host = host;
    channel.events = this;
    this.http2 = createHttp2Connection('server', host.http2Settings, this, new FrameOutput(channel));
    deadlines.add(this);
  }

  get dueAt(): number {
    return this.#isOver ? this.#lingersUntil : this.http2.nextDeadline();
  }

  onDeadline(now: number): void {
    if (!this.#isOver) this.http2.tick(now);
    else if (this.channel.isBackedUp) this.#lingersUntil = now + LIMITS.LINGER;
    else {
      this.channel.abort();
      this.#closed();
    }
  }

  drain(): void {
    if (!this.http2.isDraining) this.http2.shutdown('graceful');
  }

  get isDone(): boolean {
    return this.#isOver && !this.channel.isBackedUp;
  }

  /** GOAWAY has told the client; the connection ends with its last stream. */
  endIdle(): void {}

  abort(): void {
    this.http2.shutdown('abrupt');
  }

  onChannelData(chunk: Uint8Array): void {
    if (this.#isOver) return;
    this.http2.receive(chunk, performance.now());
    // The inner connection has windows of its own, but none for heads and acknowledgements: who does not read must not ask for more of them.
    if (this.channel.isBackedUp) this.#owed += chunk.length;
    else this.channel.consumed(chunk.length);
  }

  onChannelEnd(): void {
    if (!this.#isOver) this.http2.transportClosed();
  }

  onChannelDrained(): void {
    const owed = this.#owed;
    this.#owed = 0;
    if (owed > 0) this.channel.consumed(owed);
    for (const stream of this.#streams.values()) stream.drained();
  }

  onChannelClosed(): void {
    if (!this.#isOver) this.http2.transportClosed();
    this.#closed();
  }

  onHeaders(streamId: number, headers: HeaderList, endStream: boolean): void {
    const known = this.#streams.get(streamId);
    if (known !== undefined) {
      known.requestEnded(sendableTrailers(headers));
      return;
    }
    const head = requestOf(headers, endStream);
    if ('problem' in head) {
      this.#refuse(streamId, head, endStream);
      return;
    }
    const stream = new Http2Request(this, streamId);
    this.#streams.set(streamId, stream);
    stream.begin(this.#host, head);
    if (endStream) stream.requestEnded(NO_TRAILERS);
    // A connection that was made while the waypoint drains is good for what came at once.
    if (this.#host.isDraining) this.drain();
  }

  #refuse(streamId: number, { status, problem }: RefusedHead, endStream: boolean): void {
    this.http2.sendHeaders(streamId, [[':status', String(status)]], true);
    if (!endStream) this.http2.reset(streamId, ErrorCode.NO_ERROR);
    this.#host.refused(status, problem);
  }

  onData(streamId: number, chunk: Uint8Array, endStream: boolean): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      this.http2.consumed(streamId, chunk.length);
      return;
    }
    if (chunk.length > 0) stream.requestBody(chunk);
    if (endStream) stream.requestEnded(NO_TRAILERS);
  }

  onReset(streamId: number, code: number): void {
    const stream = this.#streams.get(streamId);
    this.#streams.delete(streamId);
    stream?.gone(`stream reset with code ${code}`);
  }

  onWritable(streamId: number): void {
    this.#streams.get(streamId)?.writable();
  }

  onGoaway(): void {}

  onClose(reason: Http2CloseReason, detail: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#lingersUntil = performance.now() + LIMITS.LINGER;
    if (isPeerFault(reason)) this.#host.refused(0, `${reason}: ${detail}`);
    this.channel.finish();
  }

  #closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    deadlines.delete(this);
    this.#host.sessionEnded(this);
  }

  /** The stream needs no more events. */
  forget(streamId: number): void {
    this.#streams.delete(streamId);
  }
}

/** One request of it. */
class Http2Request implements Downstream {
  readonly #session: Http2Session;
  readonly #streamId: number;
  #events: DownstreamEvents | undefined;
  #isRequestDone = false;
  #isHeadEnd = false;
  #isResponseDone = false;
  #isFinishWanted = false;
  #trailers: HeaderList = NO_TRAILERS;
  #pending: Uint8Array[] = [];

  constructor(session: Http2Session, streamId: number) {
    this.#session = session;
    this.#streamId = streamId;
  }

  begin(host: SessionHost, head: RequestHead): void {
    const events = host.begin(this, head);
    if (!this.#isResponseDone) this.#events = events;
  }

  requestBody(chunk: Uint8Array): void {
    if (this.#events === undefined) this.#session.http2.consumed(this.#streamId, chunk.length);
    else this.#events.onRequestBody(chunk);
  }

  requestEnded(trailers: HeaderList): void {
    if (this.#isRequestDone) return;
    this.#isRequestDone = true;
    this.#events?.onRequestEnd(trailers);
    this.#settle();
  }

  gone(detail: string): void {
    const events = this.#events;
    this.#events = undefined;
    this.#isResponseDone = true;
    this.#pending = [];
    events?.onClientGone(detail);
  }

  writable(): void {
    while (this.#pending.length > 0) {
      const chunk = this.#pending[0]!;
      const taken = this.#session.http2.sendData(this.#streamId, chunk, false);
      if (taken < chunk.length) {
        if (taken > 0) this.#pending[0] = chunk.subarray(taken);
        return;
      }
      this.#pending.shift();
    }
    if (this.#isFinishWanted) this.#finish();
    else this.drained();
  }

  drained(): void {
    if (!this.isResponseBackedUp) this.#events?.onResponseDrained();
  }

  get isResponseBackedUp(): boolean {
    return this.#pending.length > 0 || this.#session.channel.isBackedUp;
  }

  sendInterim(status: number, headers: HeaderList): void {
    if (!this.#isResponseDone) this.#session.http2.sendHeaders(this.#streamId, [[':status', String(status)], ...headers], false);
  }

  sendResponse({ status, headers, contentLength }: ResponseHead): void {
    if (this.#isResponseDone) return;
    this.#isHeadEnd = contentLength === 0;
    this.#session.http2.sendHeaders(this.#streamId, [[':status', String(status)], ...headers], this.#isHeadEnd);
  }

  sendResponseBody(chunk: Uint8Array): void {
    if (this.#isResponseDone || this.#isHeadEnd || chunk.length === 0) return;
    const taken = this.#pending.length > 0 ? 0 : this.#session.http2.sendData(this.#streamId, chunk, false);
    if (taken < chunk.length) this.#pending.push(chunk.slice(taken));
  }

  finishResponse(trailers: HeaderList): void {
    if (this.#isResponseDone || this.#isFinishWanted) return;
    this.#isFinishWanted = true;
    this.#trailers = trailers;
    this.#events = undefined;
    if (this.#pending.length === 0) this.#finish();
  }

  abortResponse(): void {
    if (this.#isResponseDone) return;
    this.#end();
    this.#session.http2.reset(this.#streamId, ErrorCode.INTERNAL_ERROR);
  }

  requestConsumed(length: number): void {
    this.#session.http2.consumed(this.#streamId, length);
  }

  #finish(): void {
    const { http2 } = this.#session;
    if (!this.#isHeadEnd) {
      if (this.#trailers.length > 0) http2.sendHeaders(this.#streamId, this.#trailers, true);
      else http2.sendData(this.#streamId, EMPTY, true);
    }
    this.#isResponseDone = true;
    this.#events = undefined;
    this.#settle();
  }

  /** A whole response before the end of the request: the client need not send the rest (RFC 9113 section 8.1). */
  #settle(): void {
    if (!this.#isResponseDone) return;
    this.#session.forget(this.#streamId);
    if (!this.#isRequestDone) this.#session.http2.reset(this.#streamId, ErrorCode.NO_ERROR);
  }

  #end(): void {
    this.#isResponseDone = true;
    this.#events = undefined;
    this.#pending = [];
    this.#session.forget(this.#streamId);
  }
}
