import { expect, test } from 'bun:test';
import { buildProgram } from './program.ts';

const main = new URL('./main.ts', import.meta.url).pathname;
const run = async (words: readonly string[], env: Record<string, string> = {}) => {
  const child = Bun.spawn([process.execPath, main, ...words], {
    stdout: 'pipe',
    stderr: 'pipe',
    stdin: 'ignore',
    env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', ...env },
  });
  const [stdout, stderr, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { stdout, stderr, code };
};

test('every command has a description and help', () => {
  const walk = (command: ReturnType<typeof buildProgram>): void => {
    for (const one of command.commands) {
      expect(one.description()).not.toBe('');
      expect(one.helpInformation()).toContain('Usage:');
      walk(one as ReturnType<typeof buildProgram>);
    }
  };
  walk(buildProgram('0'));
});

test('an unknown command or option is a usage error, and help is not an error', async () => {
  expect((await run(['nonsense'])).code).toBe(2);
  const option = await run(['get', 'pods', '--nonsense']);
  expect(option).toMatchObject({ code: 2, stdout: '' });
  expect(option.stderr).toContain("unknown option '--nonsense'");
  expect(await run(['get', '--help'])).toMatchObject({ code: 0, stderr: '' });
});

test('without a kubeconfig it says how to get a cluster', async () => {
  const { code, stdout, stderr } = await run(['get', 'pods']);
  expect(code).toBe(4);
  expect(stdout).toBe('');
  expect(stderr).toContain('lateen up');
});

test('a file that does not exist is named, with another exit code', async () => {
  const { code, stderr } = await run(['apply', '-f', '/nonexistent/policy.yaml']);
  expect(code).toBe(3);
  expect(stderr).toContain('/nonexistent/policy.yaml does not exist');
});

test('writes no colours into a pipe', async () => {
  expect((await run(['get', 'pods'])).stderr).not.toContain('\x1b[');
});
