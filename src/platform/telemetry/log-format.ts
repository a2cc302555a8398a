/** One log line as text: ztunnel's plain layout (tab-separated head, then `k=v`) or one JSON object. */
import type { Level } from './log-filter.ts';

/** A value printed without quotes in the plain layout: addresses, durations already quoted, sizes. */
export class Raw {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export const raw = (text: string): Raw => new Raw(text);

/** Strings are quoted, the rest is not; `undefined` leaves the field out. */
export type FieldValue = string | number | bigint | boolean | Raw | undefined;
export type Fields = Readonly<Record<string, FieldValue>>;

/** Characters a string field may have; longer ones are cut, so that a hostile header cannot fill the log. */
export const MAX_FIELD_LENGTH = 4096;

const NEEDS_ESCAPE = /[\u0000-\u001f"\\\u007f-\u009f\u2028\u2029]/;
const NEEDS_ESCAPE_ALL = /[\u0000-\u001f"\\\u007f-\u009f\u2028\u2029]/g;
const SHORT: Readonly<Record<string, string>> = { '"': '\\"', '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\0': '\\0' };

/** A text of at most `length` characters, and a sign where there was more. */
export const shortened = (text: string, length: number): string => (text.length <= length ? text : `${text.slice(0, length)}…`);

/** A string as Rust's `{:?}` prints it, which is how ztunnel quotes strings in its log. */
export function quote(text: string): string {
  const value = shortened(text, MAX_FIELD_LENGTH);
  if (!NEEDS_ESCAPE.test(value)) return `"${value}"`;
  return `"${value.replace(NEEDS_ESCAPE_ALL, (c) => SHORT[c] ?? `\\u{${c.charCodeAt(0).toString(16)}}`)}"`;
}

let second = -1;
let secondText = '';

/** RFC 3339 in UTC with microseconds; `now` is milliseconds since the epoch, with a fraction. */
export function timestamp(now: number): string {
  const whole = Math.floor(now / 1000);
  if (whole !== second) {
    second = whole;
    secondText = new Date(whole * 1000).toISOString().slice(0, 20);
  }
  const micros = Math.min(999_999, Math.round((now - whole * 1000) * 1000));
  return `${secondText}${String(micros).padStart(6, '0')}Z`;
}

/** A message must stay on its line. */
const oneLine = (message: string): string => (/[\n\r]/.test(message) ? message.replace(/\r?\n|\r/g, '\\n') : message);

export function plainLine(now: number, level: Level, target: string, message: string, fields: Fields | undefined): string {
  let line = `${timestamp(now)}\t${level}\t${target}\t${oneLine(message)}`;
  let separator = '\t';
  for (const name in fields) {
    const value = fields[name];
    if (value === undefined) continue;
    line += separator + name;
    line += typeof value === 'string' ? `=${quote(value)}` : value instanceof Raw ? `=${value.text}` : `=${value}`;
    separator = ' ';
  }
  return `${line}\n`;
}

export function jsonLine(now: number, level: Level, target: string, message: string, fields: Fields | undefined): string {
  const object: Record<string, string | number | boolean> = { level, time: timestamp(now), scope: target, message };
  for (const name in fields) {
    const value = fields[name];
    if (value === undefined) continue;
    if (typeof value === 'string') object[name] = shortened(value, MAX_FIELD_LENGTH);
    else object[name] = value instanceof Raw ? value.text : typeof value === 'bigint' ? String(value) : value;
  }
  return `${JSON.stringify(object)}\n`;
}
