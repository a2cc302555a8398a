/** Small files that several processes read: always replaced in one step, so a reader never sees half of one. */
import fs from 'node:fs';
import path from 'node:path';
import { explainFileError } from './error.ts';

export function writeFileAtomically(file: string, content: string | Uint8Array, mode = 0o600): void {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(temporary, content, { mode });
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw explainFileError(error, file);
  }
}

export function writeJson(file: string, value: unknown): void {
  writeFileAtomically(file, `${JSON.stringify(value, null, 2)}\n`);
}

/** The parsed file, or undefined when it is absent or not (yet) JSON. */
export function readJson<T>(file: string): T | undefined {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8')) as T;
  } catch {
    return undefined; // absent, or cut short by a crash of its writer: both mean "nothing known"
  }
}

export function readText(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return undefined; // absent
  }
}
