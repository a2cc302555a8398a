import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { isGrpcContentType } from './content-type.ts';
import { GrpcMessageCounter } from './message-counter.ts';

const message = (length: number, isCompressed = false): Uint8Array => {
  const bytes = new Uint8Array(5 + length).fill(0xff);
  bytes[0] = isCompressed ? 1 : 0;
  new DataView(bytes.buffer).setUint32(1, length);
  return bytes;
};
const countOf = (...chunks: Uint8Array[]): number => {
  const counter = new GrpcMessageCounter();
  for (const chunk of chunks) counter.push(chunk);
  return counter.count;
};

test('counts messages, empty and compressed ones too', () => {
  expect(countOf()).toBe(0);
  expect(countOf(message(0))).toBe(1);
  expect(countOf(Buffer.concat([message(3), message(0), message(70_000, true)]))).toBe(3);
});

test('counts the same however the body is cut', () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.boolean()), { maxLength: 12 }), cuts, (messages, sizes) => {
      const body = Buffer.concat(messages.map(([length, isCompressed]) => message(length, isCompressed)));
      const counter = new GrpcMessageCounter();
      for (let at = 0, i = 0; at < body.length; i++) {
        const size = sizes[i % sizes.length]!;
        counter.push(body.subarray(at, at + size));
        at += size;
      }
      expect(counter.count).toBe(messages.length);
    }),
  );
});

test('a message of four gibioctets less one does not overflow', () => {
  const counter = new GrpcMessageCounter();
  counter.push(Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff, 0, 0));
  counter.push(message(1));
  expect(counter.count).toBe(1);
});

test('stops at what is no gRPC', () => {
  expect(countOf(new TextEncoder().encode('<html>no healthy upstream</html>'))).toBe(0);
  expect(countOf(message(2), Uint8Array.of(0x80, 0, 0, 0, 0), message(2))).toBe(1);
});

test('never fails, whatever comes', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 30 })), (chunks) => {
      const octets = chunks.reduce((sum, { length }) => sum + length, 0);
      expect(countOf(...chunks)).toBeLessThanOrEqual(octets / 5);
    }),
  );
});

test.each([
  ['application/grpc', true],
  ['application/grpc+proto', true],
  ['application/grpc;charset=utf-8', true],
  ['Application/gRPC', true],
  ['application/grpc-web', false],
  ['application/grpc-web-text', false],
  ['application/json', false],
  ['application/grp', false],
  [undefined, false],
])('reads the content type %p', (value, expected) => {
  expect(isGrpcContentType(value)).toBe(expected);
});
