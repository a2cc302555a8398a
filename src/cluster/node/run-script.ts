/** Runs a small shell script and says what it printed to standard error when it fails. */
const LIMIT_MS = 20_000;

export async function runScript(script: string, env: Readonly<Record<string, string>>): Promise<string> {
  const child = Bun.spawn(['sh'], {
    env: { ...env },
    stdin: new Blob([script]),
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
    cwd: '/',
  });
  const [out, problems, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  if (code !== 0) throw new Error(problems.trim().replaceAll('\n', '; ') || `sh ended with exit code ${code}`);
  return out;
}
