/** Input past this is refused rather than cut: the caller sent something that is no text for a model. */
export const MAX_INPUT_CHARACTERS = 16_384;
const MAX_SENTENCES = 5;
const MAX_CHARACTERS = 700;

export interface PreparedText {
  readonly text: string;
  readonly sentences: number;
  /** Characters of the input that did not reach the model. */
  readonly removed: number;
}

const MARKUP = /<\/?[a-z][^<>]{0,200}>/giu;
const ADDRESS = /\b(?:https?:\/\/|www\.)\S+|\b[\w.+-]+@[\w-]+\.[\w.-]+/giu;
// Control and format characters; the two joiners stay, several scripts cannot be written without them.
const INVISIBLE = /(?!\u200c|\u200d|\s)[\p{Cc}\p{Cf}\ufffd]/gu;
const BLANKS = /\s+/gu;

const sentencesOf = new Intl.Segmenter('und', { granularity: 'sentence' });

/** Normalises to NFC, removes mark-up, addresses and invisible characters, and keeps whole sentences from the start. */
export const prepareText = (input: string): PreparedText => {
  const clean = input.normalize('NFC').replace(MARKUP, ' ').replace(ADDRESS, ' ').replace(INVISIBLE, '').replace(BLANKS, ' ').trim();
  let text = '';
  let sentences = 0;
  for (const { segment } of sentencesOf.segment(clean)) {
    if (sentences === MAX_SENTENCES || (sentences > 0 && text.length + segment.length > MAX_CHARACTERS)) break;
    text += segment;
    sentences++;
  }
  text = cutAtCharacter(text.trim(), MAX_CHARACTERS);
  return { text, sentences: text === '' ? 0 : sentences, removed: Math.max(0, input.length - text.length) };
};

/** A single sentence may be too long by itself; a surrogate pair is never split. */
const cutAtCharacter = (text: string, limit: number): string => {
  if (text.length <= limit) return text;
  const last = text.charCodeAt(limit - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? limit - 1 : limit);
};
