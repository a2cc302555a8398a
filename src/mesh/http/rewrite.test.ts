import { describe, expect, test } from 'bun:test';
import type { PathMatch, Redirect, RequestView } from './plan.ts';
import { redirectLocation, rewritePath } from './rewrite.ts';

const segments = (value: string): PathMatch => ({ kind: 'segments', value });
const prefix = (value: string): PathMatch => ({ kind: 'prefix', value });

describe('a prefix of whole elements is replaced by the table of the Gateway API', () => {
  test.each([
    ['/foo/bar', '/foo', '/xyz', '/xyz/bar'],
    ['/foo/bar', '/foo', '/xyz/', '/xyz/bar'],
    ['/foo/bar', '/foo/', '/xyz', '/xyz/bar'],
    ['/foo/bar', '/foo/', '/xyz/', '/xyz/bar'],
    ['/foo', '/foo', '/xyz', '/xyz'],
    ['/foo/', '/foo', '/xyz', '/xyz/'],
    ['/foo/bar', '/foo', '', '/bar'],
    ['/foo/', '/foo', '', '/'],
    ['/foo', '/foo', '', '/'],
    ['/foo/', '/foo', '/', '/'],
    ['/foo', '/foo', '/', '/'],
    ['/foo/bar', '/', '/xyz', '/xyz/foo/bar'],
    ['/', '/', '/xyz', '/xyz/'],
    ['/foo/bar?a=/foo', '/foo', '/xyz', '/xyz/bar?a=/foo'],
  ])('%s, %s by %p: %s', (path, match, value, result) =>
    expect(rewritePath(path, { kind: 'prefix', match, value }, segments(match))).toBe(result),
  );
});

test('a prefix of characters is replaced as it stands', () => {
  expect(rewritePath('/foo/bar?q', { kind: 'prefix', match: '/foo/', value: '/xyz' }, prefix('/foo/'))).toBe('/xyzbar?q');
  expect(rewritePath('/FOO/bar', { kind: 'prefix', match: '/foo', value: '/x' }, { ...prefix('/foo'), ignoreCase: true })).toBe('/x/bar');
  expect(rewritePath('/other', { kind: 'prefix', match: '/foo', value: '/x' }, prefix('/foo'))).toBe('/other');
  expect(rewritePath('/a', { kind: 'prefix', match: '/', value: '/v1/' }, undefined)).toBe('/v1/a');
});

test('the whole path, or what a pattern finds in it, is replaced; the query stays', () => {
  expect(rewritePath('/a/b?c=/a', { kind: 'full', value: '/new' }, segments('/a'))).toBe('/new?c=/a');
  const regex = { kind: 'regex', pattern: '/v(\\d)', substitution: '/\\1' } as const;
  expect(rewritePath('/v1/v2?x=/v3', regex, undefined)).toBe('/1/2?x=/v3');
});

describe('redirects', () => {
  const request: RequestView = { method: 'GET', path: '/a/b?q=1', authority: 'Reviews:8080', scheme: 'http', headers: [] };
  const location = (redirect: Omit<Redirect, 'status'>, listenPort = 8080) =>
    redirectLocation({ status: 302, ...redirect }, request, segments('/a'), listenPort);

  test.each<[string, Omit<Redirect, 'status'>, number, string]>([
    ['the port the request came for', { host: 'x' }, 8080, 'http://x:8080/a/b?q=1'],
    ['no port when it is the scheme’s own', { host: 'x' }, 80, 'http://x/a/b?q=1'],
    ['the well-known port of a scheme that is given', { scheme: 'https' }, 8080, 'https://reviews/a/b?q=1'],
    ['the same scheme given', { scheme: 'http' }, 8080, 'http://reviews/a/b?q=1'],
    ['a scheme nobody knows', { scheme: 'ftp' }, 8080, 'ftp://reviews:8080/a/b?q=1'],
    ['a port that is given', { scheme: 'https', port: 8443 }, 80, 'https://reviews:8443/a/b?q=1'],
    ['a given port that the scheme implies', { scheme: 'https', port: 443 }, 80, 'https://reviews/a/b?q=1'],
    ['a given port of the other scheme', { scheme: 'http', port: 443 }, 80, 'http://reviews:443/a/b?q=1'],
    ['another prefix', { path: { kind: 'prefix', match: '/a', value: '/z' } }, 80, 'http://reviews/z/b?q=1'],
    ['another path', { path: { kind: 'full', value: '/z' } }, 80, 'http://reviews/z?q=1'],
  ])('%s', (_title, redirect, listenPort, result) => expect(location(redirect, listenPort)).toBe(result));
});
