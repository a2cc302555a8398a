/** The CNI plugin's door: HTTP on a unix socket, `POST /cmdadd` before a pod's containers start and `POST /cmddel` when its network goes. */
import fs from 'node:fs';
import path from 'node:path';
import type { Logger } from '../platform/telemetry/index.ts';
import type { AgentMetrics } from './agent-metrics.ts';

/** Bytes of one event; real ones have a few hundred. */
export const MAX_EVENT_BYTES = 64 * 1024;
/** Events answered at once. */
export const MAX_EVENTS = 256;

export interface PluginEvent {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly netns: string;
  readonly ips: readonly string[];
}

export interface PluginHandlers {
  /** `undefined`: the pod may start; text: why not. */
  readonly add: (event: PluginEvent) => Promise<string | undefined>;
  readonly del: (event: PluginEvent) => Promise<void>;
}

/** An event, or which field is wrong. `cmdadd` needs everything, `cmddel` only the pod's uid. */
export function parsePluginEvent(
  text: string,
  kind: 'cmdadd' | 'cmddel',
): { readonly ok: true; readonly value: PluginEvent } | { readonly ok: false; readonly error: string } {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    return { ok: false, error: `the event is not JSON: ${(error as Error).message}` };
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return { ok: false, error: 'the event is not a JSON object' };
  const fields = body as Record<string, unknown>;
  for (const name of kind === 'cmdadd' ? ['podNamespace', 'podName', 'podUID', 'netns'] : ['podUID']) {
    if (typeof fields[name] !== 'string' || fields[name] === '')
      return { ok: false, error: `the event's field "${name}" must be a text that is not empty` };
  }
  const ips = fields['ips'] ?? [];
  if (!Array.isArray(ips) || !ips.every((ip) => typeof ip === 'string' && /^[0-9a-fA-F.:]{2,45}(\/\d{1,3})?$/.test(ip))) {
    return { ok: false, error: 'the event\'s field "ips" must be a list of IP addresses' };
  }
  if (kind === 'cmdadd' && ips.length === 0) return { ok: false, error: 'the event\'s field "ips" must have at least one address' };
  const text_ = (name: string) => (typeof fields[name] === 'string' ? (fields[name] as string) : '');
  const value = { namespace: text_('podNamespace'), name: text_('podName'), uid: text_('podUID'), netns: text_('netns') };
  return { ok: true, value: { ...value, ips: (ips as string[]).map((ip) => ip.split('/')[0]!) } };
}

export interface PluginServerOptions {
  readonly path: string;
  readonly handlers: PluginHandlers;
  readonly metrics: AgentMetrics;
  readonly log: Logger;
}

export function startPluginServer(options: PluginServerOptions): { readonly stop: () => Promise<void> } {
  fs.mkdirSync(path.dirname(options.path), { recursive: true });
  fs.rmSync(options.path, { force: true }); // one that was left behind would make listening fail
  let running = 0;
  const server = Bun.serve({
    unix: options.path,
    maxRequestBodySize: MAX_EVENT_BYTES,
    fetch: async (request) => {
      running++;
      const response = running > MAX_EVENTS ? new Response('too many events at once\n', { status: 503 }) : await answer(request, options);
      running--;
      options.metrics.pluginRequests.labels({ response_code: String(response.status) }).inc();
      return response;
    },
  });
  fs.chmodSync(options.path, 0o660);
  return { stop: () => server.stop(true).then(() => fs.rmSync(options.path, { force: true })) };
}

async function answer(request: Request, { handlers, log }: PluginServerOptions): Promise<Response> {
  const route = new URL(request.url).pathname;
  if (route !== '/cmdadd' && route !== '/cmddel') return new Response('unknown path; use /cmdadd or /cmddel\n', { status: 404 });
  if (request.method !== 'POST') return new Response('use POST\n', { status: 405, headers: { allow: 'POST' } });
  const kind = route === '/cmdadd' ? 'cmdadd' : 'cmddel';
  const event = parsePluginEvent(await request.text(), kind);
  if (!event.ok) return new Response(`${event.error}\n`, { status: 400 });
  try {
    if (kind === 'cmddel') {
      await handlers.del(event.value);
      return new Response('ok\n');
    }
    const refusal = await handlers.add(event.value);
    if (refusal === undefined) return new Response('ok\n');
    log.warn('pod refused', { pod: `${event.value.namespace}/${event.value.name}`, reason: refusal });
    return new Response(`${refusal}\n`, { status: 500 });
  } catch (error) {
    log.error('plugin event failed', { event: kind, pod: `${event.value.namespace}/${event.value.name}`, error: (error as Error).message });
    return new Response(`${(error as Error).message}\n`, { status: 500 });
  }
}
