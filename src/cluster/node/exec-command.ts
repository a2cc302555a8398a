/** Running another program inside a container: same namespaces, same root, same environment, same working directory. */
import fs from 'node:fs';
import { readText } from '../files.ts';
import type { ProcessRef } from '../processes.ts';

const MAX_OUTPUT = 64 * 1024;

/** The command that enters the container of `main` and becomes `argv`. */
export function enterContainer(main: ProcessRef, argv: readonly string[]): string[] {
  const status = readText(`/proc/${main.pid}/status`) ?? '';
  const id = (field: 'Uid' | 'Gid'): string => new RegExp(`^${field}:\\t(\\d+)`, 'm').exec(status)?.[1] ?? '0';
  const identity = id('Uid') === '0' && id('Gid') === '0' ? [] : ['--setuid', id('Uid'), '--setgid', id('Gid')];
  return ['nsenter', '-t', String(main.pid), '--net', '--uts', '--mount', '--root', '--wd', ...identity, '--', ...argv];
}

/** The environment the container's program was started with. */
export function environmentOf(main: ProcessRef): Record<string, string> {
  const env: Record<string, string> = {};
  for (const entry of fs.readFileSync(`/proc/${main.pid}/environ`, 'utf8').split('\0')) {
    const at = entry.indexOf('=');
    if (at > 0) env[entry.slice(0, at)] = entry.slice(at + 1);
  }
  return env;
}

export async function runInContainer(
  main: ProcessRef,
  argv: readonly string[],
  timeoutMs: number,
): Promise<{ code: number; output: string }> {
  const child = Bun.spawn(enterContainer(main, argv), {
    env: environmentOf(main),
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  const [out, problems, code] = await Promise.all([limited(child.stdout), limited(child.stderr), child.exited]);
  const output = `${out}${problems}`.trim();
  return { code, output: child.signalCode === 'SIGKILL' ? `command "${argv.join(' ')}" timed out` : output };
}

async function limited(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of stream) if (text.length < MAX_OUTPUT) text += decoder.decode(chunk, { stream: true });
  return text.slice(0, MAX_OUTPUT);
}
