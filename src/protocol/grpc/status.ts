/** How a gRPC call ended (gRPC over HTTP/2: "Responses", "Errors"; status codes: `statuscodes.md`). */
import { ErrorCode, type HeaderList } from '../http2/types.ts';
import { isGrpcContentType } from './content-type.ts';

export const GrpcCode = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

export interface GrpcStatus {
  /** 0 is success; numbers beyond {@link GrpcCode} are possible. */
  readonly code: number;
  readonly message: string;
}

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(GrpcCode).map(([name, code]) => [code, name]));

/** `UNAVAILABLE` for 14; an unknown code is its number. */
export const grpcCodeName = (code: number): string => NAMES.get(code) ?? String(code);

const field = (headers: HeaderList, name: string): string | undefined => headers.find(([key]) => key === name)?.[1];

/** `grpc-message` is percent-encoded UTF-8. What is not encoded properly is shown as it came. */
const decodeMessage = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return text;
    throw error;
  }
};

/** The status in trailers (or in the head of an answer that is all trailers); undefined when there is none. */
export function readGrpcStatus(headers: HeaderList): GrpcStatus | undefined {
  const code = field(headers, 'grpc-status');
  if (code === undefined) return undefined;
  if (!/^\d{1,9}$/.test(code)) return { code: GrpcCode.UNKNOWN, message: `the peer sent an invalid grpc-status "${code}"` };
  return { code: Number(code), message: decodeMessage(field(headers, 'grpc-message') ?? '') };
}

const OF_HTTP: ReadonlyMap<string, number> = new Map([
  ['400', GrpcCode.INTERNAL],
  ['401', GrpcCode.UNAUTHENTICATED],
  ['403', GrpcCode.PERMISSION_DENIED],
  ['404', GrpcCode.UNIMPLEMENTED],
  ['429', GrpcCode.UNAVAILABLE],
  ['502', GrpcCode.UNAVAILABLE],
  ['503', GrpcCode.UNAVAILABLE],
  ['504', GrpcCode.UNAVAILABLE],
]);

/** What an answer's head says against it being gRPC at all (`http-grpc-status-mapping.md`); undefined when nothing. */
export function refusedByHead(headers: HeaderList): GrpcStatus | undefined {
  const status = field(headers, ':status') ?? '';
  if (status !== '200') return { code: OF_HTTP.get(status) ?? GrpcCode.UNKNOWN, message: `the peer answered with HTTP status ${status}` };
  const type = field(headers, 'content-type') ?? '';
  if (isGrpcContentType(type)) return undefined;
  return { code: GrpcCode.UNKNOWN, message: `the peer answered with content type "${type}"` };
}

const OF_RESET: ReadonlyMap<number, number> = new Map<number, number>([
  [ErrorCode.REFUSED_STREAM, GrpcCode.UNAVAILABLE],
  [ErrorCode.CANCEL, GrpcCode.CANCELLED],
  [ErrorCode.ENHANCE_YOUR_CALM, GrpcCode.RESOURCE_EXHAUSTED],
  [ErrorCode.INADEQUATE_SECURITY, GrpcCode.PERMISSION_DENIED],
]);

/** Status of a stream the peer reset with an HTTP/2 error code. */
export const statusOfReset = (code: number): GrpcStatus => ({
  code: OF_RESET.get(code) ?? GrpcCode.INTERNAL,
  message: `the peer reset the stream with HTTP/2 code ${code}`,
});
