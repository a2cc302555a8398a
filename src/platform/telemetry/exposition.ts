/** Writes a registry as OpenMetrics 1.0 or as classic Prometheus text 0.0.4, as the request's headers ask. */
import type { Counter, Gauge, Histogram, HistogramHandle, Registry } from './metrics.ts';
import type { SharedPages } from './shared-pages.ts';

export type ExpositionFormat = 'openmetrics' | 'text';

export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
  text: 'text/plain; version=0.0.4; charset=utf-8',
};

/** The media type of an Accept or Accept-Encoding member, with its quality. */
function* members(header: string): Generator<{ name: string; q: number }> {
  for (const part of header.split(',')) {
    const [name = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase());
    const quality = parameters.find((parameter) => parameter.startsWith('q='));
    const q = quality ? Number(quality.slice(2)) : 1;
    if (name) yield { name, q: Number.isFinite(q) ? q : 0 };
  }
}

/** OpenMetrics only when asked for by name at least as strongly as plain text; classic text otherwise. */
export function chooseFormat(accept: string | null | undefined): ExpositionFormat {
  let openmetrics = 0;
  let text = 0;
  for (const { name, q } of members(accept ?? '')) {
    if (name === 'application/openmetrics-text') openmetrics = Math.max(openmetrics, q);
    if (name === 'text/plain') text = Math.max(text, q);
  }
  return openmetrics > 0 && openmetrics >= text ? 'openmetrics' : 'text';
}

export function acceptsGzip(acceptEncoding: string | null | undefined): boolean {
  let any: number | undefined;
  for (const { name, q } of members(acceptEncoding ?? '')) {
    if (name === 'gzip') return q > 0;
    if (name === '*') any = q;
  }
  return (any ?? 0) > 0;
}

const escapeValue = (value: string): string => value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`));
const escapeHelp = (help: string): string => help.replace(/[\\\n]/g, (c) => (c === '\n' ? '\\n' : '\\\\'));

function number(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  if (value === Number.NEGATIVE_INFINITY) return '-Inf';
  return String(value);
}

/** OpenMetrics wants bucket bounds as floats (`1.0`); classic text as they are. */
const bound = (value: number, format: ExpositionFormat): string =>
  format === 'openmetrics' && Number.isInteger(value) ? `${value}.0` : number(value);

function labelText(names: readonly string[], values: readonly (string | undefined)[], extra = ''): string {
  let text = '';
  for (let i = 0; i < names.length; i++) {
    const value = values[i];
    if (value === undefined) continue;
    text += `${text ? ',' : ''}${names[i]}="${escapeValue(value)}"`;
  }
  if (extra) text += `${text ? ',' : ''}${extra}`;
  return text ? `{${text}}` : '';
}

function writeHistogram(family: Histogram, series: HistogramHandle, format: ExpositionFormat): string {
  let text = '';
  let cumulative = 0;
  for (let i = 0; i <= family.bounds.length; i++) {
    cumulative += series.counts[i]!;
    const le = i < family.bounds.length ? bound(family.bounds[i]!, format) : '+Inf';
    text += `${family.name}_bucket${labelText(family.labelNames, series.values, `le="${le}"`)} ${cumulative}\n`;
  }
  const labels = labelText(family.labelNames, series.values);
  return `${text}${family.name}_sum${labels} ${number(series.sum)}\n${family.name}_count${labels} ${series.count}\n`;
}

function writeFamily(family: Counter | Gauge | Histogram, format: ExpositionFormat): string {
  const shown = family.type === 'counter' && format === 'text' ? `${family.name}_total` : family.name;
  let text = `# HELP ${shown} ${escapeHelp(family.help)}\n# TYPE ${shown} ${family.type}\n`;
  if (family.type === 'histogram') {
    for (const series of family.series()) text += writeHistogram(family, series, format);
    return text;
  }
  const sample = family.type === 'counter' ? `${family.name}_total` : family.name;
  for (const series of family.series()) text += `${sample}${labelText(family.labelNames, series.values)} ${number(series.value)}\n`;
  return text;
}

export function expose(registry: Registry, format: ExpositionFormat): string {
  let text = '';
  for (const family of registry.gather()) text += writeFamily(family, format);
  return format === 'openmetrics' ? `${text}# EOF\n` : text;
}

/** Answers `GET /metrics` in the format and encoding that the request accepts. `underWay` as {@link SharedPages.get} wants it. */
export async function metricsResponse(
  gather: () => Registry | Promise<Registry>,
  request: Request,
  pages: SharedPages,
  underWay: number,
): Promise<Response> {
  const format = chooseFormat(request.headers.get('accept'));
  const isCompressed = acceptsGzip(request.headers.get('accept-encoding'));
  const headers = { 'content-type': CONTENT_TYPES[format], vary: 'Accept, Accept-Encoding' };
  const body = await pages.get(`metrics ${format} ${isCompressed}`, underWay, async () => {
    const text = expose(await gather(), format);
    return isCompressed ? Bun.gzipSync(text) : text;
  });
  return new Response(body, { headers: isCompressed ? { ...headers, 'content-encoding': 'gzip' } : headers });
}
