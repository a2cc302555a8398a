// A peer on node:http2, which is handed in: by the tests, and by a one-line program that the real Node runs.

const bodyOf = (stream) =>
  new Promise((resolve, reject) => {
    const chunks = [];
    stream.on('data', (chunk) => chunks.push(chunk));
    stream.on('end', () => resolve(Buffer.concat(chunks)));
    stream.on('error', reject);
  });
const once = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));

const pattern = (length) => Buffer.from(Uint8Array.from({ length }, (_, at) => (at * 7 + (at >>> 8)) & 0xff));

/** Every kind of exchange against the echo server at `port`; the result names each and says how it went. */
export async function exerciseServer(http2, port) {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const results = {};

  const hello = session.request({ ':path': '/' });
  results.get = (await bodyOf(hello)).toString();

  const body = pattern(3_000_000);
  const upload = session.request({ ':method': 'POST', ':path': '/' });
  upload.end(body);
  results.echo = (await bodyOf(upload)).equals(body);

  const trailing = session.request({ ':path': '/', 'x-trailers': 'please' });
  const trailers = once(trailing, 'trailers');
  await bodyOf(trailing);
  results.trailers = (await trailers)['x-end'];

  const tunnel = session.request({ ':method': 'CONNECT', ':authority': '10.0.0.1:80' });
  results.connect = (await once(tunnel, 'response'))[':status'];
  tunnel.write('one');
  results.tunnel = (await once(tunnel, 'data')).toString();
  tunnel.end('two');
  results.halfClose = (await bodyOf(tunnel)).toString();

  const sent = {};
  for (let index = 0; index < 60; index++) sent[`x-h${index % 20}`] = 'v'.repeat(index) + String.fromCharCode(33 + index);
  let same = true;
  for (let round = 0; round < 20; round++) {
    sent['x-round'] = String(round % 3);
    const headers = session.request({ ':path': '/', ...sent });
    const received = await once(headers, 'response');
    for (const [name, value] of Object.entries(sent)) if (received[name] !== value) same = false;
    await bodyOf(headers);
  }
  results.headers = same;

  const many = await Promise.all(Array.from({ length: 90 }, () => bodyOf(session.request({ ':path': '/' }))));
  results.parallel = many.every((answer) => answer.toString() === 'hello world');

  const cancelled = session.request({ ':method': 'POST', ':path': '/' });
  cancelled.on('error', () => {});
  cancelled.write('x');
  await once(cancelled, 'response');
  cancelled.close(http2.constants.NGHTTP2_CANCEL);
  await once(cancelled, 'close');

  results.ping = await new Promise((resolve) =>
    session.ping(Buffer.from('12345678'), (error, _duration, payload) => resolve(error === null && payload.toString())),
  );
  await new Promise((resolve) => session.close(resolve));
  return results;
}

export const EXPECTED = {
  get: 'hello world',
  echo: true,
  trailers: 'yes',
  connect: 200,
  tunnel: 'one',
  halfClose: 'two',
  headers: true,
  parallel: true,
  ping: '12345678',
};

/** A server that echoes bodies and tunnels, and answers the rest with `hello`. */
export function startServer(http2) {
  const server = http2.createServer({ settings: { maxConcurrentStreams: 50, initialWindowSize: 100_000 } });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    if (headers[':path'] === '/interim') stream.additionalHeaders({ ':status': 103, link: '</a>' });
    if (headers[':path'] === '/trailers') {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'yes' }));
      stream.end('hello');
      return;
    }
    stream.respond({ ':status': 200, 'x-seen': headers['x-seen'] ?? '' });
    if (headers[':method'] === 'GET') stream.end('hello');
    else stream.pipe(stream);
  });
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve({ port: server.address().port, close: () => server.close() })),
  );
}
