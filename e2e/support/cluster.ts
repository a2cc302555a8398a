/** An embedded cluster for one test file: its own state, kubeconfig and port, so that a user's cluster is never touched. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { rememberCluster } from './leftovers.ts';

export const ROOT = path.resolve(import.meta.dir, '../..');
export const LATEEN = path.join(ROOT, 'bin/lateen');

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Sandbox {
  readonly folder: string;
  readonly env: Record<string, string>;
  /** Runs a program in the repository with the sandbox's environment. */
  run(argv: readonly string[], options?: { readonly stdin?: string; readonly timeout?: number }): Promise<Ran>;
  /** As `run`, and throws with both outputs unless the exit code is 0. */
  must(argv: readonly string[], options?: { readonly stdin?: string; readonly timeout?: number }): Promise<string>;
  /** Ends the cluster if there is one and removes the folder. */
  close(): Promise<void>;
}

export function sandbox(): Sandbox {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lateen-e2e-'));
  const env: Record<string, string> = {
    ...(process.env as Record<string, string>), // values of an environment read from the process are never undefined
    LATEEN_STATE_DIR: path.join(folder, 'state'),
    KUBECONFIG: path.join(folder, 'kubeconfig'),
    PATH: `${path.join(ROOT, 'bin')}:${process.env['PATH'] ?? ''}`,
    NO_COLOR: '1',
  };
  rememberCluster(folder, { LATEEN_STATE_DIR: env['LATEEN_STATE_DIR']!, KUBECONFIG: env['KUBECONFIG']! });
  const run: Sandbox['run'] = async (argv, options = {}) => {
    const child = Bun.spawn([...argv], {
      cwd: ROOT,
      env,
      stdin: options.stdin === undefined ? 'ignore' : Buffer.from(options.stdin),
      stdout: 'pipe',
      stderr: 'pipe',
      timeout: options.timeout ?? 120_000,
    });
    const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    return { code, out, err };
  };
  return {
    folder,
    env,
    run,
    async must(argv, options) {
      const ran = await run(argv, options);
      if (ran.code !== 0) throw new Error(`${argv.join(' ')}: exit code ${ran.code}\n${ran.out}\n${ran.err}`);
      return ran.out;
    },
    async close() {
      await run([LATEEN, 'down'], { timeout: 60_000 });
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Asks again until the answer is one, or says what it waited for. Limits are for a slow machine; nothing asserts how long it took. */
export async function eventually<T>(what: string, seconds: number, ask: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await Bun.sleep(200);
  }
}
