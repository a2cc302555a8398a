import { expect, test } from 'bun:test';
import { ConfigReader } from '../core/config-reader.ts';
import { readConfig } from './config.ts';
import { MAX_WORKERS, readWorkerCount } from './worker-count.ts';

const count = (env: NodeJS.ProcessEnv, cpus = 16, concurrency?: number): number => {
  const reader = new ConfigReader(env);
  const workers = readWorkerCount(reader, concurrency, cpus);
  expect(reader.problems).toEqual([]);
  return workers;
};
const problems = (env: NodeJS.ProcessEnv): readonly string[] => {
  const reader = new ConfigReader(env);
  readWorkerCount(reader, undefined, 16);
  return reader.problems;
};

test('a number, a share or zero for all is taken as it is', () => {
  const cases: [env: NodeJS.ProcessEnv, workers: number][] = [
    [{ ZTUNNEL_WORKER_THREADS: '4' }, 4],
    [{ ZTUNNEL_WORKER_THREADS: '0' }, 16],
    [{ ZTUNNEL_WORKER_THREADS: '0', ZTUNNEL_CPU_LIMIT: '6' }, 6],
    [{ ZTUNNEL_WORKER_THREADS: '50%', ZTUNNEL_CPU_LIMIT: '8' }, 4],
    [{ ZTUNNEL_WORKER_THREADS: '30%', ZTUNNEL_CPU_LIMIT: '16' }, 5],
    [{ ZTUNNEL_WORKER_THREADS: '10%', ZTUNNEL_CPU_LIMIT: '4' }, 1],
    [{ ZTUNNEL_WORKER_THREADS: '100%', ZTUNNEL_CPU_LIMIT: '12', ZTUNNEL_RESOURCE_CPU_LIMIT: '3' }, 3],
    [{ ZTUNNEL_WORKER_THREADS: '2', ZTUNNEL_RESOURCE_CPU_LIMIT: '8' }, 2],
  ];
  for (const [env, workers] of cases) expect([env, count(env)]).toEqual([env, workers]);
});

test('without a number there is one process for two threads of a real ztunnel', () => {
  const cases: [env: NodeJS.ProcessEnv, cpus: number, workers: number][] = [
    [{}, 2, 1],
    [{}, 8, 1],
    [{}, 16, 2],
    [{}, 64, 8],
    [{ ZTUNNEL_CPU_LIMIT: '32' }, 2, 4],
    [{ ZTUNNEL_RESOURCE_CPU_LIMIT: '1' }, 64, 1],
    [{ ZTUNNEL_RESOURCE_CPU_LIMIT: '500m' }, 64, 1],
    [{ ZTUNNEL_RESOURCE_CPU_LIMIT: '2500m' }, 64, 2],
    [{ ZTUNNEL_RESOURCE_CPU_LIMIT: '1.5' }, 64, 1],
    [{ ZTUNNEL_RESOURCE_CPU_LIMIT: '16' }, 2, 8],
    [{ ZTUNNEL_RESOURCE_CPU_REQUEST: '8' }, 4, 4],
    [{ ZTUNNEL_RESOURCE_CPU_REQUEST: '1' }, 4, 1],
    [{ ZTUNNEL_RESOURCE_CPU_REQUEST: '8', ZTUNNEL_RESOURCE_CPU_LIMIT: '4' }, 64, 4],
    [{ ZTUNNEL_RESOURCE_CPU_REQUEST: '4', ZTUNNEL_RESOURCE_CPU_LIMIT: '16' }, 64, 8],
  ];
  for (const [env, cpus, workers] of cases) expect([env, cpus, count(env, cpus)]).toEqual([env, cpus, workers]);
});

test('concurrency of the proxy configuration counts where the variable is not set, and zero is all', () => {
  expect(count({}, 16, 3)).toBe(3);
  expect(count({}, 16, 0)).toBe(16);
  expect(count({ ZTUNNEL_WORKER_THREADS: '2' }, 16, 3)).toBe(2);
  expect(readConfig({ PROXY_CONFIG: 'concurrency: 3' }).workers).toBe(3);
});

test('there are never more processes than the limit', () => {
  expect(count({ ZTUNNEL_WORKER_THREADS: '0' }, 200)).toBe(MAX_WORKERS);
  expect(count({ ZTUNNEL_WORKER_THREADS: '1000' })).toBe(MAX_WORKERS);
});

test('what is no number is a problem that names the variable', () => {
  for (const value of ['many', '-1', '0%', '101%', '1.5', '%', '5 %', '1e3', '0x10'])
    expect([value, problems({ ZTUNNEL_WORKER_THREADS: value })]).toEqual([value, [expect.stringContaining('ZTUNNEL_WORKER_THREADS')]]);
  for (const name of ['ZTUNNEL_RESOURCE_CPU_LIMIT', 'ZTUNNEL_RESOURCE_CPU_REQUEST'])
    for (const value of ['0', '0m', '-1', 'x', '1Gi', 'NaN', 'Infinity'])
      expect([value, problems({ [name]: value })]).toEqual([value, [expect.stringContaining(name)]]);
  expect(problems({ ZTUNNEL_CPU_LIMIT: 'x' })).toHaveLength(1);
});

test('one process only where listeners cannot be shared', () => {
  expect(readConfig({ ZTUNNEL_WORKER_THREADS: '3' }).workers).toBe(3);
  expect(readConfig({ ZTUNNEL_WORKER_THREADS: '3', INPOD_PORT_REUSE: 'false' }).workers).toBe(1);
  expect(readConfig({ ZTUNNEL_WORKER_THREADS: '3', PROXY_MODE: 'dedicated', PROXY_WORKLOAD_INFO: 'a/b/c' }).workers).toBe(1);
  expect(readConfig({ ZTUNNEL_WORKER_THREADS: '3', ENABLE_PROXY: 'false' }).workers).toBe(1);
});
