/**
 * Regular expressions that users write, with RE2's syntax and semantics (Envoy's `google_re2`): time linear in the value whatever the pattern.
 * Values are matched as they travel, one character per octet.
 */
import type { Matcher, RE2JS } from 're2js';
import { fail, ok, type Result } from '../result.ts';

export const REGEX_LIMITS = {
  /** Characters of a pattern, and of a substitution: a Gateway API value may have 1024, a VirtualService's is as long as somebody likes. */
  patternLength: 4_096,
  /** Instructions of the compiled program: what one octet can cost. */
  programSize: 10_000,
  /** Compiled patterns kept for the next plan, which mostly has the same ones. */
  cached: 1_024,
} as const;

/** A literal piece or the number of a group. */
type Substitution = readonly (string | number)[];

/** `\0` is the whole match, `\1` to `\9` are its groups, `\\` is a backslash (RE2 `Replace`). */
const parseSubstitution = (text: string, groups: number): Result<Substitution, string> => {
  if (text.length > REGEX_LIMITS.patternLength) return fail(`substitution has more than ${REGEX_LIMITS.patternLength} characters`);
  const pieces: (string | number)[] = [];
  let literal = '';
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== '\\') {
      literal += text[i];
      continue;
    }
    const next = text[++i] ?? '';
    if (next === '\\') literal += '\\';
    else if (next >= '0' && next <= '9' && next !== '') {
      if (Number(next) > groups) return fail(`substitution names group ${next} of a pattern with ${groups}`);
      if (literal !== '') pieces.push(literal);
      literal = '';
      pieces.push(Number(next));
    } else return fail(`substitution has a backslash that neither names a group nor stands for itself`);
  }
  if (literal !== '') pieces.push(literal);
  return ok(pieces);
};

const substitute = (matcher: Matcher, pieces: Substitution): string => {
  let text = '';
  for (const piece of pieces) text += typeof piece === 'string' ? piece : (matcher.group(piece) ?? '');
  return text;
};

export class Regex {
  readonly pattern: string;
  readonly #program: RE2JS;
  #substitutionText: string | undefined;
  #substitution: Substitution = [];

  constructor(pattern: string, program: RE2JS) {
    this.pattern = pattern;
    this.#program = program;
  }

  /** Whether the whole value matches. */
  matches(value: string): boolean {
    return this.#program.testExact(value);
  }

  /** Undefined when the substitution may be used with this pattern, else what is wrong with it. */
  checkSubstitution(substitution: string): string | undefined {
    const parsed = parseSubstitution(substitution, this.#program.groupCount());
    return parsed.ok ? undefined : parsed.error;
  }

  /** Every occurrence replaced; the value as it is when there is none, or when the substitution is not valid. */
  replaceAll(value: string, substitution: string): string {
    if (this.#substitutionText !== substitution) {
      const parsed = parseSubstitution(substitution, this.#program.groupCount());
      if (!parsed.ok) return value;
      this.#substitution = parsed.value;
      this.#substitutionText = substitution;
    }
    const matcher = this.#program.matcher(value);
    let text = '';
    let done = 0;
    while (matcher.find()) {
      text += value.slice(done, matcher.start()) + substitute(matcher, this.#substitution);
      done = matcher.end();
    }
    return done === 0 && text === '' ? value : text + value.slice(done);
  }
}

// Loaded by the first pattern: its tables are 4 MiB, and most waypoints never see a regular expression. `require`, because a plan is compiled in one go.
const engine = (): typeof RE2JS => (require('re2js') as typeof import('re2js')).RE2JS;

const cache = new Map<string, Regex>();

/** The error is RE2's own text. */
export const compileRegex = (pattern: string): Result<Regex, string> => {
  const known = cache.get(pattern);
  if (known !== undefined) return ok(known);
  if (pattern.length > REGEX_LIMITS.patternLength) return fail(`regular expression has more than ${REGEX_LIMITS.patternLength} characters`);
  let program: RE2JS;
  try {
    program = engine().compile(pattern);
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
  if (program.programSize() > REGEX_LIMITS.programSize) return fail('regular expression is too large once compiled');
  const regex = new Regex(pattern, program);
  // Oldest out: plans are compiled as a whole, so age says as much as use.
  if (cache.size >= REGEX_LIMITS.cached) for (const oldest of cache.keys()) if (cache.delete(oldest)) break;
  cache.set(pattern, regex);
  return ok(regex);
};

/** Undefined when the pattern is valid, else what is wrong with it. */
export const checkRegex = (pattern: string): string | undefined => {
  const compiled = compileRegex(pattern);
  return compiled.ok ? undefined : compiled.error;
};

/** Undefined when pattern and substitution go together, else what is wrong. */
export const checkRegexSubstitution = (pattern: string, substitution: string): string | undefined => {
  const compiled = compileRegex(pattern);
  return compiled.ok ? compiled.value.checkSubstitution(substitution) : compiled.error;
};

const META = new Set('\\.+*?()|[]{}^$');
const QUANTIFIERS = new Set('*?{');
/** RE2 reads a quantifier behind a group of flags, `a(?i)*`, as one of what stands before it. */
const FLAGS = /\(\?[a-zA-Z-]*\)/;

/** Also true where it would take a parser to be sure. */
const mayHaveAlternatives = (pattern: string): boolean => {
  if (!pattern.includes('|')) return false;
  let depth = 0;
  for (let i = 0; i < pattern.length; i++) {
    const character = pattern[i];
    if (character === '\\') {
      if (pattern[++i] === 'Q') return true;
    } else if (character === '[') return true;
    else if (character === '(') depth++;
    else if (character === ')') depth--;
    else if (character === '|' && depth === 0) return true;
  }
  return false;
};

/** Text that every full match begins with; '' when that cannot be told easily. Lets an index find the few expressions that may match. */
export const literalPrefix = (pattern: string): string => {
  if (mayHaveAlternatives(pattern) || FLAGS.test(pattern)) return '';
  let literal = '';
  for (let i = pattern.startsWith('^') ? 1 : 0; i < pattern.length; i++) {
    let character = pattern[i]!;
    if (character === '\\') {
      character = pattern[++i] ?? '';
      if (!META.has(character) && character !== '/' && character !== '-') break;
    } else if (META.has(character)) break;
    if (QUANTIFIERS.has(pattern[i + 1] ?? '') || character > '~') break;
    literal += character;
  }
  return literal;
};
