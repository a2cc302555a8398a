/** What a route plan asks for, seen from both ends: splits, edits, redirects, mirrors, faults, time limits, retries, sessions, health. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { HttpAction, HttpMatch, ServicePlan } from '../../src/mesh/http/index.ts';
import { until } from '../ztunnel/lab.ts';
import { keyOf, WaypointLab } from './lab.ts';
import { RawServer, type Wire } from './wire.ts';

const lab = new WaypointLab();
const V = ['127.0.0.31', '127.0.0.32', '127.0.0.33'];
let raw: RawServer;
let slow: RawServer;

interface Echo {
  readonly version: string;
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}
/** Every request each of the versions got. */
const seen: Echo[] = [];

/** How the versions answer; a test may change it. */
let answer: (echo: Echo) => Response | Promise<Response> = (echo) => Response.json(echo);

const backend = (service: string, weight = 1, more = {}) => ({ service: keyOf(service), port: 80, weight, ...more });
const to = (service: string, more: Partial<HttpAction> = {}): HttpAction => ({
  name: `to-${service}`,
  backends: [backend(service)],
  ...more,
});

const ROUTES: readonly (readonly [path: string, action: HttpAction, match?: HttpMatch])[] = [
  ['/split', { name: 'split', backends: [backend('v1', 80), backend('v2', 20)] }],
  ['/ab', to('v2'), { headers: [{ name: 'x-user', condition: { kind: 'exact', value: 'jason' } }] }],
  ['/ab', to('v1')],
  [
    '/edit',
    to('v1', {
      requestHeaders: { remove: ['x-old'], set: [['x-set', 'by route']], add: [['x-add', 'b']] },
      responseHeaders: { remove: ['x-secret'], set: [['x-out', 'by route']], add: [['x-more', '2']] },
    }),
  ],
  [
    '/redirect',
    {
      name: 'redirect',
      backends: [],
      redirect: { status: 301, scheme: 'https', host: 'new.example.com', path: { kind: 'full', value: '/moved' } },
    },
  ],
  ['/rewrite', to('v1', { rewrite: { path: { kind: 'prefix', match: '/rewrite', value: '/inner' }, host: 'rewritten.example.com' } })],
  ['/respond', { name: 'respond', backends: [], respond: { status: 418, body: 'short and stout', contentType: 'text/x-tea' } }],
  ['/mirror', to('v1', { mirrors: [{ backend: { service: keyOf('v2'), port: 80 }, numerator: 1, denominator: 1 }] })],
  ['/half-mirror', to('v1', { mirrors: [{ backend: { service: keyOf('v2'), port: 80 }, numerator: 50, denominator: 100 }] })],
  ['/dead-mirror', to('v1', { mirrors: [{ backend: { service: keyOf('dead'), port: 80 }, numerator: 1, denominator: 1 }] })],
  ['/slow-mirror', to('v1', { mirrors: [{ backend: { service: keyOf('slow'), port: 80 }, numerator: 1, denominator: 1 }] })],
  [
    '/cors',
    to('v1', {
      cors: {
        allowOrigins: [{ kind: 'exact', value: 'https://ok.example.com' }],
        allowMethods: ['GET', 'PUT'],
        allowHeaders: ['x-a'],
        exposeHeaders: ['x-b'],
        allowCredentials: true,
        maxAgeSeconds: 600,
        forwardsUnmatchedPreflights: false,
      },
    }),
  ],
  ['/timeout', to('v1', { timeouts: { request: 1_000 } })],
  ['/idle', to('v1', { timeouts: { idle: 300 } })],
  ['/try-timeout', to('v1', { timeouts: { perTry: 1_000 } })],
  ['/vs-try-timeout', to('v1', { retry: { attempts: 0, statuses: [], on: [], perTryTimeout: 1_000 } })],
  ['/retry-timeout', to('v1', { retry: { attempts: 2, statuses: [], on: ['5xx'], perTryTimeout: 1_000 } })],
  ['/retry', to('v1', { retry: { attempts: 3, statuses: [503], on: ['connect-failure', 'refused-stream'], backoff: 1 } })],
  ['/retry-reset', to('flaky', { retry: { attempts: 3, statuses: [], on: ['reset'], backoff: 1 } })],
  ['/no-retry', to('v1', { retry: { attempts: 0, statuses: [], on: [] } })],
  ['/half-dead', to('half-dead')],
  ['/delay', to('v1', { fault: { delay: { percentage: 100, duration: 300 } } })],
  ['/abort', to('v1', { fault: { abort: { percentage: 100, httpStatus: 555 } } })],
  ['/some-abort', to('v1', { fault: { abort: { percentage: 30, httpStatus: 555 } } })],
  ['/cookie', { name: 'cookie', backends: [backend('all')], session: { kind: 'cookie', name: 'stick', path: '/' } }],
  ['/header', { name: 'header', backends: [backend('all')], session: { kind: 'header', name: 'x-session' } }],
  ['/subset', { name: 'subset', backends: [backend('subsets', 1, { subset: 'two' })] }],
  ['/no-subset', { name: 'no-subset', backends: [backend('subsets', 1, { subset: 'none' })] }],
  ['/invalid', { name: 'invalid', backends: [backend('v1', 1, { invalid: 'no such service' })] }],
  ['/part-invalid', { name: 'part', backends: [backend('v1', 50), backend('v2', 50, { invalid: 'no such service' })] }],
  ['/no-weight', { name: 'weightless', backends: [backend('v1', 0)] }],
  ['/ring', { name: 'ring', backends: [backend('ring')] }],
  ['/outlier', { name: 'outlier', backends: [backend('outlier')], retry: { attempts: 0, statuses: [], on: [] } }],
  ['/limited', { name: 'limited', backends: [backend('limited')] }],
  ['/bad-header', to('v1', { requestHeaders: { remove: [], set: [['x-bad', 'a\u2603']], add: [] } })],
  ['/bad-answer', to('v1', { responseHeaders: { remove: [], set: [['x-bad', 'a\u2603']], add: [] } })],
];

