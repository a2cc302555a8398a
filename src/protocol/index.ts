export { type Authority, formatAddress, formatAuthority, parseAuthority } from './hbone/authority.ts';
export { type Baggage, type BaggageWorkloadType, encodeBaggage, parseBaggage } from './hbone/baggage.ts';
export {
  buildConnectRequest,
  buildConnectResponse,
  type ConnectParts,
  type ConnectRefusal,
  type ConnectRequest,
  NETWORK_HEADER,
  parseConnectRequest,
  responseStatus,
} from './hbone/connect.ts';
export { encodeForwarded, parseForwardedHost } from './hbone/forwarded.ts';
export { formatIp, parseIp } from './hbone/ip.ts';
export { encodeProxyHeader, type ProxyEndpoint, type ProxyHeader } from './hbone/proxy-protocol.ts';
export { makeTraceparent, parseTraceparent, TRACEPARENT_RANDOM, type Traceparent } from './hbone/traceparent.ts';
export { type DecodedBlock, HpackDecoder, type HpackDecoderLimits } from './hpack/decoder.ts';
export { HpackEncoder } from './hpack/encoder.ts';
export { createHttp2Connection } from './http2/connection.ts';
export { CLIENT_SETTINGS, LIMITS as HTTP2_LIMITS, SERVER_SETTINGS } from './http2/limits.ts';
export {
  ErrorCode,
  type HeaderList,
  type Http2CloseReason,
  type Http2Connection,
  type Http2Handler,
  type Http2Output,
  type Http2Role,
  type Http2Settings,
} from './http2/types.ts';
export * from './messages.ts';
export type { Result } from './result.ts';
