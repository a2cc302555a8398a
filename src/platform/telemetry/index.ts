export {
  acceptsGzip,
  CONTENT_TYPES,
  chooseFormat,
  type ExpositionFormat,
  expose,
  metricsResponse,
} from './exposition.ts';
export { LEVELS, type Level, type LogFilter, levelOf, parseFilter } from './log-filter.ts';
export { type Fields, type FieldValue, jsonLine, plainLine, quote, Raw, raw, shortened, timestamp } from './log-format.ts';
export { Logger, Logging, type LoggingOptions, type LogSink, MAX_PENDING_LOG_CHARACTERS, processLogging } from './logger.ts';
export {
  Counter,
  CounterHandle,
  Gauge,
  GaugeHandle,
  Histogram,
  HistogramHandle,
  type LabelSet,
  type Labels,
  labelSet,
  MAX_SERIES_PER_FAMILY,
  OVERFLOW_LABEL,
  Registry,
  type RegistryOptions,
} from './metrics.ts';
export type { SpanAttribute, SpanData } from './otlp-span.ts';
export { SharedPages } from './shared-pages.ts';
export { addSnapshot, type MetricsSnapshot, takeSnapshot } from './snapshot.ts';
export { SpanExporter, type SpanExporterOptions } from './span-exporter.ts';
