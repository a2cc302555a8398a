/**
 * Session persistence (GEP-1619): which backend and endpoint first served a client, kept by the client in a cookie or header. A value grants nothing: it can
 * only choose among what the route would choose from anyway, so it is checked, not signed.
 */
import type { HeaderList } from '../../protocol/index.ts';
import type { Backend, SessionPersistence } from './plan.ts';

/** What a client's value says. The caller checks that the route has such a backend and that backend such an endpoint. */
export interface Session {
  readonly backend: Backend;
  /** `EndpointState.key`. */
  readonly endpoint: string;
  /** Seconds since 1970. */
  readonly startedAt: number;
  readonly usedAt: number;
}

/** Characters of a value: what a service name, a subset and a workload uid take at most. */
const MAX_VALUE = 2_048;
/** Seconds that another waypoint's clock may be ahead. */
const MAX_SKEW = 60;
const VERSION = '1';

const encodeText = (text: string): string =>
  btoa(String.fromCharCode(...new TextEncoder().encode(text)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');

const decodeText = (value: string): string | undefined => {
  if (value.length > MAX_VALUE || !/^[A-Za-z0-9_-]+$/.test(value) || value.length % 4 === 1) return undefined;
  const bytes = Uint8Array.from(atob(value.replaceAll('-', '+').replaceAll('_', '/')), (character) => character.charCodeAt(0));
  const text = new TextDecoder().decode(bytes);
  return encodeText(text) === value ? text : undefined;
};

const number = (text: string | undefined, radix: number, most: number): number | undefined => {
  if (text === undefined || !/^(0|[1-9a-z][0-9a-z]*)$/.test(text)) return undefined;
  const value = Number.parseInt(text, radix);
  return value.toString(radix) === text && value <= most ? value : undefined;
};

/** Fields are kept apart by a line feed, which is in none of the names. */
export const encodeSession = ({ backend, endpoint, startedAt, usedAt }: Session): string =>
  encodeText(
    [VERSION, startedAt.toString(36), usedAt.toString(36), backend.service, backend.port, backend.subset ?? '', endpoint].join('\n'),
  );

/** Undefined for anything `encodeSession` does not make. */
export const decodeSession = (value: string): Session | undefined => {
  const fields = decodeText(value)?.split('\n');
  if (fields?.length !== 7 || fields[0] !== VERSION) return undefined;
  const startedAt = number(fields[1], 36, Number.MAX_SAFE_INTEGER);
  const usedAt = number(fields[2], 36, Number.MAX_SAFE_INTEGER);
  const [service, portText, subset, endpoint] = fields.slice(3);
  const port = number(portText, 10, 65_535);
  if (startedAt === undefined || usedAt === undefined || usedAt < startedAt || port === undefined || !service || !endpoint)
    return undefined;
  return { backend: { service, port, ...(subset ? { subset } : {}) }, endpoint, startedAt, usedAt };
};

/** Whether the session may still be used, by the route's timeouts; `now` in milliseconds. */
const isCurrent = ({ absoluteTimeout, idleTimeout }: SessionPersistence, { startedAt, usedAt }: Session, now: number): boolean => {
  const seconds = now / 1000;
  if (usedAt > seconds + MAX_SKEW) return false;
  if (absoluteTimeout && seconds - startedAt >= absoluteTimeout / 1000) return false;
  return !(idleTimeout && seconds - usedAt >= idleTimeout / 1000);
};

/** The first cookie of that name (RFC 6265 section 5.4), over all `cookie` fields. */
export const cookieValue = (headers: HeaderList, name: string): string | undefined => {
  for (const [header, value] of headers) {
    if (header !== 'cookie') continue;
    for (const pair of value.split(';')) {
      const equals = pair.indexOf('=');
      if (equals >= 0 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim();
    }
  }
  return undefined;
};

/** The session the request belongs to; undefined when it has none that holds. `now` in milliseconds. */
export const readSession = (persistence: SessionPersistence, headers: HeaderList, now: number): Session | undefined => {
  const { kind, name } = persistence;
  const value = kind === 'cookie' ? cookieValue(headers, name) : headers.find(([header]) => header === name.toLowerCase())?.[1];
  const session = value === undefined ? undefined : decodeSession(value);
  return session !== undefined && isCurrent(persistence, session, now) ? session : undefined;
};

/**
 * The field that the response gets; undefined when what the client has is good: the same backend and endpoint, and no idle time to count anew.
 * `previous` is what `readSession` gave for the request. A header is set on every response, as clients keep no jar for it.
 */
export const writeSession = (
  persistence: SessionPersistence,
  backend: Backend,
  endpoint: string,
  previous: Session | undefined,
  now: number,
): readonly [name: string, value: string] | undefined => {
  const { kind, name, absoluteTimeout, idleTimeout, path } = persistence;
  const usedAt = Math.floor(now / 1000);
  const isSame =
    previous !== undefined &&
    previous.endpoint === endpoint &&
    previous.backend.service === backend.service &&
    previous.backend.port === backend.port &&
    previous.backend.subset === backend.subset;
  // A clock that is ahead elsewhere must not make a session that ends before it begins.
  const startedAt = isSame ? Math.min(previous.startedAt, usedAt) : usedAt;
  if (kind === 'header') return [name.toLowerCase(), encodeSession({ backend, endpoint, startedAt, usedAt })];
  if (isSame && !idleTimeout) return undefined;
  const attributes = [`${name}=${encodeSession({ backend, endpoint, startedAt, usedAt })}`, `Path=${path ?? '/'}`];
  if (absoluteTimeout) attributes.push(`Max-Age=${Math.max(0, Math.ceil(absoluteTimeout / 1000 - (now / 1000 - startedAt)))}`);
  attributes.push('HttpOnly');
  return ['set-cookie', attributes.join('; ')];
};
