/** `npm run build [-- --if-stale]`: bundles the long-running programs into `dist`. Half a second; `bin/lateen` uses them while they are fresh. */
import fs from 'node:fs';
import path from 'node:path';
import { BUNDLED, type BundledProgram, type BundleManifest, bundleFolder, freshBundle } from '../src/cli/bundle.ts';

const ROOT = path.resolve(import.meta.dir, '..');

async function build({ name, entry }: BundledProgram): Promise<void> {
  const folder = bundleFolder(name);
  const draft = `${folder}.${process.pid}`;
  const { metafile, outputs } = await Bun.build({
    entrypoints: [path.join(ROOT, entry)],
    outdir: draft,
    naming: { entry: 'index.js', chunk: '[name]-[hash].js' },
    target: 'bun',
    minify: true,
    // What is imported at need (the reader of local configurations) stays apart.
    splitting: true,
    // Beside the bundle: the runtime finds it when an error is printed, and reads it only then.
    sourcemap: 'external',
    metafile: true,
  });
  if (metafile === undefined) throw new Error(`the bundler did not say what ${name} is made of`);
  const code = outputs.filter((output) => output.kind !== 'sourcemap').reduce((sum, output) => sum + output.size, 0);
  const inputs: Record<string, readonly [number, number]> = {};
  for (const file of Object.keys(metafile.inputs)) {
    const absolute = path.resolve(process.cwd(), file);
    const { size, mtimeMs } = fs.statSync(absolute);
    inputs[path.relative(ROOT, absolute)] = [size, mtimeMs];
  }
  const manifest: BundleManifest = { runtime: Bun.version, inputs };
  fs.writeFileSync(path.join(draft, 'manifest.json'), JSON.stringify(manifest));
  fs.rmSync(folder, { recursive: true, force: true });
  fs.renameSync(draft, folder);
  console.log(`${path.relative(ROOT, folder)}: ${(code / 1024).toFixed(0)} KiB from ${Object.keys(inputs).length} files`);
}

process.chdir(ROOT);
const isNeeded = process.argv.includes('--if-stale') ? ({ name }: BundledProgram) => freshBundle(name) === undefined : () => true;
for (const program of BUNDLED.filter(isNeeded)) await build(program);
