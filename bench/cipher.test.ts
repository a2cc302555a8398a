import { expect, test } from 'bun:test';
import { suiteOf } from './cipher.ts';

/** A server's hello up to its cipher suite, and one octet more. */
function hello(suite: number, session: number): Uint8Array {
  const bytes = new Uint8Array(5 + 4 + 2 + 32 + 1 + session + 2 + 1);
  bytes.set([22, 3, 3, 0, 100, 2, 0, 0, 96, 3, 3]);
  bytes[43] = session;
  bytes.set([suite >> 8, suite & 255], 44 + session);
  return bytes;
}

test('the suite stands behind a session id of any length', () => {
  expect(suiteOf(hello(0x1301, 32))).toBe('AES-128-GCM');
  expect(suiteOf(hello(0x1302, 0))).toBe('AES-256-GCM');
  expect(suiteOf(hello(0x13ff, 32))).toBe('0x13ff');
});

test('what is no server hello, or a part of one, names no suite', () => {
  expect(suiteOf(Uint8Array.of())).toBeUndefined();
  expect(suiteOf(new TextEncoder().encode('HTTP/1.1 200 OK\r\n\r\n'))).toBeUndefined();
  expect(suiteOf(hello(0x1301, 32).subarray(0, 77))).toBeUndefined();
  const client = hello(0x1301, 32);
  client[5] = 1;
  expect(suiteOf(client)).toBeUndefined();
});
