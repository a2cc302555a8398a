/** How to start Lateen's own programs: the runtime that runs this process, on the command line's entry point. */
import path from 'node:path';

/** The folder that holds `bin`, `src` and `node_modules`. */
export const INSTALL_DIR = path.resolve(import.meta.dir, '../..');
export const LAUNCHER = path.join(INSTALL_DIR, 'bin/lateen');
export const MESH_MANIFEST = path.join(INSTALL_DIR, 'deploy/mesh.yaml');

const MAIN = path.join(INSTALL_DIR, 'src/cli/main.ts');

/** `lateen cluster <subcommand>` without the launcher's shell in between. */
export function clusterProgram(subcommand: string): string[] {
  return [process.execPath, MAIN, 'cluster', subcommand];
}
