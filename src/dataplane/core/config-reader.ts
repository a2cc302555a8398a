/** Reads typed values out of the environment and collects every problem, so the operator sees all of them at once. */
import { parseDuration } from './duration.ts';

export class ConfigReader {
  readonly problems: string[] = [];
  readonly #env: NodeJS.ProcessEnv;

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env;
  }

  /** Undefined when unset; an empty string is a value. */
  optional(name: string): string | undefined {
    return this.#env[name];
  }

  text(name: string, fallback: string): string {
    return this.#env[name] ?? fallback;
  }

  boolean(name: string, fallback: boolean): boolean {
    return this.optionalBoolean(name) ?? fallback;
  }

  optionalBoolean(name: string): boolean | undefined {
    const value = this.#env[name]?.trim().toLowerCase();
    if (value === undefined || value === '') return undefined;
    if (value === 'true' || value === '1') return true;
    if (value === 'false' || value === '0') return false;
    this.#problem(name, 'is not a boolean: use "true" or "false"');
    return undefined;
  }

  integer(name: string, fallback: number, minimum = 0, maximum = 0x7fff_ffff): number {
    const value = this.#env[name];
    if (value === undefined || value.trim() === '') return fallback;
    const number = Number(value);
    if (Number.isInteger(number) && number >= minimum && number <= maximum) return number;
    this.#problem(name, `is not a whole number from ${minimum} to ${maximum}`);
    return fallback;
  }

  /** Milliseconds. */
  duration(name: string, fallback: number): number {
    return this.optionalDuration(name) ?? fallback;
  }

  optionalDuration(name: string): number | undefined {
    const value = this.#env[name];
    if (value === undefined || value.trim() === '') return undefined;
    const parsed = parseDuration(value);
    if (parsed === undefined) this.#problem(name, 'is not a duration: write for example "5s", "150ms" or "1h30m"');
    return parsed;
  }

  oneOf<T extends string>(name: string, values: readonly T[], fallback: T): T {
    const value = this.#env[name];
    if (value === undefined || value === '') return fallback;
    const found = values.find((candidate) => candidate === value.toLowerCase());
    if (found === undefined) this.#problem(name, `must be ${values.map((v) => `"${v}"`).join(' or ')}`);
    return found ?? fallback;
  }

  /** Every variable with this prefix, without it. */
  withPrefix(prefix: string): Map<string, string> {
    const found = new Map<string, string>();
    for (const [name, value] of Object.entries(this.#env))
      if (name.startsWith(prefix) && name.length > prefix.length && value !== undefined) found.set(name.slice(prefix.length), value);
    return found;
  }

  problem(text: string): void {
    this.problems.push(text);
  }

  #problem(name: string, reason: string): void {
    this.problems.push(`environment variable ${name}: value "${this.#env[name]}" ${reason}`);
  }
}
