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
