import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import type { SessionPersistence } from './plan.ts';
import { cookieValue, decodeSession, encodeSession, readSession, type Session, writeSession } from './session.ts';

const backend = { service: 'default/reviews.default.svc.cluster.local', port: 80, subset: 'v1' };
const endpoint = 'Kubernetes//Pod/default/reviews-1:8080';
const session: Session = { backend, endpoint, startedAt: 1_000, usedAt: 1_000 };
const cookie: SessionPersistence = { kind: 'cookie', name: 'sid', path: '/a' };
const header: SessionPersistence = { kind: 'header', name: 'X-Session' };
const asCookie = (value: Session | string) => [['cookie', `a=b; sid=${typeof value === 'string' ? value : encodeSession(value)}`]] as const;

describe('a value', () => {
  test('comes out as it went in', () => {
    expect(decodeSession(encodeSession(session))).toEqual(session);
    const { subset: _, ...whole } = backend;
    expect(decodeSession(encodeSession({ ...session, backend: whole }))).toEqual({ ...session, backend: whole });
  });

  test('fits a cookie as it is', () => expect(encodeSession(session)).toMatch(/^[A-Za-z0-9_-]+$/));

  test('that is anything else is no session', () => {
    const raw = (...fields: string[]) => btoa(fields.join('\n')).replace(/=+$/, '');
    const good = ['1', 'rs', 'rs', 'a/b', '80', '', 'e:1'];
    expect(decodeSession(raw(...good))).toMatchObject({ startedAt: 1_000, backend: { service: 'a/b', port: 80 } });
    for (const [index, field] of [
      [0, '2'],
      [1, ''],
      [1, '-1'],
      [1, 'rt'],
      [2, 'zzzzzzzzzzzzzzz'],
      [3, ''],
      [4, '65536'],
      [4, '080'],
      [6, ''],
    ] as const)
      expect(decodeSession(raw(...good.with(index, field)))).toBeUndefined();
    expect(decodeSession(raw(...good, 'more'))).toBeUndefined();
    expect(decodeSession(`${raw(...good)}=`)).toBeUndefined();
    expect(decodeSession('a'.repeat(3_000))).toBeUndefined();
  });

  test('of garbage never throws, and one that decodes is one that was encoded', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.base64String().map((text) => text.replace(/=+$/, '')),
        ),
        (text) => {
          const decoded = decodeSession(text);
          if (decoded !== undefined) expect(encodeSession(decoded)).toBe(text);
        },
      ),
    );
  });
});

describe('a request', () => {
  const at = (seconds: number) => seconds * 1_000;
  test('belongs to the session of its cookie or header', () => {
    expect(readSession(cookie, asCookie(session), at(2_000))).toEqual(session);
    expect(readSession(header, [['x-session', encodeSession(session)]], at(2_000))).toEqual(session);
    expect(readSession(cookie, [], at(2_000))).toBeUndefined();
    expect(readSession(cookie, asCookie('nonsense'), at(2_000))).toBeUndefined();
  });

  test('belongs to none when it ended, was idle too long, or has not begun', () => {
    const aged = { ...cookie, absoluteTimeout: 60_000 };
    expect(readSession(aged, asCookie(session), at(1_059))).toEqual(session);
    expect(readSession(aged, asCookie(session), at(1_060))).toBeUndefined();
    const idle = { ...cookie, idleTimeout: 10_000 };
    expect(readSession(idle, asCookie({ ...session, usedAt: 1_050 }), at(1_059))).toBeDefined();
    expect(readSession(idle, asCookie({ ...session, usedAt: 1_050 }), at(1_060))).toBeUndefined();
    expect(readSession(cookie, asCookie(session), at(930))).toBeUndefined();
  });
});

describe('a response', () => {
  const now = 2_000_500;
  test('of a new session sets the cookie', () => {
    const written = writeSession({ ...cookie, absoluteTimeout: 60_000 }, backend, endpoint, undefined, now);
    expect(written?.[0]).toBe('set-cookie');
    expect(written?.[1]).toBe(
      `sid=${encodeSession({ backend, endpoint, startedAt: 2_000, usedAt: 2_000 })}; Path=/a; Max-Age=60; HttpOnly`,
    );
  });

  test('of a session that goes on sets nothing, unless idle time counts anew', () => {
    expect(writeSession(cookie, backend, endpoint, session, now)).toBeUndefined();
    const written = writeSession({ ...cookie, idleTimeout: 60_000, absoluteTimeout: 2_000_000 }, backend, endpoint, session, now);
    expect(written?.[1]).toContain(encodeSession({ ...session, usedAt: 2_000 }));
    expect(written?.[1]).toContain('Max-Age=1000;');
  });

  test('from another endpoint starts anew', () => {
    const written = writeSession(header, backend, 'other:1', session, now);
    expect(written).toEqual(['x-session', encodeSession({ backend, endpoint: 'other:1', startedAt: 2_000, usedAt: 2_000 })]);
  });
});

test('the first cookie of the name counts, in whichever field it is', () => {
  const headers = [
    ['x', 'sid=0'],
    ['cookie', 'a=1;b'],
    ['cookie', ' xsid=3; sid = 1=2 ; sid=4'],
  ] as const;
  expect(cookieValue(headers, 'sid')).toBe('1=2');
  expect(cookieValue(headers, 'b')).toBeUndefined();
});
