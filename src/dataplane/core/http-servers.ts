/** The proxy's own HTTP interfaces: admin (localhost), metrics and readiness. */
import type { Server } from 'bun';
import { type Logging, metricsResponse, type Registry, SharedPages } from '../../platform/telemetry/index.ts';
import type { CoreConfig } from './config.ts';
import type { Readiness } from './readiness.ts';

/** What the log says, and how to change that. */
export type LogControl = Pick<Logging, 'filter' | 'setFilter' | 'resetFilter'>;

export interface HttpServersOptions {
  readonly config: CoreConfig;
  readonly telemetry: () => Registry | Promise<Registry>;
  readonly readiness: Readiness;
  readonly logging: LogControl;
  readonly dump: () => unknown | Promise<unknown>;
  /** Asks for a graceful shutdown and waits until open connections are done. */
  readonly quit: () => Promise<void>;
}

const index = (name: string): string => `<!DOCTYPE html><html><head><title>${name}</title></head><body><h1>${name}</h1><ul>
<li><a href="config_dump">config_dump</a>: current configuration and state (JSON)</li>
<li>logging: POST ?level=info,access=off or ?reset</li>
<li>quitquitquit: POST to shut down gracefully</li>
</ul></body></html>
`;
/** How long the answer to `/quitquitquit` has to go out, in milliseconds, before the servers close. */
export const LAST_ANSWER_MS = 10;
/** Requests to these servers carry no bodies worth reading. */
const MAX_BODY_BYTES = 4096;

type Handler = (request: Request, server: Server<undefined>) => Response | Promise<Response>;

const text = (body: string, status = 200): Response =>
  new Response(body, { status, headers: { 'content-type': 'text/plain; charset=utf-8' } });

export class HttpServers {
  readonly #servers: Server<undefined>[] = [];
  readonly #options: HttpServersOptions;
  readonly #pages = new SharedPages();

  /** Throws an error that names the port when one is taken. */
  constructor(options: HttpServersOptions) {
    this.#options = options;
    const { config } = options;
    this.#serve('admin', '127.0.0.1', config.adminPort, (request) => this.#admin(request));
    const everywhere = config.ipv6 ? '::' : '0.0.0.0';
    this.#serve('metrics', everywhere, config.statsPort, (request, server) => this.#metrics(request, server));
    this.#serve('readiness', everywhere, config.readinessPort, (request) => this.#readiness(request));
  }

  async close(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop(false)));
  }

  #serve(name: string, hostname: string, port: number, fetch: Handler): void {
    try {
      this.#servers.push(Bun.serve({ hostname, port, fetch, maxRequestBodySize: MAX_BODY_BYTES, reusePort: false, idleTimeout: 60 }));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (hostname === '::' && code !== 'EADDRINUSE') this.#serve(name, '0.0.0.0', port, fetch);
      else
        throw new Error(
          `cannot listen on ${name} port ${port}: ${code === 'EADDRINUSE' ? 'another process uses it; stop it or choose another port in PROXY_CONFIG' : (error as Error).message}`,
        );
    }
  }

  async #metrics(request: Request, server: Server<undefined>): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname !== '/metrics' && pathname !== '/stats/prometheus') return text('not found\n', 404);
    return metricsResponse(this.#options.telemetry, request, this.#pages, server.pendingRequests);
  }

  #readiness(request: Request): Response {
    if (new URL(request.url).pathname !== '/healthz/ready') return text('not found\n', 404);
    if (request.method !== 'GET') return text('only GET is allowed\n', 405);
    const { pending } = this.#options.readiness;
    return pending.length === 0 ? text('ready\n') : text(`not ready, pending: ${pending.join(', ')}\n`, 500);
  }

  async #admin(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    switch (pathname) {
      case '/':
        return new Response(index(this.#options.config.nodeType), { headers: { 'content-type': 'text/html; charset=utf-8' } });
      case '/config_dump':
        return new Response(`${JSON.stringify(await this.#options.dump(), undefined, 2)}\n`, {
          headers: { 'content-type': 'application/json' },
        });
      case '/logging':
        return this.#logging(request, searchParams);
      case '/quitquitquit':
        if (request.method !== 'POST') return text('only POST is allowed\n', 405);
        await this.#options.quit();
        return text('shutdown now\n');
      default:
        return text('not found\n', 404);
    }
  }

  #logging(request: Request, parameters: URLSearchParams): Response {
    const { logging } = this.#options;
    if (request.method !== 'POST')
      return text(
        `usage: POST /logging\t\t\t\t\t\t(To list current level)\nusage: POST /logging?level=<level>\t\t\t\t(To change global levels)\nusage: POST /logging?level={mod1}:{level1},{mod2}:{level2}\t(To change specific mods' logging level)\n`,
        405,
      );
    if (parameters.has('reset')) logging.resetFilter();
    const level = parameters.get('level');
    if (level) {
      const problem = logging.setFilter(level.replaceAll(/(?<=[a-z0-9_]):(?!:)/gi, '='));
      if (problem !== undefined) return text(`${problem}\n`, 400);
    }
    return text(`current log level is ${logging.filter}\n`);
  }
}
