import { expect, test } from 'bun:test';
import { Backlog } from './backlog.ts';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

test('gives back what was added, in order, from where it was dropped', () => {
  const backlog = new Backlog();
  let expected = '';
  for (let i = 0; i < 3000; i++) {
    const piece = `piece ${i};`;
    backlog.add(bytes(piece));
    expected += piece;
    if (i % 3 === 0) {
      backlog.drop(i % 11);
      expected = expected.slice(i % 11);
    }
  }
  expect(text(backlog.bytes)).toBe(expected);
  backlog.drop(expected.length);
  expect(backlog.isEmpty).toBe(true);
  backlog.add(bytes('again'));
  expect(text(backlog.bytes)).toBe('again');
});

test('is empty when it was cleared while somebody used it', () => {
  const backlog = new Backlog();
  backlog.add(bytes('abc'));
  backlog.clear();
  backlog.drop(2);
  expect(backlog.isEmpty).toBe(true);
});

test('does not keep the caller’s memory', () => {
  const backlog = new Backlog();
  const chunk = bytes('abc');
  backlog.add(chunk);
  chunk.fill(0);
  expect(text(backlog.bytes)).toBe('abc');
});
