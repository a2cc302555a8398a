import { ApiError, apiErrorFrom } from './api-error.ts';
import { CredentialSource } from './credentials.ts';
import { type ClientConfig, KubeConfigError } from './kubeconfig.ts';

export interface RequestOptions {
  readonly method?: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Sent as JSON unless `contentType` says otherwise and it is a string. */
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal;
  /** Milliseconds until the answer's head must be there; 0 waits for ever. */
  readonly timeoutMs?: number;
  /** What the request is about, for error messages; default method and path. */
  readonly context?: string;
}

interface TlsOptions {
  ca?: string;
  cert?: string;
  key?: string;
  serverName?: string;
  rejectUnauthorized?: boolean;
}

/** Long enough for a slow admission webhook (at most 30 s), short enough that a dead server is noticed. */
const DEFAULT_TIMEOUT_MS = 60_000;
/** 429 and 503 with Retry-After are waited for, at most this often. */
const RETRY_LIMIT = 5;
const RETRY_AFTER_MAX_S = 10;

/** Requests to one API server as one user. */
export class Transport {
  readonly config: ClientConfig;
  readonly #credentials: CredentialSource;
  readonly #userAgent: string;

  constructor(config: ClientConfig, userAgent: string) {
    this.config = config;
    this.#credentials = new CredentialSource(config);
    this.#userAgent = userAgent;
  }

  /** Any request; a status of 400 or more becomes an `ApiError`. */
  async request(path: string, options: RequestOptions = {}): Promise<Response> {
    const method = options.method ?? 'GET';
    const context = options.context ?? `${method} ${path}`;
    const url = this.url(path, options.query);
    let refreshed = false;
    for (let attempt = 0; ; attempt++) {
      const response = await this.#send(url, method, options, context);
      if (response.status < 400) return response;
      const error = await apiErrorFrom(response, context);
      if (error.code === 401 && !refreshed && this.#credentials.invalidate()) {
        refreshed = true;
        continue;
      }
      if ((error.code === 429 || error.code === 503) && error.retryAfterSeconds > 0 && attempt < RETRY_LIMIT) {
        await sleep(Math.min(error.retryAfterSeconds, RETRY_AFTER_MAX_S) * 1000, options.signal);
        continue;
      }
      throw error;
    }
  }

  /** As `request`, with the body parsed; `timeoutMs` covers the body too. */
  async json<T>(path: string, options: RequestOptions = {}): Promise<T> {
    const context = options.context ?? `${options.method ?? 'GET'} ${path}`;
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const controller = new AbortController();
    const timer =
      timeoutMs > 0
        ? setTimeout(() => controller.abort(unreachable(context, `no answer within ${timeoutMs} ms`, undefined)), timeoutMs)
        : undefined;
    const signal = options.signal === undefined ? controller.signal : AbortSignal.any([options.signal, controller.signal]);
    try {
      const response = await this.request(path, { ...options, timeoutMs: 0, signal });
      return (await response.json()) as T; // the API server's answer has the shape the path says
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      if (controller.signal.aborted) throw controller.signal.reason;
      throw error instanceof ApiError ? error : wrap(context, error);
    } finally {
      clearTimeout(timer);
    }
  }

  url(path: string, query?: RequestOptions['query']): string {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query ?? {}))
      if (value !== undefined && value !== '') parameters.append(name, String(value));
    const text = parameters.toString();
    const base = `${this.config.server}${path}`;
    return text === '' ? base : `${base}${path.includes('?') ? '&' : '?'}${text}`;
  }

  /** Opens a WebSocket with the user's credentials; `protocols` are offered in order of preference. */
  async webSocket(path: string, query: URLSearchParams, protocols: readonly string[], signal?: AbortSignal): Promise<WebSocket> {
    const credentials = await this.#credentials.current();
    const url = `${this.config.server.replace(/^http/, 'ws')}${path}?${query.toString()}`;
    const socket = new WebSocket(url, {
      protocols: [...protocols],
      headers: { ...credentials.headers, 'user-agent': this.#userAgent },
      tls: this.#tls(credentials.clientCertPem, credentials.clientKeyPem),
    } as unknown as string[]); // the runtime takes options here; the DOM's types, which win in the compiler, do not know them
    socket.binaryType = 'arraybuffer';
    await new Promise<void>((resolve, reject) => {
      const abort = () => {
        socket.close();
        reject(signal?.reason ?? new Error('aborted'));
      };
      signal?.addEventListener('abort', abort, { once: true });
      socket.onopen = () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      };
      socket.onerror = (event) => {
        signal?.removeEventListener('abort', abort);
        reject(unreachable(`WebSocket ${path}`, (event as ErrorEvent).message ?? 'refused', undefined));
      };
    });
    return socket;
  }

  async #send(url: string, method: string, options: RequestOptions, context: string): Promise<Response> {
    const credentials = await this.#credentials.current();
    const headers: Record<string, string> = {
      ...credentials.headers,
      accept: options.accept ?? 'application/json',
      'user-agent': this.#userAgent,
    };
    const init: RequestInit & { tls: TlsOptions; timeout: false; proxy?: string } = {
      method,
      headers,
      tls: this.#tls(credentials.clientCertPem, credentials.clientKeyPem),
      timeout: false, // watches are silent for minutes; the limit is ours
    };
    if (this.config.proxyUrl !== undefined) init.proxy = this.config.proxyUrl;
    if (options.body !== undefined) {
      headers['content-type'] = options.contentType ?? 'application/json';
      init.body = typeof options.body === 'string' ? options.body : JSON.stringify(options.body);
    }
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const controller = new AbortController();
    const timer = timeoutMs > 0 ? setTimeout(() => controller.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs) : undefined;
    init.signal = options.signal === undefined ? controller.signal : AbortSignal.any([options.signal, controller.signal]);
    try {
      return await fetch(url, init);
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      const reason = controller.signal.aborted ? (controller.signal.reason as Error) : (error as Error);
      throw unreachable(context, `${this.config.server} does not answer: ${reason.message}`, error);
    } finally {
      clearTimeout(timer);
    }
  }

  #tls(cert: string | undefined, key: string | undefined): TlsOptions {
    const tls: TlsOptions = { rejectUnauthorized: !this.config.insecureSkipTlsVerify };
    if (this.config.caPem !== undefined) tls.ca = this.config.caPem;
    if (this.config.tlsServerName !== undefined) tls.serverName = this.config.tlsServerName;
    if (cert !== undefined && key !== undefined) {
      tls.cert = cert;
      tls.key = key;
    }
    return tls;
  }
}

export function unreachable(context: string, message: string, cause: unknown): ApiError {
  return new ApiError({ kind: 'Status', status: 'Failure', code: 0, reason: 'Unreachable', message }, context, { cause });
}

/** Configuration errors stay what they are; anything else means the answer broke off. */
function wrap(context: string, error: unknown): unknown {
  return error instanceof KubeConfigError || error instanceof TypeError
    ? error
    : unreachable(context, `the answer broke off or is not JSON: ${(error as Error).message}`, error);
}

/** Waits; ends early, with the signal's reason, when aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', abort, { once: true });
  });
}
