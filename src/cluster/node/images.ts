/** Which program of this machine stands for an image. Nothing is pulled: an image nobody named is refused with the remedy. */
import path from 'node:path';
import type { Container } from '../../platform/kubernetes/index.ts';
import { INSTALL_DIR, LAUNCHER } from '../program.ts';

export type ImageResolution =
  | { readonly ok: true; readonly argv: readonly string[]; readonly source: string }
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

/** `images`: name (with or without tag) → command line, or a JSON list of words. */
export function resolveImage(container: Pick<Container, 'image' | 'command'>, images: Readonly<Record<string, string>>): ImageResolution {
  const image = container.image ?? '';
  const name = imageName(image);
  const listed = images[image] ?? images[name] ?? images[`${name}:*`];
  const known = listed !== undefined ? words(listed) : builtin()[name];
  const command = container.command ?? [];
  if (command.length > 0) {
    // Published images call their program by its path in the image; here it is where Lateen is installed.
    const isOwn = known !== undefined && path.basename(command[0]!) === path.basename(known[0]!);
    return { ok: true, argv: isOwn ? [...known, ...command.slice(1)] : command, source: 'the program named in `command`' };
  }
  if (known !== undefined && known.length > 0) return { ok: true, argv: known, source: known.join(' ') };
  return {
    ok: false,
    message: `image ${JSON.stringify(image)} is not known here: the embedded cluster pulls no images. Give the container a \`command\` that exists on this machine, or start the cluster with: lateen up --image ${name || 'NAME'}=COMMAND`,
  };
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