const uid = (ip: string): string => `Kubernetes//Pod/default/backend-${ip.replaceAll('.', '-')}`;
const OUTLIER = {
  consecutive5xx: 3,
  interval: 500,
  baseEjectionTime: 1500,
  maxEjectionPercent: 100,
  minHealthPercent: 0,
  splitExternalLocalOrigin: false,
};

const plans: ServicePlan[] = [
  {
    service: keyOf('front'),
    ports: [
      {
        port: 80,
        http: {
          rules: ROUTES.map(([value, , match], action) => ({ match: { path: { kind: 'segments', value }, ...match }, action })),
          actions: ROUTES.map(([, action]) => action),
        },
        consumers: [],
      },
    ],
  },
  {
    service: keyOf('consumed'),
    ports: [
      {
        port: 80,
        http: { rules: [{ match: {}, action: 0 }], actions: [to('v1')] },
        consumers: [{ namespace: 'clients', http: { rules: [{ match: {}, action: 0 }], actions: [to('v2')] } }],
      },
    ],
  },
  {
    service: keyOf('subsets'),
    ports: [],
    subsets: [
      { name: 'two', workloads: [uid(V[1]!)] },
      { name: 'none', workloads: [] },
    ],
  },
  {
    service: keyOf('ring'),
    ports: [],
    policy: { loadBalancer: { kind: 'ring-hash', hash: { kind: 'header', name: 'x-key' }, minimumRingSize: 1024 } },
  },
  { service: keyOf('outlier'), ports: [], policy: { outlier: OUTLIER, loadBalancer: { kind: 'round-robin' } } },
  { service: keyOf('limited'), ports: [], policy: { connectionPool: { maxRequests: 2 } } },
];

