import type { FrameWriter } from './frame-writer.ts';
import { DEFAULT_WINDOW } from './frames.ts';
import type { StreamState } from './stream.ts';

/** Credit smaller than this is never announced early; half a window always is. */
const EARLY_CREDIT = 65_536;

/** The receiving side of flow control (RFC 9113 section 5.2): how much the peer may send, and when it is told that it may send more. */
export class ReceiveFlow {
  /** Octets the peer may still send on the connection. */
  remaining: number = DEFAULT_WINDOW;
  private owed = 0;
  private readonly connectionWindow: number;
  private streamWindow: number;
  private readonly announcedStreamWindow: number;
  private readonly writer: FrameWriter;

  constructor(writer: FrameWriter, streamWindow: number, connectionWindow: number) {
    this.writer = writer;
    this.connectionWindow = Math.max(connectionWindow, DEFAULT_WINDOW);
    this.announcedStreamWindow = streamWindow;
    // Until the peer acknowledged our SETTINGS it may follow either window.
    this.streamWindow = Math.max(streamWindow, DEFAULT_WINDOW);
  }

  /** The window a new stream starts with. */
  get initialStreamWindow(): number {
    return this.streamWindow;
  }

  start(): void {
    const more = this.connectionWindow - this.remaining;
    if (more > 0) this.writer.windowUpdate(0, more);
    this.remaining = this.connectionWindow;
  }

  settingsAcknowledged(streams: Iterable<StreamState>): void {
    const change = this.announcedStreamWindow - this.streamWindow;
    this.streamWindow = this.announcedStreamWindow;
    if (change !== 0) for (const stream of streams) stream.receiveWindow += change;
  }

  creditConnection(octets: number): void {
    this.owed += octets;
    if (!isDue(this.owed, this.remaining, this.connectionWindow)) return;
    this.writer.windowUpdate(0, this.owed);
    this.remaining += this.owed;
    this.owed = 0;
  }

  creditStream(stream: StreamState, octets: number): void {
    if (stream.isRemoteEnded || stream.isClosed) return;
    stream.owed += octets;
    if (!isDue(stream.owed, stream.receiveWindow, this.streamWindow)) return;
    this.writer.windowUpdate(stream.id, stream.owed);
    stream.receiveWindow += stream.owed;
    stream.owed = 0;
  }
}

/** Half of the window is free again, or the sender has less left than we could give it. */
const isDue = (owed: number, remaining: number, window: number): boolean =>
  owed * 2 >= window || (owed >= EARLY_CREDIT && owed >= remaining);
