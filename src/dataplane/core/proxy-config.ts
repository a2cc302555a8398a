/** The part of Istio's `ProxyConfig` a node proxy uses: from the mesh configuration file and the variable `PROXY_CONFIG`, which wins. */
import fs from 'node:fs';
import type { ConfigReader } from './config-reader.ts';

export interface ProxyConfig {
  readonly discoveryAddress: string | undefined;
  readonly proxyAdminPort: number;
  readonly statsPort: number;
  /** Undefined: not said. Zero or less: all CPUs. */
  readonly concurrency: number | undefined;
  readonly proxyMetadata: Readonly<Record<string, string>>;
}

const DEFAULT_ADMIN_PORT = 15_000;
const DEFAULT_STATS_PORT = 15_020;

type Yaml = Readonly<Record<string, unknown>>;
const isMap = (value: unknown): value is Yaml => typeof value === 'object' && value !== null && !Array.isArray(value);

export function readProxyConfig(reader: ConfigReader, meshConfigFile: string): ProxyConfig {
  const mesh = fs.existsSync(meshConfigFile)
    ? parse(reader, meshConfigFile, fs.readFileSync(meshConfigFile, 'utf8'))['defaultConfig']
    : undefined;
  const variable = reader.optional('PROXY_CONFIG');
  const own = variable ? parse(reader, 'environment variable PROXY_CONFIG', variable) : {};
  const base = isMap(mesh) ? mesh : {};
  const merged: Yaml = { ...base, ...own };
  const metadata = { ...asMap(base['proxyMetadata']), ...asMap(own['proxyMetadata']) };
  return {
    discoveryAddress: typeof merged['discoveryAddress'] === 'string' ? merged['discoveryAddress'] : undefined,
    proxyAdminPort: port(reader, merged, 'proxyAdminPort', DEFAULT_ADMIN_PORT),
    statsPort: port(reader, merged, 'statsPort', DEFAULT_STATS_PORT),
    concurrency: concurrency(reader, merged),
    proxyMetadata: Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, String(value)])),
  };
}

const asMap = (value: unknown): Yaml => (isMap(value) ? value : {});

function port(reader: ConfigReader, config: Yaml, name: string, fallback: number): number {
  const value = config[name];
  if (value === undefined || value === null) return fallback;
  if (typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65_536) return value;
  reader.problem(`proxy configuration: ${name} is ${JSON.stringify(value)}, which is not a port`);
  return fallback;
}

function concurrency(reader: ConfigReader, config: Yaml): number | undefined {
  const value = config['concurrency'];
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'number' && Number.isInteger(value)) return value;
  reader.problem(`proxy configuration: concurrency is ${JSON.stringify(value)}, which is not a whole number`);
  return undefined;
}

function parse(reader: ConfigReader, source: string, text: string): Yaml {
  try {
    // Loaded only where there is something to read: the parser costs memory.
    const yaml = Bun.YAML.parse(text);
    if (yaml === null || yaml === undefined) return {};
    if (isMap(yaml)) return yaml;
    reader.problem(`${source}: is not a YAML mapping`);
  } catch (error) {
    reader.problem(`${source}: ${(error as Error).message}`);
  }
  return {};
}
