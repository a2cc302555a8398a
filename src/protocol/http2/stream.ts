import { LIMITS } from './limits.ts';

/** Whether a stream wants to send more than it may. */
export const Blocked = { NO: 0, IN_QUEUE: 1, BY_OWN_WINDOW: 2 } as const;

/** One stream. Plain fields, always all of them, so that the hot path sees one shape. */
export class StreamState {
  readonly id: number;
  sendWindow: number;
  /** Octets the peer may still send. */
  receiveWindow: number;
  /** Octets handed to the application and not yet consumed. */
  held = 0;
  /** Octets consumed and not yet announced to the peer. */
  owed = 0;
  isLocalEnded = false;
  isRemoteEnded = false;
  /** Over for the protocol; it stays in the table only while `held` is above zero. */
  isClosed = false;
  /** The handler knows of it. */
  isAnnounced = false;
  /** The final response was sent (server) or received (client). */
  isAnswered = false;
  /** Interim responses received. */
  interims = 0;
  isConnect = false;
  isHead = false;
  /** A CONNECT that was answered with 2xx: only DATA from here on. */
  isTunnel = false;
  /** The announced content-length, or -1. */
  expectedLength = -1;
  receivedLength = 0;
  blocked: number = Blocked.NO;

  constructor(id: number, sendWindow: number, receiveWindow: number) {
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }
}

/** How a stream that is no longer in the table ended; `FORGOTTEN` for those never opened or too long ago. */
export const Past = { FORGOTTEN: 0, ENDED: 1, RESET_BY_US: 2 } as const;

/** The streams of a connection: those alive, and a bounded memory of those that were. */
export class StreamTable {
  readonly byId = new Map<number, StreamState>();
  /** Streams that are not closed. */
  open = 0;
  private readonly past = new Map<number, number>();
  private readonly pastOrder = new Uint32Array(LIMITS.RESET_MEMORY);
  private pastNext = 0;

  add(stream: StreamState): void {
    this.byId.set(stream.id, stream);
    this.open++;
  }

  remove(stream: StreamState): void {
    this.byId.delete(stream.id);
  }

  remember(streamId: number, past: number): void {
    if (!this.past.has(streamId)) {
      this.past.delete(this.pastOrder[this.pastNext]!);
      this.pastOrder[this.pastNext] = streamId;
      this.pastNext = (this.pastNext + 1) % LIMITS.RESET_MEMORY;
    }
    this.past.set(streamId, past);
  }

  pastOf(streamId: number): number {
    return this.past.get(streamId) ?? Past.FORGOTTEN;
  }
}
