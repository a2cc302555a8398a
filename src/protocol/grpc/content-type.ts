/** Whether a `content-type` is gRPC's (gRPC over HTTP/2, "Content-Type"): `application/grpc`, perhaps with the coding of its messages. gRPC-Web is another protocol. */
export function isGrpcContentType(value: string | undefined): boolean {
  if (value === undefined || value.length < GRPC.length) return false;
  if (!value.startsWith(GRPC) && !value.toLowerCase().startsWith(GRPC)) return false;
  const next = value[GRPC.length];
  return next === undefined || next === '+' || next === ';' || next === ' ';
}

const GRPC = 'application/grpc';
