import { expect, test } from 'bun:test';
import { canonicalLanguage, finishPrediction } from './postprocess.ts';

test.each([
  ['iw', 'he', 'Hebrew'],
  ['zh-Latn', 'zh', 'Chinese'],
  ['de', 'de', 'German'],
  ['fil', 'fil', 'Filipino'],
])('gives the label %s the canonical language %s and the name %s', (label, language, languageName) => {
  expect(finishPrediction({ label, probability: 0.9 }, 0.5)).toEqual({ language, languageName, confident: true });
});

test('withholds a language below the threshold and names it at the threshold', () => {
  expect(finishPrediction({ label: 'no', probability: 0.49 }, 0.5)).toEqual({
    language: 'und',
    languageName: 'undetermined',
    confident: false,
  });
  expect(finishPrediction({ label: 'no', probability: 0.5 }, 0.5).confident).toBe(true);
});

test('answers undetermined for a label that is no language tag', () => {
  for (const label of ['', 'und', '__label__', '!!']) expect(finishPrediction({ label, probability: 1 }, 0).language).toBe('und');
  expect(canonicalLanguage('EN-us')).toBe('en');
});
