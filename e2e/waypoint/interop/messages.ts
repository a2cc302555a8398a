/** The messages of `interop.proto`, with an encoder of their own: the Python side has the generated one, so both are checked. */
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import type { MethodDefinition } from '@grpc/grpc-js';

export interface Payload {
  readonly body: Uint8Array;
}
export interface EchoStatus {
  readonly code: number;
  readonly message: string;
}
/** Every field of every message: what a message does not have is left out. */
export interface Message {
  readonly responseSize?: number;
  readonly payload?: Payload;
  readonly responseStatus?: EchoStatus;
  readonly aggregatedPayloadSize?: number;
  readonly responseParameters?: readonly { readonly size: number; readonly intervalUs: number }[];
}

/** Numbers of the fields in one message type. */
type Layout = Partial<Record<keyof Message, number>>;

const EMPTY: Layout = {};
const SIMPLE_REQUEST: Layout = { responseSize: 2, payload: 3, responseStatus: 7 };
const PAYLOAD_ONLY: Layout = { payload: 1 };
const INPUT_RESPONSE: Layout = { aggregatedPayloadSize: 1 };
const OUTPUT_REQUEST: Layout = { responseParameters: 2, payload: 3, responseStatus: 7 };

const LENGTH_DELIMITED = 2;

const encode =
  (layout: Layout) =>
  (message: Message): Buffer => {
    const writer = new BinaryWriter();
    const { responseSize, payload, responseStatus, aggregatedPayloadSize, responseParameters = [] } = message;
    if (layout.responseSize && responseSize) writer.uint32(layout.responseSize << 3).int32(responseSize);
    if (layout.aggregatedPayloadSize && aggregatedPayloadSize)
      writer.uint32(layout.aggregatedPayloadSize << 3).int32(aggregatedPayloadSize);
    if (layout.responseParameters)
      for (const { size, intervalUs } of responseParameters) {
        writer.uint32((layout.responseParameters << 3) | LENGTH_DELIMITED).fork();
        writer.uint32(1 << 3).int32(size);
        if (intervalUs) writer.uint32(2 << 3).int32(intervalUs);
        writer.join();
      }
    if (layout.payload && payload) {
      writer.uint32((layout.payload << 3) | LENGTH_DELIMITED).fork();
      writer.uint32((2 << 3) | LENGTH_DELIMITED).bytes(payload.body);
      writer.join();
    }
    if (layout.responseStatus && responseStatus) {
      writer.uint32((layout.responseStatus << 3) | LENGTH_DELIMITED).fork();
      writer.uint32(1 << 3).int32(responseStatus.code);
      writer.uint32((2 << 3) | LENGTH_DELIMITED).string(responseStatus.message);
      writer.join();
    }
    return Buffer.from(writer.finish());
  };

/** Reads fields by number; `read` says which it knows. */
function each(bytes: Uint8Array, read: (field: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (!read(field, reader)) reader.skip(type);
  }
}

const decode =
  (layout: Layout) =>
  (bytes: Uint8Array): Message => {
    const message: { -readonly [K in keyof Message]: Message[K] } = {};
    each(bytes, (field, reader) => {
      if (field === layout.responseSize) message.responseSize = reader.int32();
      else if (field === layout.aggregatedPayloadSize) message.aggregatedPayloadSize = reader.int32();
      else if (field === layout.payload) {
        let body: Uint8Array = new Uint8Array(0);
        each(reader.bytes(), (inner, at) => {
          if (inner !== 2) return false;
          body = at.bytes();
          return true;
        });
        message.payload = { body };
      } else if (field === layout.responseStatus) {
        let code = 0;
        let text = '';
        each(reader.bytes(), (inner, at) => {
          if (inner === 1) code = at.int32();
          else if (inner === 2) text = at.string();
          else return false;
          return true;
        });
        message.responseStatus = { code, message: text };
      } else if (field === layout.responseParameters) {
        let size = 0;
        let intervalUs = 0;
        each(reader.bytes(), (inner, at) => {
          if (inner === 1) size = at.int32();
          else if (inner === 2) intervalUs = at.int32();
          else return false;
          return true;
        });
        message.responseParameters = [...(message.responseParameters ?? []), { size, intervalUs }];
      } else return false;
      return true;
    });
    return message;
  };

const method = (
  path: string,
  request: Layout,
  response: Layout,
  requestStream = false,
  responseStream = false,
): MethodDefinition<Message, Message> => ({
  path,
  requestStream,
  responseStream,
  requestSerialize: encode(request),
  requestDeserialize: decode(request),
  responseSerialize: encode(response),
  responseDeserialize: decode(response),
});

const SERVICE = '/grpc.testing.TestService';
export const METHODS = {
  emptyCall: method(`${SERVICE}/EmptyCall`, EMPTY, EMPTY),
  unaryCall: method(`${SERVICE}/UnaryCall`, SIMPLE_REQUEST, PAYLOAD_ONLY),
  streamingOutputCall: method(`${SERVICE}/StreamingOutputCall`, OUTPUT_REQUEST, PAYLOAD_ONLY, false, true),
  streamingInputCall: method(`${SERVICE}/StreamingInputCall`, PAYLOAD_ONLY, INPUT_RESPONSE, true, false),
  fullDuplexCall: method(`${SERVICE}/FullDuplexCall`, OUTPUT_REQUEST, PAYLOAD_ONLY, true, true),
};
export const UNIMPLEMENTED_METHOD = method(`${SERVICE}/UnimplementedCall`, EMPTY, EMPTY);
export const UNIMPLEMENTED_SERVICE = method('/grpc.testing.UnimplementedService/UnimplementedCall', EMPTY, EMPTY);

export const INITIAL_KEY = 'x-grpc-test-echo-initial';
export const TRAILING_KEY = 'x-grpc-test-echo-trailing-bin';
