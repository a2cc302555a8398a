/** An HTTP/2 connection to an endpoint inside a tunnel: many requests at once. */
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import {
  createHttp2Connection,
  ErrorCode,
  type HeaderList,
  type Http2CloseReason,
  type Http2Connection,
  type Http2Handler,
  type Http2Settings,
  responseStatus,
} from '../../protocol/index.ts';
import type { Channel, ChannelEvents } from './channel.ts';
import { FrameOutput } from './frame-output.ts';
import { isSendable, sendableTrailers } from './header-fields.ts';
import { NO_TRAILERS, type UpstreamEvents, type UpstreamStream } from './messages.ts';
import { failureOf, type OutgoingRequest, type UpstreamOwner } from './upstream.ts';

const EMPTY = new Uint8Array(0);

export class Http2Upstream implements ChannelEvents, Http2Handler, Deadline {
  readonly http2: Http2Connection;
  readonly #owner: UpstreamOwner<Http2Upstream>;
  readonly #output = new FrameOutput();
  readonly #streams = new Map<number, Http2UpstreamStream>();
  #channel: Channel | undefined;
  #isGone = false;
  #connectFailure = '';
  requests = 0;
  idleSince = 0;
  isConnected = false;
  readonly madeAt = performance.now();

  constructor(owner: UpstreamOwner<Http2Upstream>, settings: Http2Settings) {
    this.#owner = owner;
    this.http2 = createHttp2Connection('client', settings, this, this.#output);
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
    this.#output.attach(channel);
    deadlines.add(this);
    this.onChannelDrained();
  }

  failed(detail: string): void {
    this.#connectFailure = detail;
    this.http2.transportClosed();
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  get isBackedUp(): boolean {
    return this.#channel === undefined || this.#channel.isBackedUp;
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** Undefined when it takes no more streams. */
  start(request: OutgoingRequest, events: UpstreamEvents): UpstreamStream | undefined {
    const headers: HeaderList[number][] = [
      [':method', request.method],
      [':scheme', request.scheme],
      [':authority', request.authority],
      [':path', request.path],
    ];
    for (const field of request.headers) headers.push(field);
    if (request.acceptsTrailers) headers.push(['te', 'trailers']);
    const streamId = this.http2.request(headers, request.contentLength === 0);
    if (streamId === undefined) return undefined;
    this.requests++;
    const stream = new Http2UpstreamStream(this, streamId, events, request.contentLength === 0);
    this.#streams.set(streamId, stream);
    return stream;
  }

  close(): void {
    if (!this.#isGone) this.http2.shutdown('graceful');
  }

  /** The stream needs no more events. */
  forget(streamId: number): void {
    if (!this.#streams.delete(streamId) || this.#isGone) return;
    this.#owner.release(this);
  }

  get dueAt(): number {
    return this.http2.nextDeadline();
  }

  onDeadline(now: number): void {
    this.http2.tick(now);
  }

  onChannelData(chunk: Uint8Array): void {
    const channel = this.#channel;
    this.http2.receive(chunk, performance.now());
    channel?.consumed(chunk.length);
  }

  onChannelEnd(): void {
    if (!this.#isGone) this.http2.transportClosed();
  }

  onChannelDrained(): void {
    for (const stream of this.#streams.values()) stream.drained();
  }

  onChannelClosed(_isClean: boolean, detail: string): void {
    this.#channel = undefined;
    if (this.#isGone) return;
    if (detail.startsWith('tunnel refused')) this.#connectFailure = detail;
    this.http2.transportClosed();
  }

  onHeaders(streamId: number, headers: HeaderList, endStream: boolean): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    stream.headers(headers, endStream);
  }

  onData(streamId: number, chunk: Uint8Array, endStream: boolean): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) this.http2.consumed(streamId, chunk.length);
    else stream.data(chunk, endStream);
  }

  onReset(streamId: number, code: number): void {
    const stream = this.#streams.get(streamId);
    this.#streams.delete(streamId);
    if (stream === undefined) return;
    if (this.#connectFailure !== '') stream.failed('connect', this.#connectFailure, true);
    else if (code === ErrorCode.REFUSED_STREAM) stream.failed('refused', 'the endpoint refused the stream', true);
    else stream.failed('reset', `the endpoint reset the stream with code ${code}`, false);
    if (!this.#isGone) this.#owner.release(this);
  }

  onWritable(streamId: number): void {
    this.#streams.get(streamId)?.writable();
  }

  onGoaway(): void {}

  onClose(_reason: Http2CloseReason, _detail: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    deadlines.delete(this);
    this.#channel?.finish();
    this.#owner.forget(this);
  }
}

class Http2UpstreamStream implements UpstreamStream {
  readonly #connection: Http2Upstream;
  readonly #streamId: number;
  #events: UpstreamEvents | undefined;
  #isAnswered = false;
  #isRequestDone: boolean;
  #isFinishWanted = false;
  #trailers: HeaderList = NO_TRAILERS;
  #pending: Uint8Array[] = [];

  constructor(connection: Http2Upstream, streamId: number, events: UpstreamEvents, isRequestDone: boolean) {
    this.#connection = connection;
    this.#streamId = streamId;
    this.#events = events;
    this.#isRequestDone = isRequestDone;
  }

  get isRequestBackedUp(): boolean {
    return this.#pending.length > 0 || this.#connection.isBackedUp;
  }

  sendRequestBody(chunk: Uint8Array): void {
    if (this.#isRequestDone || chunk.length === 0) return;
    const taken = this.#pending.length > 0 ? 0 : this.#connection.http2.sendData(this.#streamId, chunk, false);
    if (taken < chunk.length) this.#pending.push(chunk.slice(taken));
  }

  finishRequest(trailers: HeaderList): void {
    if (this.#isRequestDone || this.#isFinishWanted) return;
    this.#isFinishWanted = true;
    this.#trailers = trailers;
    if (this.#pending.length === 0) this.#finish();
  }

  cancel(): void {
    if (this.#events === undefined) return;
    this.#end();
    this.#connection.http2.reset(this.#streamId, ErrorCode.CANCEL);
  }

  responseConsumed(length: number): void {
    this.#connection.http2.consumed(this.#streamId, length);
  }

  headers(headers: HeaderList, endStream: boolean): void {
    const events = this.#events;
    if (events === undefined) return;
    if (this.#isAnswered) {
      this.#ended(sendableTrailers(headers));
      return;
    }
    const status = responseStatus(headers);
    const rest = headers.filter(([name]) => name !== ':status');
    if (!rest.every(([, value]) => isSendable(value))) {
      this.#end();
      this.#connection.http2.reset(this.#streamId, ErrorCode.PROTOCOL_ERROR);
      events.onUpstreamFailed(failureOf('protocol', 'bad response: control characters in a field'));
      return;
    }
    if (status < 200) {
      events.onInterimResponse(status, rest);
      return;
    }
    this.#isAnswered = true;
    // With a length of 0 and without the end there are trailers to come.
    const length = Number(rest.find(([name]) => name === 'content-length')?.[1] ?? 0);
    events.onResponse({ status, headers: rest, contentLength: endStream ? 0 : length || -1, upgrade: '' });
    if (endStream) this.#ended(NO_TRAILERS);
  }

  data(chunk: Uint8Array, endStream: boolean): void {
    if (chunk.length > 0) {
      if (this.#events === undefined) this.#connection.http2.consumed(this.#streamId, chunk.length);
      else this.#events.onResponseBody(chunk);
    }
    if (endStream) this.#ended(NO_TRAILERS);
  }

  failed(kind: 'connect' | 'refused' | 'reset', detail: string, isUnprocessed: boolean): void {
    const events = this.#events;
    this.#events = undefined;
    this.#pending = [];
    events?.onUpstreamFailed(failureOf(kind, detail, isUnprocessed));
  }

  writable(): void {
    while (this.#pending.length > 0) {
      const chunk = this.#pending[0]!;
      const taken = this.#connection.http2.sendData(this.#streamId, chunk, false);
      if (taken < chunk.length) {
        if (taken > 0) this.#pending[0] = chunk.subarray(taken);
        return;
      }
      this.#pending.shift();
    }
    if (this.#isFinishWanted && !this.#isRequestDone) this.#finish();
    this.drained();
  }

  drained(): void {
    if (!this.isRequestBackedUp) this.#events?.onRequestDrained();
  }

  #finish(): void {
    this.#isRequestDone = true;
    const { http2 } = this.#connection;
    if (this.#trailers.length > 0) http2.sendHeaders(this.#streamId, this.#trailers, true);
    else http2.sendData(this.#streamId, EMPTY, true);
  }

  /** The response is complete. A request that is not is of no interest any more. */
  #ended(trailers: HeaderList): void {
    const events = this.#events;
    const isRequestDone = this.#isRequestDone;
    this.#end();
    events?.onResponseEnd(trailers);
    if (!isRequestDone) this.#connection.http2.reset(this.#streamId, ErrorCode.NO_ERROR);
  }

  #end(): void {
    this.#events = undefined;
    this.#pending = [];
    this.#connection.forget(this.#streamId);
  }
}
