import { afterAll, beforeEach, expect, test } from 'bun:test';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type BundleManifest, bundleFolder, freshBundle } from './bundle.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'bundle-test-'));
const source = path.join(root, 'a.ts');
const folder = bundleFolder('program', root);
const writeManifest = (manifest: string): void => fs.writeFileSync(path.join(folder, 'manifest.json'), manifest);
const manifestOf = (runtime: string): BundleManifest => {
  const { size, mtimeMs } = fs.statSync(source);
  return { runtime, inputs: { 'a.ts': [size, mtimeMs] } };
};

beforeEach(() => {
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(source, 'export {};\n');
  writeManifest(JSON.stringify(manifestOf(Bun.version)));
});
afterAll(() => fs.rmSync(root, { recursive: true }));

test('a bundle of the files that are here is used', () => {
  expect(freshBundle('program', root)).toBe(path.join(folder, 'index.js'));
});

test('a file that changed makes it stale, although its size and name stay', () => {
  fs.writeFileSync(source, 'import {};\n');
  fs.utimesSync(source, new Date(), new Date(Date.now() - 60_000));
  expect(freshBundle('program', root)).toBeUndefined();
});

test('a file of another size makes it stale, although its time stays', () => {
  const { atime, mtime } = fs.statSync(source);
  fs.appendFileSync(source, '//');
  fs.utimesSync(source, atime, mtime);
  expect(freshBundle('program', root)).toBeUndefined();
});

test('a file that is gone makes it stale', () => {
  fs.rmSync(source);
  expect(freshBundle('program', root)).toBeUndefined();
});

test('another version of the runtime makes it stale', () => {
  writeManifest(JSON.stringify(manifestOf('0.0.1')));
  expect(freshBundle('program', root)).toBeUndefined();
});

test('no bundle, and half a manifest, are no bundle', () => {
  expect(freshBundle('other', root)).toBeUndefined();
  writeManifest('{"runtime": "1.');
  expect(freshBundle('program', root)).toBeUndefined();
});