let front = 0;
let consumed = 0;
beforeAll(async () => {
  for (const [index, hostname] of V.entries())
    lab.inside(() =>
      Bun.serve({
        hostname,
        port: 8080,
        idleTimeout: 60,
        async fetch(request) {
          const { pathname, search } = new URL(request.url);
          const echo: Echo = {
            version: `v${index + 1}`,
            method: request.method,
            path: pathname + search,
            host: request.headers.get('host') ?? '',
            headers: Object.fromEntries(request.headers),
            body: await request.text(),
          };
          seen.push(echo);
          return answer(echo);
        },
      }),
    );
  raw = new RawServer(lab, '127.0.0.21', 8080);
  slow = new RawServer(lab, '127.0.0.22', 8080, (wire) => {
    wire.onChunk = () => {};
  });
  const http = (name: string, ...endpoints: string[]) => ({
    name,
    ports: [{ port: 80, targetPort: 8080, protocol: 'HTTP11' as const }],
    endpoints,
  });
  await lab.start(
    [
      http('front', V[0]!),
      http('consumed', V[0]!),
      http('v1', V[0]!),
      http('v2', V[1]!),
      http('all', ...V),
      http('subsets', ...V),
      http('ring', ...V),
      http('outlier', ...V),
      http('limited', V[0]!),
      http('flaky', '127.0.0.21'),
      http('slow', '127.0.0.22'),
      http('dead', '127.0.0.99'),
      http('half-dead', '127.0.0.99', V[0]!),
    ],
    plans,
  );
  front = lab.open('front', 80, 'outside');
  consumed = lab.open('consumed', 80, 'outside');
}, 30_000);
afterAll(async () => {
  raw.stop();
  slow.stop();
  await lab.stop();
});

const ask = (path: string, init: RequestInit = {}, port = front): Promise<Response> =>
  fetch(`http://127.0.0.1:${port}${path}`, { redirect: 'manual', signal: AbortSignal.timeout(10_000), ...init });
const echoed = async (path: string, init?: RequestInit, port?: number): Promise<Echo> =>
  (await (await ask(path, init, port)).json()) as Echo;
/** Answers as `other` until the test is over. */
async function answeredBy<T>(other: typeof answer, body: () => Promise<T>): Promise<T> {
  const before = answer;
  answer = other;
  try {
    return await body();
  } finally {
    answer = before;
  }
}
/** Waits for a line of the access log about a path, with these flags where they are given. */
const logged = (path: string, flags = '\\S+'): Promise<string> =>
  until(`a line about ${path} with ${flags}`, () => {
    const line = new RegExp(`"[A-Z]+ ${path}[ ?/][^"]*" \\d+ ${flags} `);
    return lab.log.split('\n').findLast((candidate) => line.test(candidate));
  });

test('an 80/20 split is one, within 4.5 sigma', async () => {
  const total = 2000;
  let second = 0;
  for (let i = 0; i < total; i += 50) {
    const versions = await Promise.all(Array.from({ length: 50 }, async () => (await echoed('/split')).version));
    second += versions.filter((version) => version === 'v2').length;
  }
  expect(Math.abs(second - total * 0.2)).toBeLessThan(4.5 * Math.sqrt(total * 0.2 * 0.8));
}, 20_000);

test('a header decides who answers', async () => {
  expect((await echoed('/ab', { headers: { 'x-user': 'jason' } })).version).toBe('v2');
  expect((await echoed('/ab', { headers: { 'x-user': 'jasmin' } })).version).toBe('v1');
  expect((await echoed('/ab')).version).toBe('v1');
});

test('a path no rule takes is 404 with NR', async () => {
  expect((await ask('/nowhere')).status).toBe(404);
  await logged('/nowhere', 'NR');
});

test('fields are edited on the way in and out', async () => {
  const response = await answeredBy(
    (echo) => Response.json(echo, { headers: { 'x-secret': '1', 'x-out': 'endpoint', 'x-more': '1' } }),
    () => ask('/edit', { headers: { 'x-old': '1', 'x-set': 'client', 'x-add': 'a' } }),
  );
  const { headers } = (await response.json()) as Echo;
  expect(headers['x-old']).toBeUndefined();
  expect(headers).toMatchObject({ 'x-set': 'by route', 'x-add': 'a, b' });
  expect(response.headers.get('x-secret')).toBeNull();
  expect(response.headers.get('x-out')).toBe('by route');
  expect(response.headers.get('x-more')).toBe('1, 2');
});

test('redirects, rewrites and answers of the route itself', async () => {
  const redirect = await ask('/redirect/x?y=1');
  expect(redirect.status).toBe(301);
  expect(redirect.headers.get('location')).toBe('https://new.example.com/moved?y=1');
  expect(await echoed('/rewrite/x?y=1')).toMatchObject({ path: '/inner/x?y=1', host: 'rewritten.example.com' });
  const tea = await ask('/respond');
  expect([tea.status, tea.headers.get('content-type'), await tea.text()]).toEqual([418, 'text/x-tea', 'short and stout']);
});

