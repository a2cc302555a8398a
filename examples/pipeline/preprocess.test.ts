import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { prepareText } from './preprocess.ts';

test('composes decomposed letters', () => {
  expect(prepareText('A\u0308pfel und Bru\u0308cken').text).toBe('Äpfel und Brücken');
});

test('removes mark-up, addresses and invisible characters, and keeps the words', () => {
  expect(prepareText('<p>Hello\u200b, see https://example.org/x?y=1 or\nwrite to a.b@example.org</p>').text).toBe('Hello, see or write to');
});

test('keeps the joiners that scripts need', () => {
  expect(prepareText('می\u200cخواهم').text).toBe('می\u200cخواهم');
});

test('keeps at most five whole sentences', () => {
  const { text, sentences } = prepareText('One is here. Two is here. Three is here. Four is here. Five is here. Six is here.');
  expect(sentences).toBe(5);
  expect(text.endsWith('Five is here.')).toBe(true);
});

test('cuts one endless sentence without splitting a character', () => {
  const { text } = prepareText('😀'.repeat(2_000));
  expect(text.length).toBeLessThanOrEqual(700);
  expect(text.isWellFormed()).toBe(true);
});

test('has nothing left when the input is only mark-up', () => {
  expect(prepareText('<br><br> https://example.org')).toMatchObject({ text: '', sentences: 0 });
});

test('is stable: preparing prepared text changes nothing but where sentences end', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 400 }), (input) => {
      const once = prepareText(input).text;
      expect(once).toBe(once.normalize('NFC').trim());
      expect(once).not.toMatch(/\s\s|\u0000|\u200b/);
    }),
  );
});
