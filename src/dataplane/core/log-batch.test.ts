import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { LogBatch } from './log-batch.ts';

const lines = fc
  .array(fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 1, max: 900 }) }, fc.integer({ min: 4000, max: 9000 })), { maxLength: 60 })
  .map((sizes) => sizes.map((size, i) => `${String.fromCharCode(97 + (i % 26)).repeat(size)}\n`));

/** What a reader gets that takes at most so many octets at once, and how it got it. */
function written(batch: (write: (bytes: Uint8Array) => number) => LogBatch, input: readonly string[], take: (size: number) => number) {
  const pieces: string[] = [];
  const log = batch((bytes) => {
    const count = take(bytes.length);
    if (count === 0) throw Object.assign(new Error('full'), { code: 'EAGAIN' });
    pieces.push(Buffer.from(bytes.subarray(0, count)).toString());
    return count;
  });
  for (const line of input) log.sink(Buffer.from(line));
  log.close();
  return pieces;
}

test('every line arrives once and in order, however much the reader takes', () => {
  fc.assert(
    fc.property(lines, fc.boolean(), fc.infiniteStream(fc.constantFrom(0, 1, 100, 5000)), (input, isShared, takes) => {
      const take = (size: number): number => Math.min(size, takes.next().value as number);
      expect(written((write) => new LogBatch({ write, isShared }), input, take).join('')).toBe(input.join(''));
    }),
    { numRuns: 30 },
  );
});

test('where other processes write, too, each write is of whole lines, and no longer than cannot be torn apart', () => {
  fc.assert(
    fc.property(lines, (input) => {
      const pieces = written(
        (write) => new LogBatch({ write, isShared: true }),
        input,
        (size) => size,
      );
      expect(pieces.join('')).toBe(input.join(''));
      for (const piece of pieces) {
        expect(piece.endsWith('\n')).toBe(true);
        // A line that is longer for itself goes out alone.
        if (piece.length > 4096) expect(piece.indexOf('\n')).toBe(piece.length - 1);
      }
      // Lines are not written one by one where several fit.
      for (let i = 1; i < pieces.length; i++) {
        const next = pieces[i]!.slice(0, pieces[i]!.indexOf('\n') + 1);
        expect(pieces[i - 1]!.length + next.length).toBeGreaterThan(4096);
      }
    }),
    { numRuns: 50 },
  );
});

test('where nobody else writes, all that waits goes out at once', () => {
  expect(
    written(
      (write) => new LogBatch({ write }),
      Array(50).fill(`${'x'.repeat(500)}\n`),
      (size) => size,
    ),
  ).toHaveLength(1);
});

test('a reader that is gone takes no memory', () => {
  const log = new LogBatch({
    write: () => {
      throw Object.assign(new Error('gone'), { code: 'EPIPE' });
    },
  });
  for (let i = 0; i < 2000; i++) expect(log.sink(Buffer.alloc(1000))).toBe(1000);
  log.close();
});
