/** Which program of this machine stands for an image. Nothing is pulled: an image nobody named is refused with the remedy. */
import fs from 'node:fs';
import path from 'node:path';
import type { Container } from '../../platform/kubernetes/index.ts';
import { INSTALL_DIR, LAUNCHER } from '../program.ts';
import { type ImageFile, readImageDirectory } from './image-directory.ts';

export type ImageResolution =
  | {
      readonly ok: true;
      /** The whole command line, the container's `args` included. */
      readonly argv: readonly string[];
      /** What the image adds to the environment; the container's own `env` goes before it. */
      readonly env: Readonly<Record<string, string>>;
      readonly workingDir: string | undefined;
      /** Laid over the machine's files. */
      readonly files: readonly ImageFile[];
    }
  | { readonly ok: false; readonly message: string };

const builtin = (): Readonly<Record<string, readonly string[]>> => ({
  'lateen/lateen': [LAUNCHER],
  'lateen/pipeline': [process.execPath, path.join(INSTALL_DIR, 'examples/pipeline/main.ts')],
});

/** The name without tag and digest. */
export function imageName(image: string): string {
  const name = image.split('@')[0]!;
  const colon = name.lastIndexOf(':');
  return colon > name.lastIndexOf('/') ? name.slice(0, colon) : name;
}

/**
 * `images`: name (with or without tag) → an image directory, or a command line, or that as a JSON list of words. `command` and `args` of the
 * container replace the image's entrypoint and arguments as in Kubernetes.
 */
export function resolveImage(
  container: Pick<Container, 'image' | 'command' | 'args'>,
  images: Readonly<Record<string, string>>,
): ImageResolution {
  const image = container.image ?? '';
  const name = imageName(image);
  const listed = images[image] ?? images[name] ?? images[`${name}:*`];
  const { command = [], args = [] } = container;
  if (listed !== undefined && isDirectory(listed)) {
    const read = readImageDirectory(listed);
    if (!read.ok) return { ok: false, message: `image ${JSON.stringify(image)}: ${read.error}` };
    const { entrypoint, cmd, ...rest } = read.value;
    const argv = command.length > 0 ? [...command, ...args] : [...entrypoint, ...(args.length > 0 ? args : cmd)];
    if (argv.length === 0)
      return {
        ok: false,
        message: `image ${JSON.stringify(image)}: ${listed}/config.json names no Entrypoint or Cmd, and the container no command`,
      };
    return { ok: true, argv, ...rest };
  }
  const known = listed !== undefined ? words(listed) : builtin()[name];
  const plain = (...argv: readonly string[]): ImageResolution => ({
    ok: true,
    argv: [...argv, ...args],
    env: {},
    workingDir: undefined,
    files: [],
  });
  if (command.length > 0) {
    // Published images call their program by its path in the image; here it is where Lateen is installed.
    const isOwn = known !== undefined && path.basename(command[0]!) === path.basename(known[0]!);
    return isOwn ? plain(...known, ...command.slice(1)) : plain(...command);
  }
  if (known !== undefined && known.length > 0) return plain(...known);
  return {
    ok: false,
    message: `image ${JSON.stringify(image)} is not known here: the embedded cluster pulls no images. Give the container a \`command\` that exists on this machine, or start the cluster with: lateen up --image ${name || 'NAME'}=COMMAND (or =DIRECTORY)`,
  };
}

function isDirectory(text: string): boolean {
  return path.isAbsolute(text) && fs.statSync(text, { throwIfNoEntry: false })?.isDirectory() === true;
}

function words(text: string): string[] {
  if (text.trimStart().startsWith('[')) {
    try {
      const list: unknown = JSON.parse(text);
      if (Array.isArray(list)) return list.map(String);
    } catch {
      // not JSON: taken as words
    }
  }
  return text.split(/\s+/).filter((word) => word !== '');
}
