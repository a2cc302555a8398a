/** An Envoy process inside a lab's network namespace. */
import fs from 'node:fs';
import path from 'node:path';
import type { Subprocess } from 'bun';
import { until } from '../../ztunnel/lab.ts';
import type { WaypointLab } from '../lab.ts';

export const ENVOY_VERSION = '1.40.0';

/** In place of the tests that need one. */
export const NO_ENVOY = `not run: no Envoy here; ENVOY_BIN may name one (${ENVOY_VERSION}), or npm run bench installs one`;

/** `ENVOY_BIN`, or the one a benchmark has installed. Undefined: there is none here. */
export function findEnvoy(): string | undefined {
  const given = process.env['ENVOY_BIN'];
  if (given !== undefined) return given;
  const cache = path.resolve(import.meta.dir, '../../../bench/.cache', `envoy-${ENVOY_VERSION}`);
  if (!fs.existsSync(cache)) return undefined;
  const [found] = new Bun.Glob('lib/python*/site-packages/envoy/_bin/envoy*').scanSync({ cwd: cache });
  return found && path.join(cache, found);
}

export class EnvoyProcess {
  readonly #process: Subprocess<'ignore', 'pipe', 'pipe'>;
  #log = '';

  constructor(binary: string, lab: WaypointLab, config: object) {
    const file = path.join(lab.directory, 'envoy.json');
    fs.writeFileSync(file, JSON.stringify(config, undefined, 1));
    const options = ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'warning'];
    this.#process = Bun.spawn(lab.command(binary, ...options), { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });
    void this.#collect(this.#process.stdout);
    void this.#collect(this.#process.stderr);
  }

  /** Waits until the port answers; throws with Envoy's own words when it has ended. */
  async ready(isListening: () => Promise<boolean>): Promise<void> {
    await until('Envoy to listen', async () => {
      if (this.#process.exitCode !== null) return true;
      return isListening();
    });
    if (this.#process.exitCode !== null) throw new Error(`Envoy ended with ${this.#process.exitCode}:\n${this.#log}`);
  }

  get hasEnded(): boolean {
    return this.#process.exitCode !== null;
  }

  get log(): string {
    return this.#log;
  }

  async stop(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#process.exited;
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) this.#log += decoder.decode(chunk, { stream: true });
  }
}
