/** One gRPC call: messages out, messages in, one status at the end. */
import {
  ErrorCode,
  encodeGrpcMessage,
  GrpcCode,
  GrpcMessageReader,
  type GrpcStatus,
  type HeaderList,
  readGrpcStatus,
  refusedByHead,
  statusOfReset,
} from '../../protocol/index.ts';
import type { Tunnel, TunnelStream } from './tunnel.ts';

/** A whole mesh in one answer. */
const MAX_MESSAGE_BYTES = 200 * 1024 * 1024;

export interface GrpcEvents {
  /** The message may be kept. */
  onMessage(message: Uint8Array): void;
  /** Once, and the last event; never from within `GrpcChannel.call`. */
  onEnd(status: GrpcStatus): void;
}

export class GrpcCall implements TunnelStream {
  readonly #headers: HeaderList;
  readonly #events: GrpcEvents;
  readonly #reader: GrpcMessageReader;
  #tunnel: Tunnel | undefined;
  #streamId = 0;
  /** What the peer's windows did not let out yet, in order. */
  #queue: Uint8Array[] = [];
  #isLastQueued = false;
  #isOver = false;
  #hasHead = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `timeout` in milliseconds covers connecting, too; undefined for a stream that stays. */
  constructor(headers: HeaderList, events: GrpcEvents, timeout: number | undefined) {
    this.#headers = headers;
    this.#events = events;
    this.#reader = new GrpcMessageReader(MAX_MESSAGE_BYTES, (message) => {
      if (!this.#isOver) events.onMessage(message);
    });
    if (timeout !== undefined)
      this.#timer = setTimeout(() => {
        this.#abandon(ErrorCode.CANCEL);
        this.finish({ code: GrpcCode.DEADLINE_EXCEEDED, message: `no answer within ${timeout} ms` });
      }, timeout);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Sends a message once it can be sent; `last` says that none follows. */
  write(message: Uint8Array, last = false): void {
    if (this.#isOver) return;
    this.#queue.push(encodeGrpcMessage(message));
    this.#isLastQueued ||= last;
    this.#pump();
  }

  /** Ends the call with status CANCELLED. */
  cancel(): void {
    this.#abandon(ErrorCode.CANCEL);
    this.finish({ code: GrpcCode.CANCELLED, message: 'cancelled' });
  }

  /** The connection is there. False when it takes no more streams. */
  open(tunnel: Tunnel): boolean {
    const streamId = tunnel.http2.request(this.#headers, false);
    if (streamId === undefined) return false;
    this.#tunnel = tunnel;
    this.#streamId = streamId;
    tunnel.attach(streamId, this);
    this.#pump();
    return true;
  }

  finish(status: GrpcStatus): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#queue = [];
    clearTimeout(this.#timer);
    this.#tunnel?.detach(this.#streamId);
    this.#events.onEnd(status);
  }

  onTunnelHeaders(headers: HeaderList, endStream: boolean): void {
    const status = readGrpcStatus(headers);
    if (endStream) {
      this.#end(status ?? (this.#hasHead ? undefined : refusedByHead(headers)));
      return;
    }
    const code = headers.find(([name]) => name === ':status')?.[1] ?? '';
    if (code.startsWith('1')) return;
    this.#hasHead = true;
    const refused = refusedByHead(headers);
    if (refused === undefined) return;
    this.#abandon(ErrorCode.CANCEL);
    this.finish(refused);
  }

  onTunnelData(chunk: Uint8Array, endStream: boolean): void {
    this.#tunnel!.http2.consumed(this.#streamId, chunk.length);
    const problem = this.#reader.push(chunk);
    if (problem !== undefined) {
      this.#abandon(ErrorCode.CANCEL);
      this.finish({ code: GrpcCode.INTERNAL, message: problem });
    } else if (endStream) this.#end(undefined);
  }

  onTunnelReset(code: number, local: boolean): void {
    if (!local) this.finish(statusOfReset(code));
    // The machine's code, and the tunnel's, for the end of the connection.
    else if (code === ErrorCode.INTERNAL_ERROR || code === -1)
      this.finish({ code: GrpcCode.UNAVAILABLE, message: 'the connection was lost' });
    else this.finish({ code: GrpcCode.INTERNAL, message: `the peer broke the rules of HTTP/2 (code ${code})` });
  }

  onTunnelWritable(): void {
    this.#pump();
  }

  /** The peer's half is over. Ours is given up, whatever is left of it. */
  #end(status: GrpcStatus | undefined): void {
    this.#abandon(ErrorCode.NO_ERROR);
    if (status?.code === GrpcCode.OK && this.#reader.isInside)
      this.finish({ code: GrpcCode.INTERNAL, message: 'the peer ended in the middle of a message' });
    else this.finish(status ?? { code: GrpcCode.UNKNOWN, message: 'the peer ended without a status' });
  }

  #abandon(code: ErrorCode): void {
    if (!this.#isOver) this.#tunnel?.http2.reset(this.#streamId, code);
  }

  #pump(): void {
    const http2 = this.#tunnel?.http2;
    if (http2 === undefined) return;
    while (this.#queue.length > 0) {
      const chunk = this.#queue[0]!;
      const taken = http2.sendData(this.#streamId, chunk, this.#isLastQueued && this.#queue.length === 1);
      if (taken < chunk.length) {
        if (taken > 0) this.#queue[0] = chunk.subarray(taken);
        return;
      }
      this.#queue.shift();
    }
  }
}
