/** The server of gRPC's interoperability tests on @grpc/grpc-js, a program: `server.ts ip port`. Says `ready` when it listens. */
import * as grpc from '@grpc/grpc-js';
import { INITIAL_KEY, METHODS, type Message, TRAILING_KEY } from './messages.ts';

const payloadOf = (size: number): Message => ({ payload: { body: new Uint8Array(size) } });
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function echoInitial(call: { readonly metadata: grpc.Metadata; sendMetadata(metadata: grpc.Metadata): void }): void {
  const [initial] = call.metadata.get(INITIAL_KEY);
  if (initial === undefined) return;
  const metadata = new grpc.Metadata();
  metadata.set(INITIAL_KEY, initial);
  call.sendMetadata(metadata);
}

function trailersOf(call: { readonly metadata: grpc.Metadata }): grpc.Metadata {
  const metadata = new grpc.Metadata();
  const [trailing] = call.metadata.get(TRAILING_KEY);
  if (trailing !== undefined) metadata.set(TRAILING_KEY, trailing);
  return metadata;
}

const handlers: grpc.UntypedServiceImplementation = {
  emptyCall: (_call: grpc.ServerUnaryCall<Message, Message>, callback: grpc.sendUnaryData<Message>) => callback(null, {}),
  unaryCall: (call: grpc.ServerUnaryCall<Message, Message>, callback: grpc.sendUnaryData<Message>) => {
    echoInitial(call);
    const { responseStatus, responseSize = 0 } = call.request;
    const trailers = trailersOf(call);
    if (responseStatus && responseStatus.code !== 0)
      callback({ code: responseStatus.code, details: responseStatus.message, metadata: trailers }, null);
    else callback(null, payloadOf(responseSize), trailers);
  },
  streamingOutputCall: async (call: grpc.ServerWritableStream<Message, Message>) => {
    echoInitial(call);
    for (const { size, intervalUs } of call.request.responseParameters ?? []) {
      if (intervalUs > 0) await sleep(intervalUs / 1000);
      if (call.cancelled) return;
      call.write(payloadOf(size));
    }
    call.end(trailersOf(call));
  },
  streamingInputCall: (call: grpc.ServerReadableStream<Message, Message>, callback: grpc.sendUnaryData<Message>) => {
    let sum = 0;
    call.on('data', ({ payload }: Message) => (sum += payload?.body.length ?? 0));
    call.on('end', () => callback(null, { aggregatedPayloadSize: sum }));
    call.on('error', () => {});
  },
  fullDuplexCall: (call: grpc.ServerDuplexStream<Message, Message>) => {
    echoInitial(call);
    let last: Promise<void> = Promise.resolve();
    call.on('data', ({ responseStatus, responseParameters = [] }: Message) => {
      last = last.then(async () => {
        if (responseStatus && responseStatus.code !== 0) {
          call.emit('error', { code: responseStatus.code, details: responseStatus.message, metadata: trailersOf(call) });
          return;
        }
        for (const { size, intervalUs } of responseParameters) {
          if (intervalUs > 0) await sleep(intervalUs / 1000);
          if (!call.cancelled) call.write(payloadOf(size));
        }
      });
    });
    call.on('end', () => void last.then(() => call.end(trailersOf(call))));
    call.on('error', () => {});
  },
};

const [ip = '127.0.0.1', port = '50051'] = process.argv.slice(2);
const server = new grpc.Server({ 'grpc.max_receive_message_length': 64 * 1024 * 1024 });
server.addService(METHODS, handlers);
server.bindAsync(`${ip}:${port}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
  process.stdout.write('ready\n');
});
