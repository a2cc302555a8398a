/** Conditions on one text, compiled once and tested for every request. */
import type { StringCondition } from './plan.ts';
import { compileRegex, type Regex } from './regex.ts';

const ASCII_UPPER = /[A-Z]/;

/** ASCII only, as header values and hosts need it (RFC 9110 section 5.6.2); the same string when there is nothing to fold. */
export const lowerAscii = (text: string): string =>
  ASCII_UPPER.test(text) ? text.replaceAll(/[A-Z]+/g, (run) => run.toLowerCase()) : text;

/** A regular expression that does not compile never matches: the plan's compilers report it, so that none arrives here. */
export class TextCondition {
  readonly #kind: StringCondition['kind'];
  readonly #value: string;
  readonly #ignoresCase: boolean;
  /** Made when first needed: a table may have thousands, of which the indexes ask few. */
  #regex: Regex | undefined = undefined;
  #pattern: string | undefined = undefined;

  constructor({ kind, value, ignoreCase }: StringCondition) {
    this.#kind = kind;
    this.#ignoresCase = ignoreCase === true && kind !== 'regex';
    this.#value = this.#ignoresCase ? lowerAscii(value) : value;
    if (kind === 'regex') this.#pattern = ignoreCase === true ? `(?i)${value}` : value;
  }

  /** `undefined` stands for "not there" and matches nothing. */
  test(value: string | undefined): boolean {
    if (value === undefined) return false;
    const text = this.#ignoresCase ? lowerAscii(value) : value;
    switch (this.#kind) {
      case 'exact':
        return text === this.#value;
      case 'prefix':
        return text.startsWith(this.#value);
      case 'suffix':
        return text.endsWith(this.#value);
      case 'regex':
        return this.#matches(text);
      case 'present':
        return true;
    }
  }

  #matches(text: string): boolean {
    if (this.#pattern !== undefined) {
      const compiled = compileRegex(this.#pattern);
      if (compiled.ok) this.#regex = compiled.value;
      this.#pattern = undefined;
    }
    return this.#regex?.matches(text) ?? false;
  }
}
