/**
 * An HTTP server for tests, run inside a pod:
 *   web-server.ts NAME PORT H2_PORT      HTTP/1.1 on PORT, HTTP/2 with prior knowledge on H2_PORT
 * `/` answers with its name and the address the request came from, `/slow?ms=N` does so after N ms, `/stream?ms=N` sends server-sent events every
 * {@link BEAT_MS} for N ms, and a last one that says so.
 */
import http2 from 'node:http2';
import { BEAT_MS, LAST_EVENT, type WebAnswer } from './web-wire.ts';

const [name = '', port = '8080', h2Port = '8081'] = process.argv.slice(2);
const encoder = new TextEncoder();

const answerOf = (peer: string): string => JSON.stringify({ name, peer: peer.replace('::ffff:', '') } satisfies WebAnswer);
const numberIn = (url: URL): number => Number(url.searchParams.get('ms') ?? 0);

/** Calls `send` with each event; the returned function ends it early. */
function events(durationMs: number, send: (event: Uint8Array) => void, end: () => void): () => void {
  const until = Date.now() + durationMs;
  let beat = 0;
  const timer = setInterval(() => {
    if (Date.now() < until) {
      send(encoder.encode(`data: ${beat++}\n\n`));
      return;
    }
    clearInterval(timer);
    send(encoder.encode(`data: ${LAST_EVENT}\n\n`));
    end();
  }, BEAT_MS);
  return () => clearInterval(timer);
}

Bun.serve({
  port: Number(port),
  hostname: '0.0.0.0',
  idleTimeout: 255,
  async fetch(request, server) {
    const url = new URL(request.url);
    const peer = server.requestIP(request)?.address ?? '';
    if (url.pathname === '/stream') {
      let stop = (): void => {};
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          stop = events(
            numberIn(url),
            (event) => controller.enqueue(event),
            () => controller.close(),
          );
        },
        cancel: () => stop(),
      });
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
    }
    if (url.pathname === '/slow') await Bun.sleep(numberIn(url));
    return new Response(answerOf(peer), { headers: { 'content-type': 'application/json' } });
  },
});

const h2 = http2.createServer();
h2.on('stream', (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
  const url = new URL(headers[':path'] ?? '/', 'http://web');
  stream.on('error', () => stream.destroy()); // the caller is gone: nobody to tell
  if (url.pathname === '/stream') {
    stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
    const stop = events(
      numberIn(url),
      (event) => stream.write(event),
      () => stream.end(),
    );
    stream.on('close', stop);
    return;
  }
  setTimeout(
    () => {
      stream.respond({ ':status': 200, 'content-type': 'application/json' });
      stream.end(answerOf(stream.session?.socket.remoteAddress ?? ''));
    },
    url.pathname === '/slow' ? numberIn(url) : 0,
  );
});
h2.listen(Number(h2Port), '0.0.0.0');
console.log(`${name} answers on ${port} and ${h2Port}`);
