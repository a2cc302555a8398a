/** A directory of files that changes in one step, as kubelet writes them: `name` → `..data/name`, `..data` → the current version. */
import fs from 'node:fs';
import path from 'node:path';

export type FileMap = Map<string, { readonly data: Buffer; readonly mode: number }>;

/** Writes a new version unless the current one is the same; says whether it did. */
export function writeProjection(dir: string, files: FileMap): boolean {
  for (const name of files.keys()) {
    if (path.isAbsolute(name) || path.normalize(name).startsWith('..'))
      throw new Error(`file name ${JSON.stringify(name)} leaves its volume`);
  }
  fs.mkdirSync(dir, { recursive: true, mode: 0o755 });
  const data = path.join(dir, '..data');
  if (isCurrent(data, files)) return false;
  const version = fs.mkdtempSync(path.join(dir, '..v'));
  fs.chmodSync(version, 0o755);
  for (const [name, file] of files) {
    const at = path.join(version, name);
    fs.mkdirSync(path.dirname(at), { recursive: true });
    fs.writeFileSync(at, file.data);
    fs.chmodSync(at, file.mode);
  }
  const old = fs.existsSync(data) ? fs.readlinkSync(data) : undefined;
  const link = path.join(dir, '..data_tmp');
  fs.rmSync(link, { force: true });
  fs.symlinkSync(path.basename(version), link);
  fs.renameSync(link, data);
  const tops = new Set([...files.keys()].map((name) => path.normalize(name).split('/')[0]!));
  for (const name of tops) {
    if (!isLink(path.join(dir, name))) fs.symlinkSync(`..data/${name}`, path.join(dir, name));
  }
  for (const name of fs.readdirSync(dir))
    if (!name.startsWith('..') && !tops.has(name) && isLink(path.join(dir, name))) fs.rmSync(path.join(dir, name));
  if (old !== undefined) fs.rmSync(path.join(dir, old), { recursive: true, force: true });
  return true;
}

function isLink(at: string): boolean {
  return fs.lstatSync(at, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

function isCurrent(data: string, files: FileMap): boolean {
  if (!fs.existsSync(data)) return false;
  const present = fs.readdirSync(data, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  if (present.length !== files.size) return false;
  for (const [name, file] of files) {
    const at = path.join(data, name);
    if (!fs.existsSync(at) || !fs.readFileSync(at).equals(file.data)) return false;
  }
  return true;
}
