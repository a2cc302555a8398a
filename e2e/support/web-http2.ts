/** An HTTP/2 client with prior knowledge that tries nothing twice: one connection at a time, the next one when the server says goodbye or it is a few seconds old. */
import http2 from 'node:http2';
import type { WebClient } from './web-load.ts';

const MOST_AGE_MS = 5_000;

export class Http2Connections implements WebClient {
  readonly #authority: string;
  #current: { readonly session: http2.ClientHttp2Session; readonly since: number } | undefined;

  constructor(authority: string) {
    this.#authority = `http://${authority}`;
  }

  get(path: string, onBody: (text: string) => void, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const stream = this.#session().request({ ':path': path });
    let status = 0;
    let code = 0;
    let isEnded = false;
    stream.setEncoding('utf8');
    stream.on('response', (headers) => {
      status = Number(headers[':status']);
    });
    stream.on('data', (text: string) => {
      if (status === 200) onBody(text);
    });
    stream.on('end', () => {
      isEnded = true;
    });
    stream.on('error', (error) => reject(new Error(`${status === 0 ? 'no answer' : 'half an answer'}: ${error.message}`)));
    stream.on('close', () => {
      code = stream.rstCode ?? 0;
      if (status === 200 && isEnded && code === 0) resolve();
      else reject(new Error(status > 0 && status !== 200 ? `status ${status}` : `closed with code ${code}`));
    });
    const stop = (): void => {
      reject(new Error('no whole answer within the deadline'));
      stream.close();
    };
    signal.addEventListener('abort', stop, { once: true });
    stream.end();
    return promise.finally(() => signal.removeEventListener('abort', stop));
  }

  #session(): http2.ClientHttp2Session {
    const current = this.#current;
    if (current !== undefined && !current.session.closed && !current.session.destroyed) {
      if (Date.now() - current.since < MOST_AGE_MS) return current.session;
      current.session.close();
    }
    const session = http2.connect(this.#authority);
    const forget = (): void => {
      if (this.#current?.session === session) this.#current = undefined;
    };
    session.on('goaway', forget);
    session.on('close', forget);
    session.on('error', forget); // its streams have been told
    this.#current = { session, since: Date.now() };
    return session;
  }
}
