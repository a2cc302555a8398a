import * as grpc from '@grpc/grpc-js';

/** A request with every name of a large mesh in `initial_resource_versions`. */
const RECEIVE_LIMIT = 64 * 1024 * 1024;

export const grpcServer = (): grpc.Server =>
  new grpc.Server({
    'grpc.max_receive_message_length': RECEIVE_LIMIT,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
  });

/** Answers the port in use; fails with what to do about it. */
export function bindGrpc(server: grpc.Server, address: string, port: number, credentials: grpc.ServerCredentials): Promise<number> {
  const host = address.includes(':') ? `[${address}]` : address;
  return new Promise((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, credentials, (error, bound) =>
      error === null
        ? resolve(bound)
        : reject(new Error(`port ${port} of ${address} cannot be used: ${error.message}. Set XDS_PORT or stop the program that holds it.`)),
    );
  });
}

/** `underWay`: requests, this one among them, that have no complete answer yet. */
export type HttpHandler = (request: Request, underWay: number) => Response | Promise<Response>;

/** `setting` is the variable to change when the port is taken. */
export function serveHttp(hostname: string, port: number, setting: string, fetch: HttpHandler): Bun.Server<undefined> {
  try {
    return Bun.serve({ hostname, port, fetch: (request, server) => fetch(request, server.pendingRequests) });
  } catch (error) {
    throw new Error(
      `port ${port} of ${hostname} cannot be used: ${(error as Error).message} Set ${setting} or stop the program that holds it.`,
    );
  }
}
