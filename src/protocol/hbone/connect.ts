import type { HeaderList } from '../http2/types.ts';
import type { Result } from '../result.ts';
import { type Authority, formatAuthority, parseAuthority } from './authority.ts';
import { type Baggage, encodeBaggage, parseBaggage } from './baggage.ts';
import { parseForwardedHost } from './forwarded.ts';
import { parseTraceparent } from './traceparent.ts';

/** The network of the client, on the inner CONNECT of a cross-network tunnel only. */
export const NETWORK_HEADER = 'x-forwarded-network';

export interface ConnectParts {
  readonly authority: Authority;
  readonly baggage?: Baggage;
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
  readonly reason: string;
}

/** The header list of an HBONE request: no `:scheme`, no `:path`. */
export function buildConnectRequest(parts: ConnectParts): HeaderList {
  const headers: (readonly [string, string])[] = [
    [':method', 'CONNECT'],
    [':authority', formatAuthority(parts.authority)],
  ];
  const baggage = parts.baggage === undefined ? '' : encodeBaggage(parts.baggage);
  if (baggage !== '') headers.push(['baggage', baggage]);
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
  if (method !== 'CONNECT') return refuse(`expected method CONNECT, got ${method || 'none'}`);
  if (authorityText === undefined) return refuse('the request has no :authority');
  const authority = parseAuthority(authorityText);
  if (!authority.ok) return refuse(authority.error);
  return { ok: true, value: { authority: authority.value, baggage: parseBaggage(baggage.join(',')), ...extra } };
}

const refuse = (reason: string): Result<never, ConnectRefusal> => ({ ok: false, error: { status: 400, reason } });

/** The answer to an accepted CONNECT, with the destination's metadata when `ENABLE_RESPONSE_BAGGAGE` is on. */
export function buildConnectResponse(baggage?: Baggage): HeaderList {
  const text = baggage === undefined ? '' : encodeBaggage(baggage);
  return text === ''
    ? [[':status', '200']]
    : [
        [':status', '200'],
        ['baggage', text],
      ];
}

/** The status of a response, 0 when it has none. Anything but exactly 200 is a failed tunnel. */
export function responseStatus(headers: HeaderList): number {
  for (const [name, value] of headers) if (name === ':status') return Number(value);
  return 0;
}
