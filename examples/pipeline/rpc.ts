import { type DescMessage, type DescService, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import type { MethodDefinition, ServerUnaryCall, ServiceError, sendUnaryData, UntypedHandleCall } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';

/** One unary method as grpc-js wants it, taken from the generated description. */
export const methodOf = <I extends DescMessage, O extends DescMessage>(
  service: DescService,
  name: string,
  input: I,
  output: O,
): MethodDefinition<MessageShape<I>, MessageShape<O>> => ({
  path: `/${service.typeName}/${name}`,
  requestStream: false,
  responseStream: false,
  requestSerialize: (message) => Buffer.from(toBinary(input, message)),
  requestDeserialize: (bytes) => fromBinary(input, bytes),
  responseSerialize: (message) => Buffer.from(toBinary(output, message)),
  responseDeserialize: (bytes) => fromBinary(output, bytes),
});

/** A failure with the gRPC code the caller should see. */
export class RpcError extends Error {
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.name = 'RpcError';
    this.code = code;
  }
}

const isServiceError = (error: unknown): error is ServiceError =>
  error instanceof Error && 'code' in error && 'details' in error && 'metadata' in error;

/** Turns an async function into a unary handler: its failures become gRPC statuses, a downstream status keeps its code. */
export const handleUnary =
  <I, O>(run: (request: I, call: ServerUnaryCall<I, O>) => Promise<O>): UntypedHandleCall =>
  (call: ServerUnaryCall<I, O>, reply: sendUnaryData<O>) => {
    run(call.request, call).then(
      (answer) => reply(null, answer),
      (error: unknown) => {
        if (isServiceError(error)) reply({ code: error.code, details: error.details });
        else if (error instanceof RpcError) reply({ code: error.code, details: error.message });
        else {
          console.error('unexpected failure in a handler:', error);
          reply({ code: status.INTERNAL, details: 'internal error, see the log of this pod' });
        }
      },
    );
  };