test('a mirror gets a copy, body and all, and the client only its own answer', async () => {
  seen.length = 0;
  expect((await echoed('/mirror/1', { method: 'POST', body: 'the body' })).version).toBe('v1');
  const copy = await until('the copy', () => seen.find(({ version }) => version === 'v2'));
  expect(copy).toMatchObject({
    method: 'POST',
    path: '/mirror/1',
    body: 'the body',
    host: expect.stringMatching(/^127\.0\.0\.1-shadow:\d+$/),
  });
  const large = 'x'.repeat(3_000_000);
  expect((await echoed('/mirror/2', { method: 'POST', body: large })).body.length).toBe(large.length);
  const second = await until('the large copy', () => seen.find(({ version, path }) => version === 'v2' && path === '/mirror/2'));
  expect(second.body.length).toBe(large.length);
});

test('half of the requests are mirrored where half was asked for', async () => {
  seen.length = 0;
  const total = 400;
  for (let i = 0; i < total; i += 50) await Promise.all(Array.from({ length: 50 }, () => echoed('/half-mirror')));
  await Bun.sleep(300);
  const copies = seen.filter(({ version }) => version === 'v2').length;
  expect(Math.abs(copies - total / 2)).toBeLessThan(4.5 * Math.sqrt(total / 4));
});

test('a mirror that is dead, or reads and answers nothing, costs the client nothing', async () => {
  for (const path of ['/dead-mirror', '/slow-mirror']) {
    const body = 'x'.repeat(5_000_000);
    const start = performance.now();
    expect((await echoed(path, { method: 'POST', body })).body.length).toBe(body.length);
    expect(performance.now() - start).toBeLessThan(3000);
    expect((await echoed(path)).version).toBe('v1');
  }
});

test('CORS is answered for the origins that may, and left out for others', async () => {
  const preflight = (origin: string): Promise<Response> =>
    ask('/cors', { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'PUT' } });
  const allowed = await preflight('https://ok.example.com');
  expect(allowed.status).toBe(200);
  expect(Object.fromEntries(allowed.headers)).toMatchObject({
    'access-control-allow-origin': 'https://ok.example.com',
    'access-control-allow-methods': 'GET, PUT',
    'access-control-allow-credentials': 'true',
    'access-control-max-age': '600',
  });
  expect((await preflight('https://evil.example.com')).headers.get('access-control-allow-origin')).toBeNull();
  const actual = await ask('/cors', { headers: { origin: 'https://ok.example.com' } });
  expect(actual.headers.get('access-control-allow-origin')).toBe('https://ok.example.com');
  expect(((await actual.json()) as Echo).version).toBe('v1');
});

const sleepy =
  (ms: number): typeof answer =>
  async (echo) => {
    await Bun.sleep(ms);
    return Response.json(echo);
  };

test('a request that takes too long is 504 with UT', async () => {
  await answeredBy(sleepy(5_000), async () => {
    for (const path of ['/timeout', '/try-timeout', '/vs-try-timeout']) {
      const start = performance.now();
      expect({ path, status: (await ask(path)).status }).toEqual({ path, status: 504 });
      expect(performance.now() - start).toBeLessThan(4_000);
      await logged(path, 'UT');
    }
  });
  expect((await ask('/timeout')).status).toBe(200);
});

/** One line every `ms` milliseconds, ten of them. */
const trickle =
  (ms: number): typeof answer =>
  () =>
    new Response(
      new ReadableStream({
        async start(controller) {
          for (let i = 0; i < 10; i++) {
            controller.enqueue(new TextEncoder().encode(`${i}\n`));
            await Bun.sleep(ms);
          }
          controller.close();
        },
      }),
    );

test('a stream that has begun is cut by the limit of the request, and by none of an attempt as VirtualService has it', async () => {
  await answeredBy(trickle(300), async () => {
    expect(await (await ask('/vs-try-timeout')).text()).toBe('0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n');
    for (const path of ['/timeout', '/try-timeout']) {
      const response = await ask(path);
      expect(response.status).toBe(200);
      expect(
        await response.text().then(
          () => 'whole',
          () => 'cut',
        ),
      ).toBe('cut');
    }
  });
});

