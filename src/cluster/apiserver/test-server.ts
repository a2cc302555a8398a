import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from './json.ts';
import { type RunningServer, startServer } from './server.ts';

/** A real API server on loopback for tests, with helpers that speak HTTPS to it. */
export class TestServer {
  readonly directory: string;
  readonly logs: string[] = [];
  #server: RunningServer | undefined;

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), 'lateen-apiserver-'));
  }

  async start(): Promise<this> {
    this.#server = await startServer({
      stateDir: this.directory,
      listenAddress: '127.0.0.1',
      port: 0,
      advertiseAddress: '127.0.0.1',
      servingNames: [],
      serviceCidr: '10.96.0.0/16',
      issuer: 'https://kubernetes.default.svc.cluster.local',
      kubeletTokenFile: join(this.directory, 'kubelet.token'),
      nodeNames: ['node1'],
      log: (message) => this.logs.push(message),
    });
    return this;
  }

  async restart(): Promise<void> {
    await this.#server?.stop();
    await this.start();
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  get url(): string {
    return `https://127.0.0.1:${this.#server!.port}`;
  }

  read(file: string): string {
    return readFileSync(join(this.directory, file), 'utf8').trim();
  }

  fetch(method: string, path: string, body?: unknown, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> {
    return fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${this.read('admin.token')}`, 'content-type': 'application/json', ...headers },
      tls: { ca: this.read('pki/ca.crt') },
      ...(body === undefined ? {} : { body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** Sends a request and reads the JSON answer. */
  async call(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<{ status: number; body: JsonObject & { metadata: JsonObject; items: JsonObject[]; message: string } }> {
    const response = await this.fetch(method, path, body, headers);
    return {
      status: response.status,
      body: (await response.json()) as JsonObject & { metadata: JsonObject; items: JsonObject[]; message: string },
    };
  }

  /** Opens a watch; `next` answers its events one by one. */
  async watch(
    path: string,
  ): Promise<{ next(): Promise<{ type: string; object: JsonObject & { metadata: JsonObject } } | undefined>; close(): void }> {
    const abort = new AbortController();
    const response = await this.fetch('GET', path, undefined, {}, abort.signal);
    const reader = response.body!.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>).getReader();
    let buffered = '';
    const next = async () => {
      for (;;) {
        const end = buffered.indexOf('\n');
        if (end >= 0) {
          const line = buffered.slice(0, end).trim();
          buffered = buffered.slice(end + 1);
          if (line !== '') return JSON.parse(line) as { type: string; object: JsonObject & { metadata: JsonObject } };
          continue;
        }
        const { value, done } = await reader.read();
        if (done) return undefined;
        buffered += value;
      }
    };
    return { next, close: () => abort.abort() };
  }
}

export const configMap = (name: string, data: Record<string, string> = {}, labels: Record<string, string> = {}): JsonObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, labels },
  data,
});
