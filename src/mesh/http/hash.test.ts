import { describe, expect, test } from 'bun:test';
import { hashText, rehash } from './hash.ts';
import { makeHashCookie, requestHash } from './hash-source.ts';
import type { RequestView } from './plan.ts';

test.each([
  ['', 0, 0],
  ['', 1, 0x514e28b7],
  ['aaaa', 0x9747b28c, 0x5a97808a],
  ['aaa', 0x9747b28c, 0x283e0130],
  ['aa', 0x9747b28c, 0x5d211726],
  ['a', 0x9747b28c, 0x7fa09ea6],
  ['Hello, world!', 0x9747b28c, 0x24884cba],
  ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
] as const)('MurmurHash3 of %p with seed %p', (text, seed, hash) => expect(hashText(text, seed)).toBe(hash));

test('another attempt is another hash', () => {
  const hashes = new Set(Array.from({ length: 100 }, (_, attempt) => rehash(1, attempt)));
  expect(hashes.size).toBe(100);
});

describe('a request is hashed by', () => {
  const request: RequestView = {
    method: 'GET',
    path: '/?user=u1',
    authority: 'a',
    scheme: 'http',
    headers: [
      ['x-user', 'u1'],
      ['cookie', 'c=u1'],
    ],
  };
  test('header, cookie, query parameter or address, all alike', () => {
    const expected = hashText('u1');
    expect(requestHash({ kind: 'header', name: 'X-User' }, request, '')).toBe(expected);
    expect(requestHash({ kind: 'cookie', name: 'c' }, request, '')).toBe(expected);
    expect(requestHash({ kind: 'query', name: 'user' }, request, '')).toBe(expected);
    expect(requestHash({ kind: 'source-ip' }, request, 'u1')).toBe(expected);
  });
  test('nothing when it has nothing of the kind', () => {
    expect(requestHash({ kind: 'header', name: 'x' }, request, '')).toBeUndefined();
    expect(requestHash({ kind: 'cookie', name: 'x' }, request, '')).toBeUndefined();
  });
  test('a cookie that is made where the policy has a lifetime for it', () => {
    expect(makeHashCookie({ kind: 'cookie', name: 'c', ttl: 1_500, path: '/a' }, 'id1')).toEqual({
      hash: hashText('id1'),
      setCookie: 'c=id1; Max-Age=2; Path=/a; HttpOnly',
    });
    expect(makeHashCookie({ kind: 'cookie', name: 'c', ttl: 0 }, 'id1')?.setCookie).toBe('c=id1; HttpOnly');
    expect(makeHashCookie({ kind: 'cookie', name: 'c' }, 'id1')).toBeUndefined();
  });
});
