/**
 * Bundles of the long-running programs: each in one file without what it never calls, which halves the memory of a proxy. `scripts/build.ts` makes them; a
 * bundle is used only while it is made of exactly the files that are here.
 */
import fs from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dir, '../..');

export interface BundledProgram {
  /** Its folder below `dist`. */
  readonly name: string;
  /** Below the root, and the function to call. */
  readonly entry: string;
  readonly run: string;
}

export const BUNDLED: readonly BundledProgram[] = [
  { name: 'ztunnel', entry: 'src/dataplane/ztunnel/index.ts', run: 'runZtunnel' },
  { name: 'waypoint', entry: 'src/dataplane/waypoint/index.ts', run: 'runWaypoint' },
  { name: 'controlplane', entry: 'src/controlplane/index.ts', run: 'runControlPlane' },
  { name: 'node-agent', entry: 'src/node/index.ts', run: 'runNodeAgent' },
];

/** What a bundle was made of: the runtime's version, and size and modification time of each file (below the root), as git compares them. */
export interface BundleManifest {
  readonly runtime: string;
  readonly inputs: Readonly<Record<string, readonly [size: number, mtimeMs: number]>>;
}

export const bundleFolder = (name: string, root = ROOT): string => path.join(root, 'dist', name);

/** Path of the bundle's entry; undefined when there is none, or a file it was made of has changed. */
export function freshBundle(name: string, root = ROOT): string | undefined {
  const folder = bundleFolder(name, root);
  let manifest: BundleManifest;
  try {
    // What stands there was written by the build.
    manifest = JSON.parse(fs.readFileSync(path.join(folder, 'manifest.json'), 'utf8')) as BundleManifest;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  if (manifest.runtime !== Bun.version) return undefined;
  for (const [file, [size, mtimeMs]] of Object.entries(manifest.inputs)) {
    const stat = fs.statSync(path.join(root, file), { throwIfNoEntry: false });
    if (stat === undefined || stat.size !== size || stat.mtimeMs !== mtimeMs) return undefined;
  }
  return path.join(folder, 'index.js');
}
