/**
 * One route plan that uses every feature of the data path, and the backends it leads to. Both proxies run it: ours as it is, Envoy as `envoy-config.ts`
 * translates it. Each action says its name in the response field `x-route`, so that the rule that was taken can be compared.
 */
import type { HttpAction, HttpMatch, HttpRule, ServicePlan, WeightedBackend } from '../../../src/mesh/http/index.ts';
import { keyOf } from '../lab.ts';

/** Backends by service name; the last number of the loopback address they have in either proxy's network. `gone` listens nowhere. */
export const BACKENDS = { app: 21, canary: 22, shadow: 23, gone: 24 } as const;
export type BackendName = keyof typeof BACKENDS;
export const BACKEND_PORT = 8080;
/** The service port clients ask for. */
export const SERVICE_PORT = 80;

const to = (name: BackendName, extra: Partial<WeightedBackend> = {}): WeightedBackend => ({
  service: keyOf(name),
  port: SERVICE_PORT,
  weight: 1,
  ...extra,
});

type Route = Omit<HttpAction, 'name' | 'backends'> & { readonly name: string; readonly backends?: readonly WeightedBackend[] };

const segments = (value: string): HttpMatch => ({ path: { kind: 'segments', value } });
const prefix = (value: string): HttpMatch => ({ path: { kind: 'prefix', value } });
const exact = (value: string): HttpMatch => ({ path: { kind: 'exact', value } });
const header = (name: string, kind: 'exact' | 'prefix' | 'suffix' | 'regex' | 'present', value: string, isInverted = false) => ({
  name,
  condition: { kind, value },
  ...(isInverted ? { isInverted } : {}),
});

const matching: readonly (readonly [HttpMatch, Route])[] = [
  [exact('/exact'), { name: 'exact' }],
  [{ path: { kind: 'exact', value: '/AnyCase', ignoreCase: true } }, { name: 'exact-any-case' }],
  [segments('/seg'), { name: 'segments' }],
  [segments('/seg2/'), { name: 'segments-slash' }],
  [{ path: { kind: 'segments', value: '/Seg3', ignoreCase: true } }, { name: 'segments-any-case' }],
  [prefix('/pre'), { name: 'prefix' }],
  [{ path: { kind: 'prefix', value: '/Uk', ignoreCase: true } }, { name: 'prefix-any-case' }],
  [{ path: { kind: 'regex', value: '/re/[0-9]+(/.*)?' } }, { name: 'regex' }],
  [
    { ...exact('/method'), method: { kind: 'exact', value: 'PUT' } },
    { name: 'method-put', backends: [to('canary')] },
  ],
  [{ ...exact('/method'), method: { kind: 'regex', value: 'G.T|PURGE' } }, { name: 'method-regex' }],
  [{ ...segments('/header'), headers: [header('x-a', 'exact', 'one')] }, { name: 'header-exact' }],
  [{ ...segments('/header'), headers: [header('x-a', 'prefix', 'pre')] }, { name: 'header-prefix' }],
  [{ ...segments('/header'), headers: [header('x-a', 'suffix', 'end')] }, { name: 'header-suffix' }],
  [{ ...segments('/header'), headers: [header('x-a', 'regex', '[a-c]+')] }, { name: 'header-regex' }],
  [{ ...segments('/header'), headers: [header('x-j', 'exact', 'one,two')] }, { name: 'header-list' }],
  [{ ...segments('/header'), headers: [header('x-p', 'present', '')] }, { name: 'header-present' }],
  [{ ...segments('/header'), headers: [header('cookie', 'regex', '^(.*?;)?(user=jason)(;.*)?$')] }, { name: 'header-cookie' }],
  [
    { ...segments('/header'), headers: [{ name: 'x-i', condition: { kind: 'exact', value: 'YES', ignoreCase: true } }] },
    { name: 'header-any-case' },
  ],
  [{ ...segments('/without'), headers: [header('x-a', 'exact', 'no', true)] }, { name: 'without-value' }],
  [{ ...segments('/without'), headers: [header('x-b', 'present', '', true)] }, { name: 'without-present' }],
  [{ ...segments('/query'), query: [header('a', 'exact', '1')] }, { name: 'query-exact' }],
  [{ ...segments('/query'), query: [header('b', 'regex', '[0-9]+')] }, { name: 'query-regex' }],
  [{ ...segments('/query'), query: [header('c', 'present', '')] }, { name: 'query-present' }],
  [{ ...segments('/query'), query: [header('d', 'prefix', 'p%20')] }, { name: 'query-encoded' }],
  [{ ...segments('/authority'), authority: { kind: 'exact', value: 'exact.test' } }, { name: 'authority-exact' }],
  [{ ...segments('/authority'), authority: { kind: 'prefix', value: 'api.' } }, { name: 'authority-prefix' }],
  [{ ...segments('/authority'), authority: { kind: 'regex', value: '[a-z]+\\.regex\\.test(:[0-9]+)?' } }, { name: 'authority-regex' }],
  [{ ...segments('/host'), hosts: ['one.test', '*.wild.test'] }, { name: 'hosts' }],
  [{ ...segments('/scheme'), scheme: { kind: 'exact', value: 'https' } }, { name: 'scheme-https' }],
  [{ ...segments('/scheme'), scheme: { kind: 'exact', value: 'http' } }, { name: 'scheme-http' }],
];

