/** Tracing as the OpenTelemetry specification's environment variables set it up; without an endpoint nothing is recorded. */
import type { ConfigReader } from '../core/config-reader.ts';
import { LIMITS } from './limits.ts';

export interface Sampler {
  /** What a parent decided holds. */
  readonly isParentBased: boolean;
  /** Share of the traces that begin here, 0 to 1; without `isParentBased` of all. */
  readonly ratio: number;
}

export interface TracingConfig {
  /** With `/v1/traces`. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined: the waypoint's own name. */
  readonly serviceName: string | undefined;
  readonly resource: Readonly<Record<string, string>>;
  readonly sampler: Sampler;
  readonly maxQueue: number;
  readonly maxBatch: number;
  readonly delay: number;
  readonly timeout: number;
}

/** Istio's `randomSamplingPercentage` where nothing is said: one in a hundred. */
const DEFAULT_RATIO = 0.01;

const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;

/** Undefined: there is no collector. Problems go to `reader`. */
export function readTracing(reader: ConfigReader): TracingConfig | undefined {
  const url = endpoint(reader);
  const sampler = readSampler(reader);
  const protocol = reader.optional('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL') || reader.optional('OTEL_EXPORTER_OTLP_PROTOCOL') || 'http/json';
  if (protocol !== 'http/json' && protocol !== 'http/protobuf')
    reader.problem(
      `environment variable OTEL_EXPORTER_OTLP_PROTOCOL: "${protocol}" is not spoken: use "http/json", port 4318 of a collector`,
    );
  const isOff = reader.boolean('OTEL_SDK_DISABLED', false) || reader.optional('OTEL_TRACES_EXPORTER') === 'none';
  const maxQueue = reader.integer('OTEL_BSP_MAX_QUEUE_SIZE', LIMITS.SPAN_QUEUE, 1);
  const config = {
    headers: pairs(reader, 'OTEL_EXPORTER_OTLP_TRACES_HEADERS') ?? pairs(reader, 'OTEL_EXPORTER_OTLP_HEADERS') ?? {},
    serviceName: reader.optional('OTEL_SERVICE_NAME') || undefined,
    resource: pairs(reader, 'OTEL_RESOURCE_ATTRIBUTES') ?? {},
    sampler,
    maxQueue,
    maxBatch: Math.min(maxQueue, reader.integer('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', LIMITS.SPAN_BATCH, 1)),
    delay: reader.integer('OTEL_BSP_SCHEDULE_DELAY', LIMITS.SPAN_DELAY, 1),
    timeout: reader.integer('OTEL_EXPORTER_OTLP_TIMEOUT', LIMITS.SPAN_TIMEOUT, 1),
  };
  return url === undefined || isOff ? undefined : { url, ...config };
}

/** The general endpoint is a base, the one of traces is taken as it is (OpenTelemetry protocol exporter, "Endpoint URLs for OTLP/HTTP"). */
function endpoint(reader: ConfigReader): string | undefined {
  const own = reader.optional('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') || undefined;
  const base = reader.optional('OTEL_EXPORTER_OTLP_ENDPOINT') || undefined;
  const text = own ?? base;
  if (text === undefined) return undefined;
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    const name = own === undefined ? 'OTEL_EXPORTER_OTLP_ENDPOINT' : 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT';
    reader.problem(`environment variable ${name}: "${text}" is not a URL: write for example "http://collector.observability:4318"`);
    return undefined;
  }
  if (own === undefined) url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/traces`;
  return url.href;
}

function readSampler(reader: ConfigReader): Sampler {
  const isChosen = (reader.optional('OTEL_TRACES_SAMPLER') ?? '') !== '';
  const name = reader.oneOf('OTEL_TRACES_SAMPLER', SAMPLERS, 'parentbased_traceidratio');
  const isParentBased = name.startsWith('parentbased_');
  if (name.endsWith('always_on')) return { isParentBased, ratio: 1 };
  if (name.endsWith('always_off')) return { isParentBased, ratio: 0 };
  const text = reader.optional('OTEL_TRACES_SAMPLER_ARG') ?? '';
  // The specification's default for a sampler that was asked for by name is 1.
  const ratio = text.trim() === '' ? (isChosen ? 1 : DEFAULT_RATIO) : Number(text);
  if (ratio >= 0 && ratio <= 1) return { isParentBased, ratio };
  reader.problem(`environment variable OTEL_TRACES_SAMPLER_ARG: value "${text}" is not a share from 0 to 1`);
  return { isParentBased, ratio: DEFAULT_RATIO };
}

/** `key=value,key=value`, percent-encoded (W3C Baggage). */
function pairs(reader: ConfigReader, name: string): Record<string, string> | undefined {
  const text = reader.optional(name);
  if (text === undefined || text.trim() === '') return undefined;
  const found: Record<string, string> = {};
  for (const part of text.split(',')) {
    if (part.trim() === '') continue;
    const at = part.indexOf('=');
    const key = part.slice(0, at).trim();
    try {
      if (at < 0 || key === '') throw new URIError('no key');
      found[decodeURIComponent(key)] = decodeURIComponent(part.slice(at + 1).trim());
    } catch {
      // Perhaps a secret: the value is not repeated.
      reader.problem(`environment variable ${name}: must be "key=value,key=value", percent-encoded`);
      return undefined;
    }
  }
  return found;
}
