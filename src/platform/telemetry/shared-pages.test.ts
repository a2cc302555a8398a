import { expect, test } from 'bun:test';
import { OWN_PAGES, type Page, SHARED_PAGE_MS, SharedPages } from './shared-pages.ts';

const text = async (body: Page): Promise<string> => new Response(new Blob([body])).text();

test('each of few requests gets a page of its own, many share one for a while, and each by its name', async () => {
  let now = 0;
  let made = 0;
  const pages = new SharedPages(() => now);
  const get = async (underWay: number, name = 'metrics') => text(await pages.get(name, underWay, async () => `${name} ${++made}`));
  expect([await get(1), await get(OWN_PAGES)]).toEqual(['metrics 1', 'metrics 2']);
  expect(await Promise.all([get(OWN_PAGES + 1), get(OWN_PAGES + 2), get(1000)])).toEqual(['metrics 3', 'metrics 3', 'metrics 3']);
  expect(await get(1000, 'other')).toBe('other 4');
  now += SHARED_PAGE_MS - 1;
  expect(await get(1000)).toBe('metrics 3');
  now += 1;
  expect(await get(1000)).toBe('metrics 5');
  expect(await get(OWN_PAGES)).toBe('metrics 6');
  // Nobody needs the shared one any more.
  expect(await get(1000)).toBe('metrics 7');
});

test('a page that could not be made is tried again', async () => {
  let now = 0;
  const pages = new SharedPages(() => now);
  const failing = (): Promise<Page> => Promise.reject(new Error('not now'));
  await expect(pages.get('metrics', 1000, failing)).rejects.toThrow('not now');
  now += SHARED_PAGE_MS;
  expect(await text(await pages.get('metrics', 1000, () => 'now'))).toBe('now');
});

test('clients that ask and do not read hold one page between them, and others are answered', async () => {
  const MIB = 1024 * 1024;
  const clients = 150;
  const pages = new SharedPages();
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async (_, self) => new Response(await pages.get('page', self.pendingRequests, () => Buffer.alloc(4 * MIB, 'x'))),
  });
  const before = process.memoryUsage().rss;
  const sockets = await Promise.all(
    Array.from({ length: clients }, () =>
      Bun.connect({
        hostname: '127.0.0.1',
        port: server.port!,
        socket: {
          open(socket) {
            socket.pause();
            socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
          },
          data() {},
        },
      }),
    ),
  );
  try {
    const deadline = Date.now() + 10_000;
    while (server.pendingRequests < clients && Date.now() < deadline) await Bun.sleep(10);
    expect(server.pendingRequests).toBe(clients);
    // Those with a page of their own, which is there twice until a collection, and what else the process does: without sharing all would have one.
    expect((process.memoryUsage().rss - before) / MIB).toBeLessThan((clients * 4) / 2);
    expect((await (await fetch(server.url)).bytes()).length).toBe(4 * MIB);
  } finally {
    for (const socket of sockets) socket.terminate();
    await server.stop(true);
  }
});
