import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { FrameReader, framed } from './framing.ts';

test('any split of a stream gives the same messages', () => {
  const message = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 }), (messages, cuts) => {
      const stream = Buffer.concat(messages.map(framed));
      const reader = new FrameReader();
      const got: Buffer[] = [];
      for (let at = 0, turn = 0; at < stream.length; turn++) {
        const end = Math.min(stream.length, at + cuts[turn % cuts.length]!);
        reader.push(stream.subarray(at, end));
        at = end;
        for (let next = reader.next(); next !== undefined; next = reader.next()) got.push(Buffer.from(next));
      }
      expect(got.map((each) => each.toString('hex'))).toEqual(messages.map((each) => Buffer.from(each).toString('hex')));
      expect(reader.held).toBe(0);
    }),
  );
});

test('the longest message passes octet by octet', () => {
  const reader = new FrameReader();
  const stream = framed(Buffer.alloc(65_535, 7));
  for (let at = 0; at < stream.length - 1; at++) reader.push(stream.subarray(at, at + 1));
  expect(reader.next()).toBeUndefined();
  expect(reader.held).toBe(65_536);
  reader.push(stream.subarray(-1));
  expect(reader.next()?.length).toBe(65_535);
  expect(reader.held).toBe(0);
});
