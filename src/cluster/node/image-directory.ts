/**
 * An image as a directory on this machine: `config.json` beside `rootfs/`. Nothing is unpacked or copied: a container of the image sees the
 * files below `rootfs/` laid over the machine's own, read-only, at their paths.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fail, ok, type Result } from '../../mesh/index.ts';

/** Each file is one bind mount of each container, so a whole distribution does not belong here. */
export const MAX_IMAGE_FILES = 256;

export interface ImageFile {
  /** Absolute, on this machine. */
  readonly source: string;
  /** Absolute, in the container. */
  readonly target: string;
}

/** The fields of an OCI image configuration's `config` that a process needs (OCI image-spec, config.md). */
export interface ImageDirectory {
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDir: string | undefined;
  readonly files: readonly ImageFile[];
}

/** Reads an image directory. The error names the file and what is wrong with it. `User` and volumes of the configuration are not followed. */
export function readImageDirectory(directory: string): Result<ImageDirectory, string> {
  const file = path.join(directory, 'config.json');
  let config: unknown;
  try {
    const document: unknown = JSON.parse(fs.readFileSync(file, 'utf8'));
    config = isRecord(document) ? (document['config'] ?? {}) : undefined;
  } catch (error) {
    return fail(`${file} cannot be read as JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isRecord(config)) return fail(`${file} is not an image configuration: "config" has to be an object`);
  const words = (name: string): readonly string[] | undefined => {
    const value = config[name] ?? [];
    return Array.isArray(value) && value.every((word) => typeof word === 'string') ? value : undefined;
  };
  const [entrypoint, cmd, env] = [words('Entrypoint'), words('Cmd'), words('Env')];
  const workingDir = config['WorkingDir'] ?? '';
  if (entrypoint === undefined || cmd === undefined || env === undefined)
    return fail(`${file}: Entrypoint, Cmd and Env are lists of words`);
  if (typeof workingDir !== 'string') return fail(`${file}: WorkingDir is a path`);
  const files = filesBelow(path.join(directory, 'rootfs'));
  if (!files.ok) return files;
  return ok({
    entrypoint,
    cmd,
    env: Object.fromEntries(env.filter((entry) => entry.includes('=')).map((entry) => splitAt(entry, entry.indexOf('=')))),
    workingDir: workingDir === '' ? undefined : workingDir,
    files: files.value,
  });
}

function filesBelow(root: string): Result<readonly ImageFile[], string> {
  if (!fs.existsSync(root)) return ok([]);
  const files: ImageFile[] = [];
  const directories = [root];
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
      const source = path.join(directory, entry.name);
      if (entry.isDirectory()) directories.push(source);
      else if (entry.isFile()) files.push({ source, target: `/${path.relative(root, source)}` });
      else return fail(`${source} is neither a file nor a directory: only those can be laid over the machine's`);
      if (files.length > MAX_IMAGE_FILES) return fail(`${root} holds more than ${MAX_IMAGE_FILES} files`);
    }
  }
  return ok(files.sort((a, b) => (a.target < b.target ? -1 : 1)));
}

const splitAt = (text: string, at: number): [string, string] => [text.slice(0, at), text.slice(at + 1)];

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
