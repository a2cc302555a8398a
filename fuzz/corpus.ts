/** Inputs that were worth keeping, one small file each, named after their content. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Target } from './target.ts';

export const CORPUS = path.join(import.meta.dir, 'corpus');
export const CRASHES = path.join(import.meta.dir, 'crashes');
/** Files of one target kept in the repository: new shapes beyond it are only used within a run. */
export const MAX_FILES = 60;
/** Larger inputs are not kept. */
export const MAX_KEPT_BYTES = 2_048;

export const nameOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex').slice(0, 16);

export function readCorpus(target: Target, directory = CORPUS): Uint8Array[] {
  const folder = path.join(directory, target.name);
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder)
    .sort()
    .map((name) => fs.readFileSync(path.join(folder, name)));
}

/** True when it was written. */
export function keep(target: string, bytes: Uint8Array): boolean {
  const folder = path.join(CORPUS, target);
  fs.mkdirSync(folder, { recursive: true });
  if (bytes.length > MAX_KEPT_BYTES || fs.readdirSync(folder).length >= MAX_FILES) return false;
  fs.writeFileSync(path.join(folder, nameOf(bytes)), bytes);
  return true;
}

/** Writes a crash with the line that repeats it. */
export function writeCrash(target: string, bytes: Uint8Array, problem: string): string {
  fs.mkdirSync(CRASHES, { recursive: true });
  const file = path.join(CRASHES, `${target}-${nameOf(bytes)}`);
  fs.writeFileSync(file, bytes);
  const line = `npm run fuzz -- --target ${target} --input ${path.relative(path.dirname(import.meta.dir), file)}`;
  fs.writeFileSync(`${file}.txt`, `${line}\n${problem}\n`);
  return line;
}
