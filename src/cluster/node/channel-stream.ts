import type { ServerWebSocket } from 'bun';

/** One WebSocket's conversation. */
export interface ChannelStream {
  open(socket: ServerWebSocket<ChannelStream>): void;
  message(socket: ServerWebSocket<ChannelStream>, frame: Buffer): void;
  drain(socket: ServerWebSocket<ChannelStream>): void;
  close(): void;
}
