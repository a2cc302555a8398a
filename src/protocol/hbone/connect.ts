import type { HeaderList } from '../http2/types.ts';
import type { Result } from '../result.ts';
import { type Authority, parseAuthority } from './authority.ts';
import { type Baggage, parseBaggage } from './baggage.ts';
import { parseForwardedHost } from './forwarded.ts';
import { parseTraceparent } from './traceparent.ts';

/** The network of the client, on the inner CONNECT of a cross-network tunnel only. */
export const NETWORK_HEADER = 'x-forwarded-network';

/** In the form they go out in: a client has encoded most of them before. */
export interface ConnectParts {
  /** `ip:port` or `name:port`. */
  readonly authority: string;
  /** From `encodeBaggage`; empty for none. */
  readonly baggage: string;
  /** The value of `forwarded`, from `encodeForwarded`. */
  readonly forwarded?: string;
  readonly traceparent?: string;
  /** For `x-forwarded-network`. */
  readonly network?: string;
}

/** What an HBONE server reads of a request. */
export interface ConnectRequest {
  readonly authority: Authority;
  readonly baggage: Baggage;
  readonly forwardedHost?: string;
  /** Only when valid. */
  readonly traceparent?: string;
  readonly network?: string;
}

/** A request that is answered before anything is looked up (ambient-wire 1.4, steps 1 and 2). */
export interface ConnectRefusal {
  readonly status: 400;
  readonly rule: 'bad-method' | 'bad-authority';
  readonly reason: string;
}

/** The header list of an HBONE request: no `:scheme`, no `:path`. */
export function buildConnectRequest(parts: ConnectParts): HeaderList {
  const headers: (readonly [string, string])[] = [
    [':method', 'CONNECT'],
    [':authority', parts.authority],
  ];
  if (parts.baggage !== '') headers.push(['baggage', parts.baggage]);
  if (parts.forwarded !== undefined) headers.push(['forwarded', parts.forwarded]);
  if (parts.traceparent !== undefined) headers.push(['traceparent', parts.traceparent]);
  if (parts.network !== undefined) headers.push([NETWORK_HEADER, parts.network]);
  return headers;
}

export function parseConnectRequest(headers: HeaderList): Result<ConnectRequest, ConnectRefusal> {
  let method = '';
  let authorityText: string | undefined;
  const baggage: string[] = [];
  const extra: { forwardedHost?: string; traceparent?: string; network?: string } = {};
  for (const [name, value] of headers) {
    if (name === ':method') method = value;
    else if (name === ':authority') authorityText = value;
    else if (name === 'baggage') baggage.push(value);
    else if (name === 'forwarded') {
      const host = parseForwardedHost(value);
      if (host !== undefined) extra.forwardedHost ??= host;
    } else if (name === 'traceparent') {
      if (parseTraceparent(value) !== undefined) extra.traceparent = value;
    } else if (name === NETWORK_HEADER) extra.network = value;
  }
  if (method !== 'CONNECT') return refuse('bad-method', `expected method CONNECT, got ${method || 'none'}`);
  if (authorityText === undefined) return refuse('bad-authority', 'the request has no :authority');
  const authority = parseAuthority(authorityText);
  if (!authority.ok) return refuse('bad-authority', authority.error);
  return { ok: true, value: { authority: authority.value, baggage: parseBaggage(baggage.join(',')), ...extra } };
}

const refuse = (rule: ConnectRefusal['rule'], reason: string): Result<never, ConnectRefusal> => ({
  ok: false,
  error: { status: 400, rule, reason },
});

const ACCEPTED: HeaderList = [[':status', '200']];

/** The answer to an accepted CONNECT, with the destination's metadata (from `encodeBaggage`, empty for none) when `ENABLE_RESPONSE_BAGGAGE` is on. */
export function buildConnectResponse(baggage: string): HeaderList {
  return baggage === '' ? ACCEPTED : [...ACCEPTED, ['baggage', baggage]];
}

/** What the other end says of its workload in an answer; undefined when it says nothing. */
export function responseBaggage(headers: HeaderList): Baggage | undefined {
  for (const [name, value] of headers) if (name === 'baggage') return parseBaggage(value);
  return undefined;
}

/** The status of a response, 0 when it has none. Anything but exactly 200 is a failed tunnel. */
export function responseStatus(headers: HeaderList): number {
  for (const [name, value] of headers) if (name === ':status') return Number(value);
  return 0;
}
