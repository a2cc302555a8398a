import { afterAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { MAX_IMAGE_FILES, readImageDirectory } from './image-directory.ts';
import { resolveImage } from './images.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'lateen-image-'));
afterAll(() => fs.rmSync(root, { recursive: true }));

/** An image directory with these files. */
function image(name: string, config: string, files: readonly string[] = []): string {
  const directory = path.join(root, name);
  fs.mkdirSync(directory);
  fs.writeFileSync(path.join(directory, 'config.json'), config);
  for (const file of files) {
    fs.mkdirSync(path.join(directory, 'rootfs', path.dirname(file)), { recursive: true });
    fs.writeFileSync(path.join(directory, 'rootfs', file), '');
  }
  return directory;
}
const echo = image(
  'echo',
  '{"config":{"Entrypoint":["/bin/echo-server"],"Cmd":["--port","1"],"Env":["PATH=/opt/echo:/bin","TEXT=a=b"],"WorkingDir":"/srv"}}',
  ['cert.pem', 'opt/echo/client'],
);

test('reads the configuration and lists the files with their places in the container', () => {
  expect(readImageDirectory(echo)).toEqual({
    ok: true,
    value: {
      entrypoint: ['/bin/echo-server'],
      cmd: ['--port', '1'],
      env: { PATH: '/opt/echo:/bin', TEXT: 'a=b' },
      workingDir: '/srv',
      files: [
        { source: `${echo}/rootfs/cert.pem`, target: '/cert.pem' },
        { source: `${echo}/rootfs/opt/echo/client`, target: '/opt/echo/client' },
      ],
    },
  });
});

test('a container’s command replaces entrypoint and arguments, its args only the arguments', () => {
  const argv = (container: { command?: string[]; args?: string[] }) => {
    const found = resolveImage({ image: 'example/echo:1', ...container }, { 'example/echo:*': echo });
    return found.ok ? found.argv.join(' ') : found.message;
  };
  expect(argv({})).toBe('/bin/echo-server --port 1');
  expect(argv({ args: ['-v'] })).toBe('/bin/echo-server -v');
  expect(argv({ command: ['client'] })).toBe('client');
  expect(argv({ command: ['client'], args: ['-v'] })).toBe('client -v');
});

test('says which file is wrong, and with what', () => {
  const refusal = (directory: string) => {
    const found = resolveImage({ image: 'x' }, { x: directory });
    return found.ok ? '' : found.message;
  };
  expect(refusal(image('garbage', '{'))).toContain('garbage/config.json cannot be read as JSON');
  expect(refusal(image('list', '[]'))).toContain('list/config.json is not an image configuration');
  expect(refusal(image('number', '{"config":{"Env":[1]}}'))).toContain('Entrypoint, Cmd and Env are lists of words');
  expect(refusal(image('empty', '{}'))).toContain('names no Entrypoint or Cmd');
  const linked = image('linked', '{"config":{"Cmd":["true"]}}', ['a']);
  fs.symlinkSync('/etc', path.join(linked, 'rootfs/b'));
  expect(refusal(linked)).toContain('rootfs/b is neither a file nor a directory');
});

test('limits the number of files', () => {
  const files = Array.from({ length: MAX_IMAGE_FILES + 1 }, (_, index) => `f${index}`);
  expect(readImageDirectory(image('large', '{}', files))).toMatchObject({
    ok: false,
    error: expect.stringContaining('more than 256 files'),
  });
});
