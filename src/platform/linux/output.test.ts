import { expect, test } from 'bun:test';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const MODULE = path.join(import.meta.dir, 'output.ts');
/** Writes until nothing more is taken, says how much on standard error, and ends. */
const FILLS = `
  import { writeStandardOutput } from ${JSON.stringify(MODULE)};
  let taken = 0;
  try {
    for (;;) taken += writeStandardOutput(Buffer.alloc(4096, 'x'));
  } catch (error) {
    process.stderr.write(\`\${error.code} after \${taken}\`);
  }
`;

const run = (stdout: number | 'pipe') => Bun.spawn([process.execPath, '-e', FILLS], { stdin: 'ignore', stdout, stderr: 'pipe' });

test('a pipe that nobody reads does not hold up its writer, and stays as it was for others', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'output-'));
  const fifo = path.join(directory, 'fifo');
  expect(Bun.spawnSync(['mkfifo', fifo]).exitCode).toBe(0);
  const reader = fs.openSync(fifo, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  const writer = fs.openSync(fifo, fs.constants.O_WRONLY);
  try {
    const child = run(writer);
    expect(await new Response(child.stderr).text()).toBe('EAGAIN after 65536');
    const flags = /^flags:\s+(\d+)$/m.exec(fs.readFileSync(`/proc/self/fdinfo/${writer}`, 'utf8'))![1]!;
    expect(Number.parseInt(flags, 8) & fs.constants.O_NONBLOCK).toBe(0);
  } finally {
    fs.closeSync(reader);
    fs.closeSync(writer);
    fs.rmSync(directory, { recursive: true });
  }
});

test('nor does a socket', async () => {
  // What this runtime gives its children for a pipe is a pair of sockets.
  const child = run('pipe');
  expect(await new Response(child.stderr).text()).toMatch(/^EAGAIN after [1-9]\d{4,}$/);
  child.kill();
});

test('a reader that has gone is an error', async () => {
  const child = Bun.spawn(['sh', '-c', `(sleep 0.3; exec "$0" -e "$1") | true`, process.execPath, FILLS], {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  });
  expect(await child.exited).toBe(0);
  expect(await new Response(child.stderr).text()).toMatch(/^EPIPE after \d+$/);
});

test('a file is written in full', async () => {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'output-')), 'log');
  const fd = fs.openSync(file, 'w');
  const child = Bun.spawn(
    [
      process.execPath,
      '-e',
      `import { writeStandardOutput } from ${JSON.stringify(MODULE)}; for (let i = 0; i < 64; i++) writeStandardOutput(Buffer.alloc(4096, 'x'));`,
    ],
    { stdin: 'ignore', stdout: fd, stderr: 'inherit' },
  );
  expect(await child.exited).toBe(0);
  fs.closeSync(fd);
  expect(fs.statSync(file).size).toBe(64 * 4096);
  fs.rmSync(path.dirname(file), { recursive: true });
});
