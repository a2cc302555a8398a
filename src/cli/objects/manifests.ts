import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseManifests, type UnknownObject } from '../../platform/kubernetes/index.ts';
import { CliError, EXIT } from '../exit.ts';

const MANIFEST = /\.(ya?ml|json)$/;

/** Objects of files, directories (their .yaml, .yml and .json files, by name) and `-` for standard input. */
export const readManifests = async (sources: readonly string[]): Promise<UnknownObject[]> => {
  if (sources.length === 0) throw new CliError('no file was given', EXIT.usage, 'Use -f FILE, -f DIRECTORY or -f - for standard input.');
  const objects: UnknownObject[] = [];
  for (const source of sources) {
    for (const file of await filesOf(source)) objects.push(...parseManifests(await textOf(file), file === '-' ? 'standard input' : file));
  }
  if (objects.length === 0)
    throw new CliError(`no objects in ${sources.join(', ')}`, EXIT.failure, 'The files are empty or hold only comments.');
  return objects;
};

const filesOf = async (source: string): Promise<string[]> => {
  if (source === '-') return ['-'];
  const found = await stat(source).catch(() => undefined);
  if (found === undefined) throw new CliError(`${source} does not exist`, EXIT.notFound, 'Check the path given with -f.');
  if (!found.isDirectory()) return [source];
  const names = (await readdir(source)).filter((name) => MANIFEST.test(name)).sort();
  if (names.length === 0) throw new CliError(`${source} holds no .yaml, .yml or .json file`, EXIT.notFound);
  return names.map((name) => join(source, name));
};

const textOf = async (file: string): Promise<string> => {
  try {
    return await (file === '-' ? Bun.stdin : Bun.file(file)).text();
  } catch (error) {
    throw new CliError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
};
