/** A browser through a waypoint: streams, events, WebSocket, uploads, many requests. Needs `CHROMIUM_BIN`, without it not run. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { WaypointLab } from './lab.ts';

const program = process.env['CHROMIUM_BIN'];

/** Runs in the page: each step by name, what came of it reported in one request. */
const script = `
const results = {};
const step = async (name, body) => { try { results[name] = await body(); } catch (error) { results[name] = String(error); } };
(async () => {
  await step('stream', async () => {
    const reader = (await fetch('/stream')).body.getReader();
    const words = [];
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return words.join('');
      words.push(new TextDecoder().decode(value));
      await fetch('/next', { method: 'POST' });
    }
  });
  await step('events', () => new Promise((resolve, reject) => {
    const source = new EventSource('/events');
    const seen = [];
    source.onmessage = ({ data }) => { seen.push(data); if (seen.length === 3) { source.close(); resolve(seen.join(',')); } };
    source.onerror = () => reject('events failed');
  }));
  await step('socket', () => new Promise((resolve, reject) => {
    const socket = new WebSocket('ws://' + location.host + '/socket');
    socket.onopen = () => socket.send('hello');
    socket.onmessage = ({ data }) => { resolve(data); socket.close(); };
    socket.onerror = () => reject('socket failed');
  }));
  await step('upload', async () => {
    const body = new Uint8Array(5_000_000).map((_, i) => i & 255);
    const back = new Uint8Array(await (await fetch('/echo', { method: 'POST', body })).arrayBuffer());
    return back.length === body.length && back.every((octet, i) => octet === (i & 255));
  });
  await step('many', async () => {
    const texts = await Promise.all(Array.from({ length: 100 }, async (_, i) => (await fetch('/text?' + i)).text()));
    return texts.every((text, i) => text === '?' + i);
  });
  await step('cookie', async () => { await fetch('/cookie'); return (await fetch('/cookies')).text(); });
  await fetch('/report', { method: 'POST', body: JSON.stringify(results) });
})();`;

if (program === undefined) test.skip('Chromium: not run, CHROMIUM_BIN is not set', () => {});
else {
  const lab = new WaypointLab();
  const reported = Promise.withResolvers<Record<string, unknown>>();
  let next = (): void => {};
  const encoder = new TextEncoder();
  const sent = (events: (send: (text: string) => void) => Promise<void>): ReadableStream =>
    new ReadableStream({
      async start(controller) {
        await events((text) => controller.enqueue(encoder.encode(text)));
        controller.close();
      },
    });

  async function answer(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    switch (pathname) {
      case '/':
        return new Response(`<!doctype html><script>${script}</script>`, { headers: { 'content-type': 'text/html' } });
      case '/stream':
        // Each word only when the page has the one before.
        return new Response(
          sent(async (send) => {
            for (const word of ['one ', 'two ', 'three']) {
              const isRead = new Promise<void>((resolve) => {
                next = resolve;
              });
              send(word);
              await isRead;
            }
          }),
        );
      case '/next':
        next();
        return new Response(null, { status: 204 });
      case '/events':
        return new Response(
          sent(async (send) => {
            for (let i = 0; i < 3; i++) {
              send(`data: ${i}\n\n`);
              await Bun.sleep(20);
            }
            await Bun.sleep(2000);
          }),
          { headers: { 'content-type': 'text/event-stream' } },
        );
      case '/echo':
        return new Response(await request.arrayBuffer());
      case '/cookie':
        return new Response('', { headers: { 'set-cookie': 'a=1' } });
      case '/cookies':
        return new Response(request.headers.get('cookie'));
      case '/report':
        reported.resolve((await request.json()) as Record<string, unknown>);
        return new Response(null, { status: 204 });
      default:
        return new Response(search);
    }
  }

  let browser: ReturnType<typeof Bun.spawn> | undefined;
  beforeAll(async () => {
    lab.inside(() =>
      Bun.serve({
        hostname: '127.0.0.21',
        port: 8080,
        idleTimeout: 60,
        fetch: (request, server) =>
          request.headers.get('upgrade') === 'websocket' && server.upgrade(request) ? undefined : answer(request),
        websocket: {
          message(socket, message) {
            socket.send(message);
          },
        },
      }),
    );
    await lab.start([{ name: 'web', ports: [{ port: 80, targetPort: 8080 }], endpoints: ['127.0.0.21'] }]);
  });
  afterAll(async () => {
    browser?.kill('SIGKILL');
    await browser?.exited;
    await lab.stop();
  });

  test('Chromium streams, listens, uploads and asks in parallel', async () => {
    const url = `http://127.0.0.1:${lab.open('web', 80)}/`;
    const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', `--user-data-dir=${lab.directory}/browser`];
    browser = Bun.spawn(lab.command(program, ...flags, '--remote-debugging-port=0', url), {
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'ignore',
    });
    const results = await Promise.race([reported.promise, Bun.sleep(40_000).then(() => ({ report: 'none came' }))]);
    expect(results).toEqual({ stream: 'one two three', events: '0,1,2', socket: 'hello', upload: true, many: true, cookie: 'a=1' });
  }, 60_000);
}