test('an exchange in which nothing moves is 504 with SI, one that trickles goes on', async () => {
  await answeredBy(sleepy(2000), async () => {
    expect((await ask('/idle')).status).toBe(504);
    await logged('/idle', 'SI');
  });
  await answeredBy(trickle(100), async () => expect(await (await ask('/idle')).text()).toContain('9'));
});

test('a status is tried again with the same body, and given up after as many times as the route says', async () => {
  let count = 0;
  await answeredBy(
    (echo) => (++count < 3 ? new Response('no', { status: 503 }) : Response.json(echo)),
    async () => expect(await echoed('/retry', { method: 'POST', body: 'again' })).toMatchObject({ body: 'again', method: 'POST' }),
  );
  expect(count).toBe(3);
  count = 0;
  await answeredBy(
    () => {
      count++;
      return new Response('still no', { status: 503 });
    },
    async () => {
      const response = await ask('/retry', { method: 'POST', body: 'again' });
      expect([response.status, await response.text()]).toEqual([503, 'still no']);
    },
  );
  expect(count).toBe(4);
  await logged('/retry', 'URX');
});

test('an attempt that takes too long is tried again', async () => {
  let count = 0;
  await answeredBy(
    async (echo) => {
      if (++count < 3) await Bun.sleep(3_000);
      return Response.json(echo);
    },
    async () => expect((await ask('/retry-timeout')).status).toBe(200),
  );
  expect(count).toBe(3);
});

test('a body too large to keep is not tried again', async () => {
  let count = 0;
  await answeredBy(
    () => {
      count++;
      return new Response('no', { status: 503 });
    },
    async () => expect((await ask('/retry', { method: 'POST', body: 'x'.repeat(1_000_000) })).status).toBe(503),
  );
  expect(count).toBe(1);
});

test('a reset is tried again where the route says so', async () => {
  const bodies: string[] = [];
  raw.accept = (wire: Wire) => {
    void (async () => {
      const request = await wire.message();
      bodies.push(request.body);
      if (bodies.length < 3) wire.reset();
      else wire.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    })();
  };
  expect(await (await ask('/retry-reset', { method: 'POST', body: 'body' })).text()).toBe('ok');
  expect(bodies).toEqual(['body', 'body', 'body']);
});

test('an endpoint that cannot be reached costs no request while there is another', async () => {
  for (let i = 0; i < 20; i++) expect((await echoed('/half-dead', { method: 'POST', body: String(i) })).body).toBe(String(i));
  expect((await ask('/no-retry')).status).toBe(200);
});

test('faults delay and abort', async () => {
  const start = performance.now();
  expect((await ask('/delay')).status).toBe(200);
  expect(performance.now() - start).toBeGreaterThan(290);
  await logged('/delay', 'DI');
  expect((await ask('/abort')).status).toBe(555);
  await logged('/abort', 'FI');
  const total = 500;
  const statuses = await Promise.all(Array.from({ length: total }, async () => (await ask('/some-abort')).status));
  const aborted = statuses.filter((status) => status === 555).length;
  expect(Math.abs(aborted - total * 0.3)).toBeLessThan(4.5 * Math.sqrt(total * 0.3 * 0.7));
});

test('a session stays where it began, by cookie and by header', async () => {
  for (let round = 0; round < 5; round++) {
    const first = await ask('/cookie');
    const { version } = (await first.json()) as Echo;
    const cookie = first.headers.get('set-cookie')!.split(';')[0]!;
    for (let i = 0; i < 10; i++) expect((await echoed('/cookie', { headers: { cookie } })).version).toBe(version);
    const other = await ask('/header');
    const session = other.headers.get('x-session')!;
    const kept = ((await other.json()) as Echo).version;
    for (let i = 0; i < 10; i++) expect((await echoed('/header', { headers: { 'x-session': session } })).version).toBe(kept);
  }
  const versions = new Set<string>();
  for (let i = 0; i < 40; i++) versions.add((await echoed('/cookie')).version);
  expect([...versions].sort()).toEqual(['v1', 'v2', 'v3']);
});

