import type { ConnectionCore } from './core.ts';
import { DEFAULT_FRAME_SIZE, LARGEST_FRAME_SIZE, LARGEST_WINDOW, readUint32, SettingId } from './frames.ts';
import { ErrorCode } from './types.ts';

/** Applies the peer's SETTINGS (RFC 9113 section 6.5), or takes its acknowledgement of ours. */
export function receiveSettings(core: ConnectionCore, isAck: boolean, payload: Uint8Array): void {
  if (isAck) {
    core.keepalive.settingsAcknowledged();
    core.receiveFlow.settingsAcknowledged(core.streams.byId.values());
    return;
  }
  // The first SETTINGS replace the assumption about streams: without the setting there is no limit.
  if (!core.hasPeerSettings) core.peerMaxStreams = Number.POSITIVE_INFINITY;
  core.hasPeerSettings = true;
  for (let at = 0; at < payload.length; at += 6) {
    if (!apply(core, (payload[at]! << 8) | payload[at + 1]!, readUint32(payload, at + 2))) return;
  }
  core.writer.settingsAck();
  core.sendFlow.schedule();
}

function apply(core: ConnectionCore, id: number, value: number): boolean {
  switch (id) {
    case SettingId.HEADER_TABLE_SIZE:
      core.encoder.setPeerTableSize(value);
      return true;
    case SettingId.ENABLE_PUSH:
      if (value === 0 || (value === 1 && core.role === 'server')) return true;
      core.fail(ErrorCode.PROTOCOL_ERROR, 'protocol-error', `SETTINGS_ENABLE_PUSH of ${value}`);
      return false;
    case SettingId.MAX_CONCURRENT_STREAMS:
      core.peerMaxStreams = value;
      return true;
    case SettingId.INITIAL_WINDOW_SIZE:
      return applyWindow(core, value);
    case SettingId.MAX_FRAME_SIZE:
      if (value < DEFAULT_FRAME_SIZE || value > LARGEST_FRAME_SIZE) {
        core.fail(ErrorCode.PROTOCOL_ERROR, 'protocol-error', `SETTINGS_MAX_FRAME_SIZE of ${value}`);
        return false;
      }
      core.writer.maxFrameSize = value;
      return true;
    default: // Unknown settings are ignored; MAX_HEADER_LIST_SIZE is advice.
      return true;
  }
}

function applyWindow(core: ConnectionCore, value: number): boolean {
  if (value > LARGEST_WINDOW) {
    core.fail(ErrorCode.FLOW_CONTROL_ERROR, 'flow-control', `SETTINGS_INITIAL_WINDOW_SIZE of ${value}`);
    return false;
  }
  const change = value - core.peerInitialWindow;
  core.peerInitialWindow = value;
  for (const stream of core.streams.byId.values()) {
    stream.sendWindow += change;
    if (stream.sendWindow > LARGEST_WINDOW) {
      core.fail(ErrorCode.FLOW_CONTROL_ERROR, 'flow-control', `SETTINGS make the window of stream ${stream.id} exceed 2^31-1`);
      return false;
    }
    core.sendFlow.streamWindowOpened(stream);
  }
  return true;
}
