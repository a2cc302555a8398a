export * from './gen/tables.ts';
export { isGrpcContentType } from './grpc/content-type.ts';
export { encodeGrpcMessage, GrpcMessageReader } from './grpc/message.ts';
export { GrpcMessageCounter } from './grpc/message-counter.ts';
export { GrpcCode, type GrpcStatus, grpcCodeName, readGrpcStatus, refusedByHead, statusOfReset } from './grpc/status.ts';
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
  responseBaggage,
  responseStatus,
} from './hbone/connect.ts';
export { encodeForwarded, parseForwardedHost } from './hbone/forwarded.ts';
export { formatIp, parseIp } from './hbone/ip.ts';
export { encodeProxyHeader, encodeProxyLine, type ProxyEndpoint, type ProxyHeader } from './hbone/proxy-protocol.ts';
export {
  makeTraceparent,
  parseTraceparent,
  TRACE_RANDOM,
  TRACE_SAMPLED,
  TRACEPARENT_RANDOM,
  type Traceparent,
} from './hbone/traceparent.ts';
export { type DecodedBlock, HpackDecoder, type HpackDecoderLimits } from './hpack/decoder.ts';
export { HpackEncoder } from './hpack/encoder.ts';
export { DETECTION_BYTES, type DetectedProtocol, detectProtocol } from './http1/detect.ts';
export {
  CHUNK_END,
  encodeChunkHead,
  encodeLastChunk,
  encodeRequestHead,
  encodeResponseHead,
  type Http1HeadOptions,
  type Http1RequestOptions,
  type Http1ResponseOptions,
} from './http1/encoder.ts';
export { HTTP1_LIMITS } from './http1/limits.ts';
export { createHttp1Parser } from './http1/parser.ts';
export { STATUS_REASONS } from './http1/status-reasons.ts';
export type {
  BodyFraming,
  Http1Handler,
  Http1Head,
  Http1Limits,
  Http1Parser,
  Http1Violation,
  Http1ViolationReason,
} from './http1/types.ts';
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
  isPeerFault,
} from './http2/types.ts';
export { decodeMessage } from './protobuf/decode.ts';
export { encodeMessage } from './protobuf/encode.ts';
export type { Init, MessageOf, Plain, Table } from './protobuf/table.ts';
export type { Result } from './result.ts';
export { type Certificate, isCertificateFor, readCertificateDer } from './tls/certificate.ts';
export { CLIENT_HELLO_LIMIT, readServerName, type ServerName } from './tls/client-hello.ts';
export * from './type-urls.ts';
export { ZDS_DEADLINE_MS, type ZdsInput, ZdsMachine, type ZdsOutput, type ZdsRequest, type ZdsWorkload } from './zds/machine.ts';
