export interface RawPrediction {
  readonly label: string;
  readonly probability: number;
}

export interface Finished {
  /** Canonical BCP 47 language; `und` when the model is not sure enough or has no label. */
  readonly language: string;
  readonly languageName: string;
  readonly confident: boolean;
}

const UNDETERMINED = 'und';
const names = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'code' });

/** Models spell languages their own way ("iw", "zh-Latn", "jv"); this gives the one spelling everybody else uses. */
export const canonicalLanguage = (label: string): string => {
  try {
    // Canonicalised first: the language of a Locale made from an old code is still the old code.
    return new Intl.Locale(Intl.getCanonicalLocales(label)[0] ?? UNDETERMINED).language;
  } catch {
    return UNDETERMINED; // RangeError: the label is no language tag
  }
};

/** Gives a label its name, and withholds it when the probability is below the threshold. */
export const finishPrediction = ({ label, probability }: RawPrediction, threshold: number): Finished => {
  const language = canonicalLanguage(label);
  const confident = language !== UNDETERMINED && probability >= threshold;
  if (!confident) return { language: UNDETERMINED, languageName: 'undetermined', confident };
  return { language, languageName: names.of(language) ?? language, confident };
};
