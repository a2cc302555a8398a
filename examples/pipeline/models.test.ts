import { expect, test } from 'bun:test';
import { corpus } from './load/corpus.ts';
import { loadModel, MODEL_NAMES } from './models.ts';
import { canonicalLanguage } from './postprocess.ts';

test.each([...MODEL_NAMES])('%s names the language of nearly every sentence of the corpus', async (name) => {
  const model = await loadModel(name);
  const wrong = corpus.filter(({ text, language }) => canonicalLanguage(model.predict(text).label) !== language);
  expect(wrong.length).toBeLessThanOrEqual(2);
});

test('the two models differ: they do not give the same probabilities', async () => {
  const [first, second] = await Promise.all([loadModel('cld3'), loadModel('fasttext')]);
  const text = 'Dette er en fin dag i Oslo';
  expect(first!.predict(text).probability).not.toBe(second!.predict(text).probability);
});

test('fasttext reads text with line breaks to its end', async () => {
  const model = await loadModel('fasttext');
  expect(model.predict('\n\nDas Wetter ist heute sehr schön\nund wir gehen spazieren').label).toBe('de');
});

test('the corpus covers about thirty languages', () => {
  expect(new Set(corpus.map(({ language }) => language)).size).toBeGreaterThanOrEqual(30);
});
