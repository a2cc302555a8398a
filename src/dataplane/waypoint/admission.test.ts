import { expect, test } from 'bun:test';
import { admit } from './admission.ts';
import type { RequestHead } from './messages.ts';

const head = (given: Partial<RequestHead>): RequestHead => ({
  method: 'GET',
  path: '/',
  authority: 'app.test',
  scheme: 'http',
  headers: [],
  version: 'HTTP/1.1',
  contentLength: 0,
  upgrade: '',
  acceptsTrailers: false,
  ...given,
});
const admitted = (given: Partial<RequestHead>): RequestHead => {
  const result = admit(head(given));
  if (typeof result === 'string') throw new Error(result);
  return result;
};

test('routes see the path without detours', () => expect(admitted({ path: '/public/%2e%2e/admin?a=/../b' }).path).toBe('/admin?a=/../b'));
test('a path with an encoded NUL is refused', () => expect(admit(head({ path: '/a%00.html' }))).toBe('the path holds an encoded NUL'));
test('a standard method in another case is refused, others have the case they have', () => {
  expect(admit(head({ method: 'delete' }))).toBe('the method is not in upper case');
  expect(admitted({ method: 'purge' }).method).toBe('purge');
});
test('what is too long to be a method is refused', () => expect(admit(head({ method: 'A'.repeat(65) }))).toBe('the method is too long'));
test('endpoints learn the scheme', () => expect(admitted({}).headers).toEqual([['x-forwarded-proto', 'http']]));
test('the scheme is what the gateway in front says, if that is one', () => {
  const proto = (value: string) => admitted({ headers: [['x-forwarded-proto', value]] });
  expect(proto('HTTPS')).toMatchObject({ scheme: 'https', headers: [['x-forwarded-proto', 'HTTPS']] });
  expect(proto('')).toMatchObject({ scheme: 'http', headers: [['x-forwarded-proto', 'http']] });
  expect(proto('gopher')).toMatchObject({ scheme: 'http', headers: [['x-forwarded-proto', 'gopher']] });
});
test('HTTP/2 names its scheme itself', () => {
  expect(admitted({ version: 'HTTP/2', headers: [['x-forwarded-proto', 'https']] }).scheme).toBe('http');
  expect(admitted({ version: 'HTTP/2', scheme: 'HTTPS' })).toMatchObject({ scheme: 'https', headers: [['x-forwarded-proto', 'http']] });
});
test('HTTP/2 without an authority is refused, HTTP/1.0 is not', () => {
  expect(admit(head({ version: 'HTTP/2', authority: '' }))).toBe('neither :authority nor host');
  expect(admitted({ version: 'HTTP/1.0', authority: '' }).authority).toBe('');
});
test('a client cannot say which certificate it has', () =>
  expect(
    admitted({
      headers: [
        ['x-forwarded-client-cert', 'URI=spiffe://evil'],
        ['x-forwarded-proto', 'http'],
        ['a', 'b'],
      ],
    }).headers,
  ).toEqual([
    ['x-forwarded-proto', 'http'],
    ['a', 'b'],
  ]));
