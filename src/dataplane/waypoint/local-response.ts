/** Answers of the waypoint itself, in the client's language: gRPC calls get a status in trailers, as gRPC wants it. */
import type { HeaderList } from '../../protocol/index.ts';
import type { ResponseHead } from './messages.ts';

/** How a gRPC client reads an HTTP status (grpc/grpc doc/http-grpc-status-mapping.md). */
const grpcStatusOf = (status: number): number => {
  switch (status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
};

export interface LocalResponse {
  readonly head: ResponseHead;
  readonly body: Uint8Array | undefined;
  /** -1 for an HTTP answer. */
  readonly grpcStatus: number;
}

const encoder = new TextEncoder();

/** `chosen`: the gRPC status, where it does not follow from `status`. */
export function localResponse(status: number, text: string, isGrpc: boolean, extra: HeaderList, chosen?: number): LocalResponse {
  if (chosen !== undefined || (isGrpc && status >= 400)) {
    const grpcStatus = chosen ?? grpcStatusOf(status);
    const headers: HeaderList = [
      ['content-type', 'application/grpc'],
      ['grpc-status', String(grpcStatus)],
      ['grpc-message', percentEncoded(text || `HTTP status ${status}`)],
      ...extra,
    ];
    return { head: { status: 200, headers, contentLength: 0, upgrade: '' }, body: undefined, grpcStatus };
  }
  const body = text === '' ? undefined : encoder.encode(text);
  const length = body?.length ?? 0;
  const headers: HeaderList[number][] = [...extra];
  if (body !== undefined && !headers.some(([name]) => name === 'content-type')) headers.push(['content-type', 'text/plain']);
  headers.push(['content-length', String(length)]);
  return { head: { status, headers, contentLength: length, upgrade: '' }, body, grpcStatus: -1 };
}

/** `grpc-message` (gRPC over HTTP/2, "Status-Message"). */
const percentEncoded = (text: string): string =>
  [...encoder.encode(text)]
    .map((octet) =>
      octet >= 0x20 && octet <= 0x7e && octet !== 0x25
        ? String.fromCharCode(octet)
        : `%${octet.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('');
