import { hostname } from 'node:os';

type Env = Readonly<Record<string, string | undefined>>;

/** A setting that cannot be used, with its name and what would be accepted. */
export class SettingError extends Error {
  constructor(name: string, found: string | undefined, wanted: string) {
    super(`environment variable ${name}=${found ?? '(not set)'}: ${wanted}`);
    this.name = 'SettingError';
  }
}

export const readText = (env: Env, name: string, fallback?: string): string => {
  const found = env[name] ?? fallback;
  if (found === undefined || found === '') throw new SettingError(name, env[name], 'must be set');
  return found;
};

export const readNumber = (env: Env, name: string, fallback: number, lowest: number, highest: number): number => {
  const found = env[name];
  if (found === undefined || found === '') return fallback;
  const value = Number(found);
  if (!Number.isFinite(value) || value < lowest || value > highest)
    throw new SettingError(name, found, `must be a number from ${lowest} to ${highest}`);
  return value;
};

export const readChoice = <T extends string>(env: Env, name: string, choices: readonly T[]): T => {
  const found = env[name];
  const choice = choices.find((one) => one === found);
  if (choice === undefined) throw new SettingError(name, found, `must be one of ${choices.join(', ')}`);
  return choice;
};

/** The pod's name: from the downward API, otherwise the host name, which Kubernetes sets to the same. */
export const readPodName = (env: Env): string => env['POD_NAME'] ?? env['HOSTNAME'] ?? hostname();