test('a key stays on its endpoint, and keys are spread over all', async () => {
  const owners = new Map<string, string>();
  for (let key = 0; key < 30; key++) owners.set(String(key), (await echoed('/ring', { headers: { 'x-key': String(key) } })).version);
  expect([...new Set(owners.values())].sort()).toEqual(['v1', 'v2', 'v3']);
  for (const [key, version] of owners) expect((await echoed('/ring', { headers: { 'x-key': key } })).version).toBe(version);
});

test('an endpoint that fails again and again is left out for a while', async () => {
  const count = async (): Promise<Record<string, number>> => {
    const counts: Record<string, number> = { v1: 0, v2: 0, v3: 0 };
    for (let i = 0; i < 30; i++) counts[(await ask('/outlier')).headers.get('x-version')!]!++;
    return counts;
  };
  const failing =
    (bad: boolean): typeof answer =>
    ({ version }) =>
      new Response('', { status: bad && version === 'v2' ? 500 : 200, headers: { 'x-version': version } });
  const ill = await answeredBy(failing(true), count);
  expect(ill['v2']).toBe(3);
  await Bun.sleep(2300);
  const well = await answeredBy(failing(false), count);
  expect(well['v2']).toBeGreaterThan(5);
}, 20_000);

test('a subset is only its own, and an empty one is 503 with UH', async () => {
  for (let i = 0; i < 10; i++) expect((await echoed('/subset')).version).toBe('v2');
  expect((await ask('/no-subset')).status).toBe(503);
  await logged('/no-subset', 'UH');
});

test('a backend that may not be used is 500 with NC, for its share', async () => {
  for (const path of ['/invalid', '/no-weight']) {
    expect((await ask(path)).status).toBe(500);
    await logged(path, 'NC');
  }
  const statuses = await Promise.all(Array.from({ length: 200 }, async () => (await ask('/part-invalid')).status));
  const failed = statuses.filter((status) => status === 500).length;
  expect(Math.abs(failed - 100)).toBeLessThan(4.5 * Math.sqrt(50));
});

test('a client’s namespace chooses the routes its own people wrote', async () => {
  // The lab's client is of the namespace `clients`.
  expect((await echoed('/', {}, consumed)).version).toBe('v2');
});

test('more requests than the pool allows are 503 with UO', async () => {
  await answeredBy(sleepy(500), async () => {
    const statuses = await Promise.all(Array.from({ length: 5 }, async () => (await ask('/limited')).status));
    expect(statuses.sort()).toEqual([200, 200, 503, 503, 503]);
  });
  expect(lab.log).toMatch(/\/limited HTTP\/1.1" 503 UO /);
});

test('a field that cannot be sent is an error of the route, and nothing breaks', async () => {
  expect((await ask('/bad-header')).status).toBe(500);
  expect((await ask('/bad-answer')).status).toBe(500);
  expect((await ask('/ab')).status).toBe(200);
});

test('metrics and log say what happened', async () => {
  const front = { reporter: 'waypoint', source_workload_namespace: 'clients', connection_security_policy: 'mutual_tls' };
  expect(lab.metric('istio_requests_total', { ...front, response_code: '200', response_flags: '-' })).toBeGreaterThan(2000);
  expect(lab.metric('istio_requests_total', { response_code: '504', response_flags: 'UT' })).toBeGreaterThanOrEqual(3);
  expect(lab.metric('istio_requests_total', { response_code: '555', response_flags: 'FI' })).toBeGreaterThanOrEqual(1);
  expect(lab.metric('istio_requests_total', { response_code: '404', response_flags: 'NR' })).toBe(1);
  expect(lab.metric('istio_request_duration_milliseconds_count', { response_code: '200' })).toBeGreaterThan(2000);
  const line = await logged('/redirect');
  expect(line).toMatch(
    /^\[20\S+Z\] "GET \/redirect\/x\?y=1 HTTP\/1\.1" 301 - redirect - "-" 0 0 \d+ - "-" "Bun\/\S+" "[0-9a-f-]{36}" "127\.0\.0\.1:\d+" "-" - - 240\.0\.0\.\d+:80 127\.0\.0\.1:\d+ - redirect$/,
  );
});
