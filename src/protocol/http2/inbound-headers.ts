import type { ConnectionCore } from './core.ts';
import { Drain } from './core.ts';
import { inspectHeaders } from './header-rules.ts';
import { LIMITS } from './limits.ts';
import { Past, type StreamState } from './stream.ts';
import { ErrorCode, type HeaderList } from './types.ts';

/** A complete header block: decoded first in any case, because the tables of both ends must stay in step. */
export function receiveHeaders(
  core: ConnectionCore,
  streamId: number,
  block: Uint8Array,
  endStream: boolean,
  dependsOnItself: boolean,
): void {
  const decoded = core.decoder.decode(block);
  if (!decoded.ok) {
    core.fail(ErrorCode.COMPRESSION_ERROR, 'compression', decoded.problem);
    return;
  }
  const stream = core.streams.byId.get(streamId);
  if (stream === undefined || stream.isClosed) {
    if (core.role === 'server' && streamId > core.lastPeerStream)
      newStream(core, streamId, decoded.headers, decoded.isTooLarge, endStream, dependsOnItself);
    else lateHeaders(core, streamId);
    return;
  }
  if (stream.isRemoteEnded) core.fault(stream, ErrorCode.STREAM_CLOSED);
  else if (dependsOnItself) core.fault(stream, ErrorCode.PROTOCOL_ERROR);
  else if (decoded.isTooLarge) core.fault(stream, ErrorCode.ENHANCE_YOUR_CALM);
  else if (core.role === 'client' && !stream.isAnswered) response(core, stream, decoded.headers, endStream);
  else trailers(core, stream, decoded.headers, endStream);
}

function lateHeaders(core: ConnectionCore, streamId: number): void {
  const past = core.streams.pastOf(streamId);
  if (past === Past.RESET_BY_US) return;
  if (past === Past.ENDED) core.fail(ErrorCode.STREAM_CLOSED, 'protocol-error', `HEADERS on closed stream ${streamId}`);
  else core.fail(ErrorCode.PROTOCOL_ERROR, 'protocol-error', `HEADERS on stream ${streamId}, below one already used`);
}

function newStream(
  core: ConnectionCore,
  streamId: number,
  headers: HeaderList,
  isTooLarge: boolean,
  endStream: boolean,
  dependsOnItself: boolean,
): void {
  // What the final GOAWAY excluded is ignored: the client knows that it was not processed.
  if (core.drain === Drain.FINAL) return;
  core.lastPeerStream = streamId;
  if (core.streams.open >= core.settings.maxConcurrentStreams) {
    core.refuse(streamId, ErrorCode.REFUSED_STREAM);
    return;
  }
  if (dependsOnItself) {
    core.refuse(streamId, ErrorCode.PROTOCOL_ERROR);
    return;
  }
  if (isTooLarge) {
    core.writeHeaders(streamId, [[':status', '431']], true);
    core.refuse(streamId, ErrorCode.NO_ERROR);
    return;
  }
  const facts = inspectHeaders('request', headers);
  if (typeof facts === 'string' || (endStream && facts.contentLength > 0 && facts.method !== 'CONNECT')) {
    core.refuse(streamId, ErrorCode.PROTOCOL_ERROR);
    return;
  }
  const stream = core.openStream(streamId);
  stream.isAnnounced = true;
  stream.isConnect = facts.method === 'CONNECT';
  stream.expectedLength = stream.isConnect ? -1 : facts.contentLength;
  stream.isRemoteEnded = endStream;
  core.handler.onHeaders(streamId, headers, endStream);
  if (endStream) core.settle(stream);
}

function response(core: ConnectionCore, stream: StreamState, headers: HeaderList, endStream: boolean): void {
  const facts = inspectHeaders('response', headers);
  const isInterim = typeof facts !== 'string' && facts.status < 200;
  if (typeof facts === 'string' || (isInterim && endStream)) {
    core.fault(stream, ErrorCode.PROTOCOL_ERROR);
    return;
  }
  if (isInterim && ++stream.interims > LIMITS.INTERIM_RESPONSES) {
    core.fault(stream, ErrorCode.ENHANCE_YOUR_CALM);
    return;
  }
  if (!isInterim) {
    stream.isAnswered = true;
    const isSuccess = facts.status < 300;
    const hasNoBody = stream.isHead || facts.status === 204 || facts.status === 304 || (stream.isConnect && isSuccess);
    if (!hasNoBody) stream.expectedLength = facts.contentLength;
    stream.isTunnel = stream.isConnect && isSuccess;
    if (endStream && stream.expectedLength > 0) {
      core.fault(stream, ErrorCode.PROTOCOL_ERROR);
      return;
    }
  }
  stream.isRemoteEnded = endStream;
  core.handler.onHeaders(stream.id, headers, endStream);
  if (endStream) core.settle(stream);
}

function trailers(core: ConnectionCore, stream: StreamState, headers: HeaderList, endStream: boolean): void {
  const isShort = stream.expectedLength >= 0 && stream.receivedLength < stream.expectedLength;
  // RFC 9113 section 8.5: nothing but DATA on a tunnel.
  if (stream.isTunnel || !endStream || isShort || typeof inspectHeaders('trailers', headers) === 'string') {
    core.fault(stream, ErrorCode.PROTOCOL_ERROR);
    return;
  }
  stream.isRemoteEnded = true;
  core.handler.onHeaders(stream.id, headers, true);
  core.settle(stream);
}
