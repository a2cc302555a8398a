/** An HTTP/2 connection of a client inside a tunnel (prior knowledge): many requests at once, gRPC among them. */
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import {
  createHttp2Connection,
  ErrorCode,
  type HeaderList,
  type Http2CloseReason,
  type Http2Connection,
  type Http2Handler,
} from '../../protocol/index.ts';
import type { Channel, ChannelEvents } from './channel.ts';
import { FrameOutput } from './frame-output.ts';
import { type Downstream, type DownstreamEvents, type HttpVersion, NO_TRAILERS, type RequestHead, type ResponseHead } from './messages.ts';
import type { Session, SessionHost } from './session.ts';

const EMPTY = new Uint8Array(0);

export class Http2Session implements Session, ChannelEvents, Http2Handler, Deadline {
  readonly channel: Channel;
  readonly http2: Http2Connection;
  readonly #host: SessionHost;
  readonly #streams = new Map<number, Http2Request>();
  #isOver = false;

  constructor(channel: Channel, host: SessionHost) {
    this.channel = channel;
    this.#host = host;
    channel.events = this;
    this.http2 = createHttp2Connection('server', host.http2Settings, this, new FrameOutput(channel));
    deadlines.add(this);
  }

  get dueAt(): number {
    return this.http2.nextDeadline();
  }

  onDeadline(now: number): void {
    this.http2.tick(now);
  }

  drain(): void {
    if (!this.http2.isDraining) this.http2.shutdown('graceful');
  }

  abort(): void {
    this.http2.shutdown('abrupt');
  }

  onChannelData(chunk: Uint8Array): void {
    this.http2.receive(chunk, performance.now());
    // The inner connection has windows of its own.
    this.channel.consumed(chunk.length);
  }

  onChannelEnd(): void {
    if (!this.#isOver) this.http2.transportClosed();
  }

  onChannelDrained(): void {
    for (const stream of this.#streams.values()) stream.drained();
  }

  onChannelClosed(): void {
    if (!this.#isOver) this.http2.transportClosed();
  }

  onHeaders(streamId: number, headers: HeaderList, endStream: boolean): void {
    const known = this.#streams.get(streamId);
    if (known !== undefined) {
      known.requestEnded(headers);
      return;
    }
    const stream = new Http2Request(this, streamId);
    this.#streams.set(streamId, stream);
    stream.begin(this.#host, requestOf(headers, endStream));
    if (endStream) stream.requestEnded(NO_TRAILERS);
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
    deadlines.delete(this);
    if (reason !== 'graceful' && reason !== 'peer-goaway' && reason !== 'transport-closed') this.#host.refused(0, `${reason}: ${detail}`);
    this.channel.finish();
    this.#host.sessionEnded(this);
  }

  /** The stream needs no more events. */
  forget(streamId: number): void {
    this.#streams.delete(streamId);
  }
}

/** One request of it. */
class Http2Request implements Downstream {
  readonly version: HttpVersion = 'HTTP/2';
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

/** Pseudo-headers become fields of the head; cookies sent in pieces become one (RFC 9113 section 8.2.3). */
function requestOf(headers: HeaderList, endStream: boolean): RequestHead {
  let method = '';
  let path = '';
  let authority = '';
  let host = '';
  let scheme = 'http';
  let cookie = '';
  let contentLength = endStream ? 0 : -1;
  let acceptsTrailers = false;
  const rest: HeaderList[number][] = [];
  for (let i = 0; i < headers.length; i++) {
    const field = headers[i]!;
    const name = field[0];
    const value = field[1];
    if (name.charCodeAt(0) === 0x3a) {
      if (name === ':method') method = value;
      else if (name === ':path') path = value;
      else if (name === ':authority') authority = value;
      else scheme = value;
    } else if (name === 'cookie') cookie = cookie === '' ? value : `${cookie}; ${value}`;
    else if (name === 'host') host = value;
    else if (name === 'te') acceptsTrailers = true;
    else {
      if (name === 'content-length' && !endStream) contentLength = Number(value);
      rest.push(field);
    }
  }
  if (cookie !== '') rest.push(['cookie', cookie]);
  return {
    method,
    path,
    authority: authority || host,
    scheme,
    headers: rest,
    version: 'HTTP/2',
    contentLength,
    upgrade: '',
    acceptsTrailers,
  };
}
