import { describe, expect, test } from 'bun:test';
import type { HeaderList } from '../../protocol/index.ts';
import { corsPreflight, corsResponseEdit } from './cors.ts';
import type { Cors, RequestView } from './plan.ts';

const cors = (over: Partial<Cors> = {}): Cors => ({
  allowOrigins: [{ kind: 'exact', value: 'https://www.foo.com' }],
  allowMethods: ['GET', 'OPTIONS'],
  allowHeaders: ['x-header-1', 'x-header-2'],
  exposeHeaders: ['x-header-3'],
  allowCredentials: false,
  maxAgeSeconds: 3600,
  forwardsUnmatchedPreflights: false,
  ...over,
});
const request = (origin: string, over: Partial<RequestView> = {}): RequestView => ({
  method: 'OPTIONS',
  path: '/',
  authority: 'a',
  scheme: 'http',
  headers: [
    ['origin', origin],
    ['access-control-request-method', 'PUT'],
    ['access-control-request-headers', 'x-a, x-b'],
  ],
  ...over,
});
const fields = (headers: HeaderList | undefined) => headers && Object.fromEntries(headers);
const FOO = 'https://www.foo.com';

describe('a preflight', () => {
  test('of an allowed origin is answered with what is allowed', () => {
    expect(fields(corsPreflight(cors({ allowCredentials: true }), request(FOO))?.headers)).toEqual({
      'access-control-allow-origin': FOO,
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': 'GET, OPTIONS',
      'access-control-allow-headers': 'x-header-1, x-header-2',
      'access-control-expose-headers': 'x-header-3',
      'access-control-max-age': '3600',
      vary: 'origin',
    });
  });

  test('of another origin is answered without the fields, or goes on', () => {
    expect(corsPreflight(cors(), request('https://foo.com'))).toEqual({ status: 200, headers: [] });
    expect(corsPreflight(cors({ forwardsUnmatchedPreflights: true }), request('https://foo.com'))).toBeUndefined();
  });

  test('has the method OPTIONS, an origin and the method that is asked for', () => {
    expect(corsPreflight(cors(), request(FOO, { method: 'GET' }))).toBeUndefined();
    expect(corsPreflight(cors(), request(FOO, { headers: [['origin', FOO]] }))).toBeUndefined();
    expect(corsPreflight(cors(), request(FOO, { headers: [['access-control-request-method', 'GET']] }))).toBeUndefined();
  });

  const all = { allowOrigins: [{ kind: 'exact', value: '*' }], allowMethods: ['*'], allowHeaders: ['*'], exposeHeaders: ['*'] } as const;
  test('with everything allowed and no credentials says so', () => {
    expect(fields(corsPreflight(cors(all), request(FOO))?.headers)).toEqual({
      'access-control-allow-origin': '*',
      'access-control-allow-methods': '*',
      'access-control-allow-headers': '*',
      'access-control-expose-headers': '*',
      'access-control-max-age': '3600',
    });
  });

  test('with everything allowed and credentials names what was asked for, never *', () => {
    expect(fields(corsPreflight(cors({ ...all, allowCredentials: true }), request(FOO))?.headers)).toEqual({
      'access-control-allow-origin': FOO,
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': 'PUT',
      'access-control-allow-headers': 'x-a, x-b',
      'access-control-max-age': '3600',
      vary: 'origin',
    });
  });
});

describe('origins', () => {
  test.each([
    ['https://*.bar.com', 'https://www.bar.com', true],
    ['https://*.bar.com', 'https://xpto.www.bar.com', true],
    ['https://*.bar.com', 'https://bar.com', false],
    ['https://*.bar.com', 'https://.bar.com', false],
    ['https://*.bar.com', 'http://www.bar.com', false],
    ['https://*.bar.com', 'https://evil.com/.bar.com', false],
    ['https://*.bar.com', 'https://www.bar.com:8443', false],
    ['https://*.bar.com:8443', 'https://www.bar.com:8443', true],
    ['https://*', 'https://anything', true],
    ['https://*', 'https://[::1]', true],
    ['https://*', 'https://anything:8443', false],
    ['*', 'null', true],
    [FOO, 'https://www.foo.com.evil.com', false],
  ])('%s: %s: %p', (value, origin, allowed) => {
    const answer = corsPreflight(cors({ allowOrigins: [{ kind: 'exact', value }] }), request(origin));
    expect(answer?.headers.length !== 0).toBe(allowed);
  });

  test('may be told by prefix or pattern', () => {
    const answer = (allowOrigins: Cors['allowOrigins'], origin: string) =>
      corsPreflight(cors({ allowOrigins }), request(origin))?.headers.length;
    expect(answer([{ kind: 'prefix', value: 'https://foo' }], 'https://foobar.com')).not.toBe(0);
    expect(answer([{ kind: 'regex', value: 'https://[a-z]+\\.com' }], 'https://foo.com')).not.toBe(0);
    expect(answer([{ kind: 'regex', value: 'https://[a-z]+\\.com' }], 'https://foo.com.evil')).toBe(0);
  });
});

describe('the response to an actual request', () => {
  const get = (origin: string) => request(origin, { method: 'GET' });
  test('of an allowed origin gets our fields instead of the backend’s', () => {
    expect(corsResponseEdit(cors(), get(FOO), [['access-control-allow-credentials', 'true']])).toEqual({
      remove: ['access-control-allow-credentials'],
      set: [
        ['access-control-allow-origin', FOO],
        ['access-control-expose-headers', 'x-header-3'],
      ],
      add: [['vary', 'origin']],
    });
  });

  test('that varies by origin already does not say so twice', () => {
    expect(corsResponseEdit(cors(), get(FOO), [['vary', 'Accept, Origin']])?.add).toEqual([]);
    expect(corsResponseEdit(cors(), get(FOO), [['vary', 'Accept']])?.add).toEqual([['vary', 'origin']]);
  });

  test('of another origin, or of none, stays as it is', () => {
    expect(corsResponseEdit(cors(), get('https://foo.com'), [])).toBeUndefined();
    expect(corsResponseEdit(cors(), { ...get(FOO), headers: [] }, [])).toBeUndefined();
  });

  test('with credentials and everything exposed names the fields there are', () => {
    const edit = corsResponseEdit(cors({ exposeHeaders: ['*'], allowCredentials: true }), get(FOO), [
      ['x-a', '1'],
      ['x-a', '2'],
      ['date', ''],
    ]);
    expect(edit?.set).toContainEqual(['access-control-expose-headers', 'x-a, date']);
  });
});
