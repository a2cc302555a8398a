import { expect, test } from 'bun:test';
import { imageName, resolveImage } from './images.ts';

test('strips tags and digests but not the port of a registry', () => {
  expect(imageName('host:5000/a/b:1.2')).toBe('host:5000/a/b');
  expect(imageName('a@sha256:00')).toBe('a');
});

test('knows its own images whatever their tag', () => {
  const found = resolveImage({ image: 'lateen/lateen:dev' }, {});
  expect(found.ok && found.argv[0]).toEndWith('/bin/lateen');
});

test('a command that names the program of our image by its path there means the installed one', () => {
  const found = resolveImage({ image: 'lateen/lateen:1', command: ['/usr/local/bin/lateen', 'proxy'] }, {});
  expect(found.ok && found.argv.length === 2 && found.argv[0]?.endsWith('/bin/lateen') && found.argv[1] === 'proxy').toBe(true);
});

test('takes a command from the manifest, or one given for the image as words or as JSON', () => {
  expect(resolveImage({ image: 'x', command: ['sleep', '1'] }, {})).toMatchObject({ ok: true, argv: ['sleep', '1'] });
  expect(resolveImage({ image: 'x:2' }, { x: 'node server.js' })).toMatchObject({ ok: true, argv: ['node', 'server.js'] });
  expect(resolveImage({ image: 'x:2' }, { 'x:*': '["a b","c"]' })).toMatchObject({ ok: true, argv: ['a b', 'c'] });
});

test('refuses an unknown image with the remedy', () => {
  const found = resolveImage({ image: 'nginx:1.2' }, {});
  expect(found.ok ? '' : found.message).toContain('lateen up --image nginx=COMMAND');
});
