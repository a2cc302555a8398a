import { expect, setDefaultTimeout, test } from 'bun:test';
import fc from 'fast-check';
import { FrameReader, type FrameSink, Want } from './frame-reader.ts';
import { Flag, FrameType, PREFACE } from './frames.ts';
import { concat, frame, headOnly, octets } from './testing/raw.ts';

// The machine may be busy with other things; no test here measures time.
setDefaultTimeout(60_000);

/** Writes down what the reader says, with the slices of one DATA frame joined. */
class Log implements FrameSink {
  readonly lines: string[] = [];
  private data: number[] = [];
  private padding = 0;
  /** What `onHead` answers for other frames than DATA; the whole payload by default. */
  keep: ((length: number) => number) | undefined;

  onHead(length: number, type: number, flags: number, streamId: number): number {
    this.lines.push(`head ${length} ${type} ${flags} ${streamId}`);
    return type === FrameType.DATA ? Want.DATA : (this.keep?.(length) ?? length);
  }
  onPayload(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    this.lines.push(`payload ${type} ${flags} ${streamId} ${payload.toHex()}`);
  }
  onDataSlice(slice: Uint8Array, isLast: boolean): void {
    this.data.push(...slice);
    if (!isLast) return;
    this.lines.push(`data ${Uint8Array.from(this.data).toHex()} padding ${this.padding}`);
    this.data = [];
    this.padding = 0;
  }
  onDataPadding(size: number): boolean {
    this.padding = size;
    return true;
  }
  onBadPreface(): void {
    this.lines.push('bad preface');
  }
}

function read(bytes: Uint8Array, cuts: readonly number[], expectsPreface = false, keep?: (length: number) => number): string[] {
  const log = new Log();
  log.keep = keep;
  const reader = new FrameReader(log, expectsPreface);
  const places = [...cuts.map((cut) => cut % (bytes.length + 1)), 0, bytes.length].sort((a, b) => a - b);
  // Each piece gets memory of its own that is overwritten afterwards, as a socket's buffer would be.
  for (let at = 1; at < places.length; at++) {
    const piece = bytes.slice(places[at - 1]!, places[at]!);
    reader.push(piece);
    piece.fill(0xee);
  }
  return log.lines;
}

const payload = fc.uint8Array({ maxLength: 40 });
const dataFrame = fc
  .record({ body: payload, padding: fc.option(fc.nat(20), { nil: undefined }), streamId: fc.nat(2 ** 31 - 1) })
  .map(({ body, padding, streamId }) =>
    padding === undefined
      ? frame(FrameType.DATA, 0, streamId, body)
      : frame(FrameType.DATA, Flag.PADDED | Flag.END_STREAM, streamId, concat(Uint8Array.of(padding), body, octets(padding, 0))),
  );
const otherFrame = fc
  .record({ type: fc.integer({ min: 1, max: 255 }), flags: fc.nat(255), streamId: fc.nat(2 ** 31 - 1), body: payload })
  .map(({ type, flags, streamId, body }) => frame(type, flags, streamId, body));
const stream = fc.array(fc.oneof(dataFrame, otherFrame), { maxLength: 8 }).map((frames) => concat(...frames));

test('gives the same frames however the input is split', () => {
  fc.assert(
    fc.property(stream, fc.array(fc.nat(), { maxLength: 12 }), fc.boolean(), (bytes, cuts, expectsPreface) => {
      const input = expectsPreface ? concat(PREFACE, bytes) : bytes;
      const whole = read(input, [], expectsPreface);
      expect(read(input, cuts, expectsPreface)).toEqual(whole);
      const each = Array.from(input, (_, at) => at);
      expect(read(input, each, expectsPreface)).toEqual(whole);
    }),
    { numRuns: 300 },
  );
});

test('keeps only as much of a payload as the sink wants, however the input is split', () => {
  fc.assert(
    fc.property(stream, fc.array(fc.nat(), { maxLength: 12 }), (bytes, cuts) => {
      const keep = (length: number): number => Math.min(length, 5);
      expect(read(bytes, cuts, false, keep)).toEqual(read(bytes, [], false, keep));
    }),
  );
});

test('hands on the memory of the input for DATA, without a copy', () => {
  const input = frame(FrameType.DATA, 0, 1, octets(100));
  const log = new Log();
  const slices: Uint8Array[] = [];
  log.onDataSlice = (slice) => slices.push(slice);
  new FrameReader(log, false).push(input);
  expect(slices.length).toBe(1);
  expect(slices[0]!.buffer).toBe(input.buffer);
});

test('ignores the reserved bit of the stream id', () => {
  const input = headOnly(0, FrameType.PING, 0, 7);
  input[5] = 0x80;
  expect(read(input, [])[0]).toBe(`head 0 ${FrameType.PING} 0 7`);
});

test('notices a wrong preface at its first wrong octet', () => {
  expect(read(new TextEncoder().encode('GET / HTTP/1.1\r\n'), [], true)).toEqual(['bad preface']);
  const almost = PREFACE.slice();
  almost[23] = 0x20;
  expect(read(almost, [3, 9, 20], true)).toEqual(['bad preface']);
});
