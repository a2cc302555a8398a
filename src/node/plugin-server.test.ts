import { afterAll, afterEach, expect, test } from 'bun:test';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { expose, Logging, Registry } from '../platform/telemetry/index.ts';
import { agentMetrics } from './agent-metrics.ts';
import { MAX_EVENT_BYTES, type PluginEvent, type PluginHandlers, parsePluginEvent, startPluginServer } from './plugin-server.ts';

const EVENT = { podNamespace: 'shop', podName: 'app-1', podUID: 'u-1', netns: '/proc/7/ns/net', ips: ['10.0.0.1/24', 'fd00::1'] };
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'na-plugin-'));
let stop = async () => {};
afterEach(() => stop());
afterAll(() => fs.rmSync(folder, { recursive: true }));

function setUp(handlers: Partial<PluginHandlers> = {}) {
  const events: PluginEvent[] = [];
  const metrics = agentMetrics(new Registry());
  const unix = path.join(folder, 'sub', 'pluginevent.sock');
  const add = async (event: PluginEvent) => {
    events.push(event);
    return undefined;
  };
  const del = async (event: PluginEvent) => {
    events.push(event);
  };
  const server = startPluginServer({
    path: unix,
    handlers: { add, del, ...handlers },
    metrics,
    log: new Logging({ filter: 'off' }).logger('plugin'),
  });
  stop = server.stop;
  const post = (route: string, body: unknown, method = 'POST') =>
    fetch(`http://localhost${route}`, {
      unix,
      method,
      ...(method === 'POST' && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
  return { events, post, unix, metrics };
}

test('passes a new pod on and answers 200, and replaces a socket that was left behind', async () => {
  fs.mkdirSync(path.join(folder, 'sub'), { recursive: true });
  fs.writeFileSync(path.join(folder, 'sub', 'pluginevent.sock'), '');
  const { events, post, metrics } = setUp();
  const response = await post('/cmdadd', EVENT);
  expect([response.status, await response.text()]).toEqual([200, 'ok\n']);
  expect(events).toEqual([{ namespace: 'shop', name: 'app-1', uid: 'u-1', netns: '/proc/7/ns/net', ips: ['10.0.0.1', 'fd00::1'] }]);
  expect(expose(metrics.registry, 'text')).toContain('istio_cni_plugin_requests_total{response_code="200"} 1');
});

test('answers 500 with the reason when the pod may not start, and when a handler throws', async () => {
  const first = setUp({ add: async () => 'no ztunnel is connected' });
  const refused = await first.post('/cmdadd', EVENT);
  expect([refused.status, await refused.text()]).toEqual([500, 'no ztunnel is connected\n']);
  await stop();
  const second = setUp({
    add: async () => {
      throw new Error('unexpected');
    },
  });
  expect((await second.post('/cmdadd', EVENT)).status).toBe(500);
});

test('passes the end of a pod’s network on with no more than its uid', async () => {
  const { events, post } = setUp();
  expect((await post('/cmddel', { podUID: 'u-1' })).status).toBe(200);
  expect(events[0]!.uid).toBe('u-1');
});

test('refuses what is no event with the field and the reason', async () => {
  const { post, events } = setUp();
  const cases: [string, unknown, number, string][] = [
    ['/cmdadd', 'not json', 400, 'not JSON'],
    ['/cmdadd', [], 400, 'not a JSON object'],
    ['/cmdadd', { ...EVENT, podUID: '' }, 400, '"podUID"'],
    ['/cmdadd', { ...EVENT, netns: 7 }, 400, '"netns"'],
    ['/cmdadd', { ...EVENT, ips: ['; rm -rf /'] }, 400, '"ips"'],
    ['/cmdadd', { ...EVENT, ips: [] }, 400, 'at least one'],
    ['/cmdother', EVENT, 404, '/cmdadd'],
  ];
  for (const [route, body, status, text] of cases) {
    const response = await post(route, body);
    expect([response.status, await response.text()]).toEqual([status, expect.stringContaining(text)]);
  }
  expect((await post('/cmdadd', undefined, 'GET')).status).toBe(405);
  expect((await post('/cmdadd', 'x'.repeat(MAX_EVENT_BYTES + 1))).status).toBe(413);
  expect(events).toEqual([]);
});

test('never throws on any text', () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => void parsePluginEvent(text, 'cmdadd')));
});

test('removes its socket when it stops', async () => {
  const { unix } = setUp();
  await stop();
  expect(fs.existsSync(unix)).toBe(false);
});
