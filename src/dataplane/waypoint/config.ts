/** The waypoint's configuration: what every proxy has, and its own. */
import fs from 'node:fs';
import { ConfigError, type CoreConfig, readCoreConfig } from '../core/config.ts';
import { ConfigReader } from '../core/config-reader.ts';
import { LIMITS } from './limits.ts';
import { readTracing, type TracingConfig } from './tracing-config.ts';

export interface Config extends CoreConfig {
  /** What streams on the tunnel port are for: services that use this waypoint, or services of this network for clients of others. */
  readonly role: 'waypoint' | 'east-west';
  readonly accessLog: 'text' | 'json' | 'none';
  /** Milliseconds; 0: never. */
  readonly streamIdleTimeout: number;
  /** Port of the tunnels; another than 15008 only in tests. */
  readonly hbonePort: number;
  /** Files with ServicePlans (a JSON array), read once: routing without a control plane. */
  readonly localPlans: string | undefined;
  /** How long after SIGTERM new connections are still taken: until node proxies know that this replica is going. */
  readonly drainLinger: number;
  /** Undefined: no spans are recorded. */
  readonly tracing: TracingConfig | undefined;
}

/** Throws a `ConfigError` with every problem. */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const reader = new ConfigReader(env);
  const core = readCoreConfig(reader, 'waypoint');
  const localPlans = reader.optional('LOCAL_PLANS_PATH') || undefined;
  if (localPlans !== undefined && !fs.existsSync(localPlans))
    reader.problem(`environment variable LOCAL_PLANS_PATH: there is no file "${localPlans}"`);
  const config: Config = {
    ...core,
    role: reader.oneOf('GATEWAY_ROLE', ['waypoint', 'east-west'], 'waypoint'),
    accessLog: reader.oneOf('ACCESS_LOG_FORMAT', ['text', 'json', 'none'], 'text'),
    streamIdleTimeout: reader.duration('STREAM_IDLE_TIMEOUT', LIMITS.IDLE_STREAM),
    hbonePort: reader.integer('HBONE_PORT', 15_008, 1, 65_535),
    localPlans,
    drainLinger: reader.duration('DRAIN_LINGER', Math.min(LIMITS.DRAIN_LINGER, core.terminationDeadline / 2)),
    tracing: readTracing(reader),
  };
  for (const name of ['POD_NAME', 'POD_NAMESPACE', 'SERVICE_ACCOUNT'] as const)
    if (reader.text(name, '') === '') reader.problem(`environment variable ${name} is not set: a waypoint has the identity of its pod`);
  if (reader.problems.length > 0) throw new ConfigError(reader.problems);
  return config;
}
