import { afterAll, beforeAll, expect, test } from 'bun:test';
import { WaypointLab } from './lab.ts';

const lab = new WaypointLab();
let port = 0;
beforeAll(async () => {
  lab.inside(() =>
    Bun.serve({
      hostname: '127.0.0.21',
      port: 8080,
      async fetch(request) {
        const { pathname } = new URL(request.url);
        const body = await request.text();
        return Response.json({ method: request.method, pathname, body, headers: Object.fromEntries(request.headers) });
      },
    }),
  );
  await lab.start([{ name: 'echo', ports: [{ port: 80, targetPort: 8080, protocol: 'HTTP11' }], endpoints: ['127.0.0.21'] }]);
  port = lab.open('echo', 80);
});
afterAll(() => lab.stop());

const curl = (...args: string[]): Promise<string> => lab.run('curl', '-sS', '-m', '10', ...args);

test('a GET goes through and comes back', async () => {
  const answer = JSON.parse(await curl(`http://127.0.0.1:${port}/hello?x=1`)) as { method: string; pathname: string };
  expect(answer).toMatchObject({ method: 'GET', pathname: '/hello' });
});