const actions: readonly (readonly [HttpMatch, Route])[] = [
  [segments('/weight/none-all'), { name: 'weight-0-100', backends: [to('app', { weight: 0 }), to('canary', { weight: 100 })] }],
  [segments('/weight/all-none'), { name: 'weight-100-0', backends: [to('app', { weight: 100 }), to('canary', { weight: 0 })] }],
  [segments('/weight/zero'), { name: 'weight-zero', backends: [to('app', { weight: 0 })] }],
  [segments('/no-backend'), { name: 'no-backend', backends: [] }],
  [segments('/invalid-backend'), { name: 'invalid-backend', backends: [to('app', { invalid: 'refers to nothing' })] }],
  [segments('/redirect/scheme'), { name: 'redirect-scheme', redirect: { status: 301, scheme: 'https' }, backends: [] }],
  [segments('/redirect/host'), { name: 'redirect-host', redirect: { status: 302, host: 'other.test' }, backends: [] }],
  [segments('/redirect/port'), { name: 'redirect-port', redirect: { status: 307, port: 8443 }, backends: [] }],
  [
    segments('/redirect/default-port'),
    { name: 'redirect-default-port', redirect: { status: 302, scheme: 'https', port: 443 }, backends: [] },
  ],
  [
    segments('/redirect/full'),
    { name: 'redirect-full', redirect: { status: 302, path: { kind: 'full', value: '/elsewhere' } }, backends: [] },
  ],
  [
    segments('/redirect/prefix'),
    {
      name: 'redirect-prefix',
      redirect: { status: 308, host: 'h.test', path: { kind: 'prefix', match: '/redirect/prefix', value: '/new' } },
      backends: [],
    },
  ],
  [segments('/rewrite/prefix'), { name: 'rewrite-prefix', rewrite: { path: { kind: 'prefix', match: '/rewrite/prefix', value: '/p' } } }],
  [segments('/rewrite/strip'), { name: 'rewrite-strip', rewrite: { path: { kind: 'prefix', match: '/rewrite/strip', value: '/' } } }],
  [prefix('/rewrite/chars'), { name: 'rewrite-chars', rewrite: { path: { kind: 'prefix', match: '/rewrite/chars', value: '/c' } } }],
  [segments('/rewrite/full'), { name: 'rewrite-full', rewrite: { path: { kind: 'full', value: '/all/new' } } }],
  [
    segments('/rewrite/regex'),
    { name: 'rewrite-regex', rewrite: { path: { kind: 'regex', pattern: '/rewrite/regex/([^/]+)/(.*)', substitution: '/\\2/\\1' } } },
  ],
  [segments('/rewrite/host'), { name: 'rewrite-host', rewrite: { host: 'new.test' } }],
  [
    segments('/edit'),
    {
      name: 'edit',
      requestHeaders: { remove: ['x-remove'], set: [['x-set', 'route']], add: [['x-add', 'route']] },
      responseHeaders: { remove: ['x-secret'], set: [['x-version', 'route']], add: [['x-seen', 'route']] },
      backends: [
        to('app', {
          requestHeaders: { remove: ['x-gone'], set: [['x-backend-set', 'b']], add: [['x-add', 'backend']] },
          responseHeaders: { remove: ['x-hidden'], set: [['x-backend-version', 'b']], add: [['x-seen', 'backend']] },
        }),
      ],
    },
  ],
  [segments('/respond/text'), { name: 'respond', respond: { status: 203, body: 'said by the route' }, backends: [] }],
  [segments('/respond/empty'), { name: 'respond-empty', respond: { status: 403, body: '' }, backends: [] }],
  [
    segments('/cors'),
    {
      name: 'cors',
      cors: {
        allowOrigins: [
          { kind: 'exact', value: 'https://exact.test' },
          { kind: 'regex', value: 'https://[a-z]+\\.regex\\.test' },
        ],
        allowMethods: ['GET', 'PUT'],
        allowHeaders: ['x-one', 'x-two'],
        exposeHeaders: ['x-out'],
        allowCredentials: true,
        maxAgeSeconds: 600,
        forwardsUnmatchedPreflights: false,
      },
    },
  ],
  [
    segments('/cors-forward'),
    {
      name: 'cors-forward',
      cors: {
        allowOrigins: [{ kind: 'exact', value: 'https://exact.test' }],
        allowMethods: ['GET'],
        allowHeaders: [],
        exposeHeaders: [],
        allowCredentials: false,
        forwardsUnmatchedPreflights: true,
      },
    },
  ],
  [segments('/timeout/request'), { name: 'timeout-request', timeouts: { request: 250 } }],
  [segments('/timeout/try'), { name: 'timeout-try', retry: { attempts: 1, perTryTimeout: 250, statuses: [], on: ['5xx'], backoff: 5 } }],
  [segments('/retry/5xx'), { name: 'retry-5xx', retry: { attempts: 2, statuses: [], on: ['5xx'], backoff: 5 } }],
  [segments('/retry/gateway'), { name: 'retry-gateway', retry: { attempts: 2, statuses: [], on: ['gateway-error'], backoff: 5 } }],
  [segments('/retry/status'), { name: 'retry-status', retry: { attempts: 2, statuses: [429], on: [], backoff: 5 } }],
  [segments('/retry/reset'), { name: 'retry-reset', retry: { attempts: 2, statuses: [], on: ['reset'], backoff: 5 } }],
  [segments('/retry/grpc'), { name: 'retry-grpc', retry: { attempts: 2, statuses: [], on: ['unavailable'], backoff: 5 } }],
  [segments('/retry/none'), { name: 'retry-none', retry: { attempts: 0, statuses: [], on: [] } }],
  [segments('/gone'), { name: 'gone', backends: [to('gone')] }],
  [segments('/fault/http'), { name: 'fault-http', fault: { abort: { percentage: 100, httpStatus: 418 } } }],
  [segments('/fault/grpc'), { name: 'fault-grpc', fault: { abort: { percentage: 100, grpcStatus: 14 } } }],
  [segments('/fault/delay'), { name: 'fault-delay', fault: { delay: { percentage: 100, duration: 30 } } }],
  [segments('/fault/never'), { name: 'fault-never', fault: { abort: { percentage: 0, httpStatus: 418 } } }],
  [
    segments('/mirror'),
    { name: 'mirror', mirrors: [{ backend: { service: keyOf('shadow'), port: SERVICE_PORT }, numerator: 100, denominator: 100 }] },
  ],
  // The header keeps a 404 possible: a request that has it matches nothing.
  [{ headers: [header('x-nowhere', 'present', '', true)], ...prefix('/') }, { name: 'default' }],
];

/** Edits of the route itself stay; every action names itself. */
const named = ({ backends, ...route }: Route): HttpAction => {
  const edit = route.responseHeaders ?? { remove: [], set: [], add: [] };
  return { ...route, backends: backends ?? [to('app')], responseHeaders: { ...edit, set: [...edit.set, ['x-route', route.name]] } };
};

const table = [...matching, ...actions];
const rules: readonly HttpRule[] = table.map(([match], action) => ({ match, action }));

export const PLAN: ServicePlan = {
  service: keyOf('app'),
  ports: [{ port: SERVICE_PORT, http: { rules, actions: table.map(([, route]) => named(route)) } }],
};
