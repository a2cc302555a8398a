import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { ErrorCode } from '../http2/types.ts';
import { encodeGrpcMessage, GrpcMessageReader } from './message.ts';
import { GrpcCode, grpcCodeName, readGrpcStatus, refusedByHead, statusOfReset } from './status.ts';

const LIMIT = 1000;
const join = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

const readAll = (chunks: readonly Uint8Array[]) => {
  const messages: Uint8Array[] = [];
  const reader = new GrpcMessageReader(LIMIT, (message) => messages.push(message));
  for (const chunk of chunks) {
    const problem = reader.push(chunk);
    if (problem !== undefined) return { messages, problem, isInside: reader.isInside };
  }
  return { messages, problem: undefined, isInside: reader.isInside };
};

test('messages come out as they went in, however they are split', () => {
  const message = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 8 }), fc.array(fc.nat(40), { minLength: 1, maxLength: 10 }), (messages, steps) => {
      const wire = join(messages.map(encodeGrpcMessage));
      const chunks: Uint8Array[] = [];
      for (let at = 0, i = 0; at < wire.length; i++) {
        const step = (steps[i % steps.length] ?? 0) + 1;
        chunks.push(wire.slice(at, at + step));
        at += step;
      }
      expect(readAll(chunks)).toEqual({ messages, problem: undefined, isInside: false });
    }),
  );
});

test('garbage ends in a problem or in messages, never in an exception', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 }), (chunks) => {
      const { messages } = readAll(chunks);
      expect(messages.every(({ length }) => length <= LIMIT)).toBe(true);
    }),
  );
});

test.each([
  [[1, 0, 0, 0, 0], 'a message is compressed, which was not offered'],
  [[6, 0, 0, 0, 0], 'a message has unknown flags 6'],
  [[0, 0, 0, 3, 233], 'a message has 1001 bytes, more than the limit of 1000'],
  [[0, 255, 255, 255, 255], 'a message has 4294967295 bytes, more than the limit of 1000'],
])('%p is refused: %s', (bytes, problem) => {
  expect(readAll([Uint8Array.from(bytes)]).problem).toBe(problem);
});

test('a message that is not over is known to be', () => {
  expect(readAll([Uint8Array.of(0, 0)]).isInside).toBe(true);
  expect(readAll([Uint8Array.of(0, 0, 0, 0, 2, 7)]).isInside).toBe(true);
});

test('a message handed out does not change with the chunk it came in', () => {
  const chunk = encodeGrpcMessage(Uint8Array.of(1, 2, 3));
  const { messages } = readAll([chunk]);
  chunk.fill(0);
  expect(messages).toEqual([Uint8Array.of(1, 2, 3)]);
});

test('a status comes with its message decoded', () => {
  expect(
    readGrpcStatus([
      ['grpc-status', '7'],
      ['grpc-message', 'nicht%20erlaubt: %C3%A4'],
    ]),
  ).toEqual({ code: GrpcCode.PERMISSION_DENIED, message: 'nicht erlaubt: ä' });
  expect(readGrpcStatus([['grpc-status', '0']])).toEqual({ code: 0, message: '' });
  expect(readGrpcStatus([['x', 'y']])).toBeUndefined();
});

test('a message that is not percent-encoded is shown as it came, and a status that is no number is unknown', () => {
  const headers: [string, string][] = [
    ['grpc-status', '3'],
    ['grpc-message', '100% wrong'],
  ];
  expect(readGrpcStatus(headers)?.message).toBe('100% wrong');
  expect(readGrpcStatus([['grpc-status', '-1']])?.code).toBe(GrpcCode.UNKNOWN);
});

test.each([
  ['200', 'application/grpc', undefined],
  ['200', 'application/grpc+proto', undefined],
  ['200', 'text/html', GrpcCode.UNKNOWN],
  ['200', 'application/grpcx', GrpcCode.UNKNOWN],
  ['403', 'text/html', GrpcCode.PERMISSION_DENIED],
  ['503', 'application/grpc', GrpcCode.UNAVAILABLE],
  ['418', 'application/grpc', GrpcCode.UNKNOWN],
])('an answer with HTTP status %s and content type %s means %p', (status, type, code) => {
  const head: [string, string][] = [
    [':status', status],
    ['content-type', type],
  ];
  expect(refusedByHead(head)?.code).toBe(code);
});

test.each([
  [ErrorCode.REFUSED_STREAM, 'UNAVAILABLE'],
  [ErrorCode.CANCEL, 'CANCELLED'],
  [ErrorCode.ENHANCE_YOUR_CALM, 'RESOURCE_EXHAUSTED'],
  [ErrorCode.INADEQUATE_SECURITY, 'PERMISSION_DENIED'],
  [ErrorCode.PROTOCOL_ERROR, 'INTERNAL'],
])('a stream reset with code %d ends with %s', (code, name) => {
  expect(grpcCodeName(statusOfReset(code).code)).toBe(name);
});

test('a code without a name is shown as a number', () => {
  expect(grpcCodeName(99)).toBe('99');
});
