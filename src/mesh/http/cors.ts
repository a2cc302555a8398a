/** Cross-origin requests (Fetch standard, section 3.2) by Gateway API's CORS filter (GEP-1767) and VirtualService `corsPolicy`. */
import type { HeaderList } from '../../protocol/index.ts';
import { TextCondition } from './condition.ts';
import type { Cors, HeaderEdit, RequestView, StringCondition } from './plan.ts';
import { headerValue } from './request-field.ts';

/** What an asterisk may stand for: a host, or the front part of one. An origin without a port has its scheme's own, so no port is among it. */
const HOST_PART = /^(\[[^\]/]+\]|[^/:]+)$/;

/** Whether `value` is `pattern`, whose asterisks stand for one character or more of the host. */
const matchesWildcard = (pattern: string, value: string): boolean => {
  const [first = '', ...rest] = pattern.split('*');
  if (!value.startsWith(first)) return false;
  let at = first.length;
  for (const [i, piece] of rest.entries()) {
    const found = i === rest.length - 1 ? value.length - piece.length : value.indexOf(piece, at + 1);
    if (found <= at || !value.startsWith(piece, found) || !HOST_PART.test(value.slice(at, found))) return false;
    at = found + piece.length;
  }
  return at === value.length;
};

const isWildcard = ({ kind, value }: StringCondition): boolean => kind === 'exact' && value.includes('*');

const conditions = new WeakMap<Cors, readonly TextCondition[]>();

const conditionsOf = (cors: Cors): readonly TextCondition[] => {
  let known = conditions.get(cors);
  if (known === undefined) {
    known = cors.allowOrigins.filter((origin) => !isWildcard(origin)).map((origin) => new TextCondition(origin));
    conditions.set(cors, known);
  }
  return known;
};

const isAllowed = (cors: Cors, origin: string): boolean =>
  conditionsOf(cors).some((condition) => condition.test(origin)) ||
  cors.allowOrigins.some((allowed) => isWildcard(allowed) && (allowed.value === '*' || matchesWildcard(allowed.value, origin)));

const allowsEveryone = ({ allowOrigins, allowCredentials }: Cors): boolean =>
  !allowCredentials && allowOrigins.some((origin) => origin.kind === 'exact' && origin.value === '*');

/** With credentials browsers take `*` literally, so what the browser asked for stands in its place. */
const listed = (allowed: readonly string[], asked: string | undefined, withCredentials: boolean): string | undefined => {
  if (allowed.length === 0) return undefined;
  return withCredentials && allowed.includes('*') ? asked : allowed.join(', ');
};

/** Whether caches are told already that the origin makes a difference. */
const varies = (headers: HeaderList): boolean =>
  (headerValue(headers, 'vary') ?? '').split(',').some((field) => field.trim().toLowerCase() === 'origin');

type Fields = (readonly [name: string, value: string])[];

const originFields = (cors: Cors, origin: string): Fields => {
  const fields: Fields = [['access-control-allow-origin', allowsEveryone(cors) ? '*' : origin]];
  if (cors.allowCredentials) fields.push(['access-control-allow-credentials', 'true']);
  return fields;
};

/** Without a list for `*` there is nothing to put in its place, and the field is left out. */
const exposed = ({ exposeHeaders, allowCredentials }: Cors, names: string | undefined): Fields => {
  const value = listed(exposeHeaders, names, allowCredentials);
  return value === undefined ? [] : [['access-control-expose-headers', value]];
};

/**
 * The answer to a preflight; undefined when the request is none, or is one that goes on to the backend. An origin that is not allowed gets an answer
 * without the fields a browser looks for, as Envoy gives it; 200, which every browser and Gateway API's conformance suite take.
 */
export const corsPreflight = (cors: Cors, request: RequestView): { readonly status: 200; readonly headers: HeaderList } | undefined => {
  if (request.method !== 'OPTIONS') return undefined;
  const origin = headerValue(request.headers, 'origin');
  const method = headerValue(request.headers, 'access-control-request-method');
  if (!origin || !method) return undefined;
  if (!isAllowed(cors, origin)) return cors.forwardsUnmatchedPreflights ? undefined : { status: 200, headers: [] };
  const headers = originFields(cors, origin);
  const methods = listed(cors.allowMethods, method, cors.allowCredentials);
  if (methods !== undefined) headers.push(['access-control-allow-methods', methods]);
  const names = listed(cors.allowHeaders, headerValue(request.headers, 'access-control-request-headers'), cors.allowCredentials);
  if (names !== undefined) headers.push(['access-control-allow-headers', names]);
  headers.push(...exposed(cors, undefined));
  if (cors.maxAgeSeconds !== undefined) headers.push(['access-control-max-age', String(cors.maxAgeSeconds)]);
  if (!allowsEveryone(cors)) headers.push(['vary', 'origin']);
  return { status: 200, headers };
};

/**
 * What the response to an actual request gets; undefined when it came from no other origin, or from one that is not allowed: then the backend's own fields
 * stand. Ours replace the backend's.
 */
export const corsResponseEdit = (cors: Cors, request: RequestView, responseHeaders: HeaderList): HeaderEdit | undefined => {
  const origin = headerValue(request.headers, 'origin');
  if (!origin || !isAllowed(cors, origin)) return undefined;
  const names = [...new Set(responseHeaders.map(([name]) => name))].filter((name) => !name.startsWith('access-control-')).join(', ');
  return {
    remove: cors.allowCredentials ? [] : ['access-control-allow-credentials'],
    set: [...originFields(cors, origin), ...exposed(cors, names || undefined)],
    add: allowsEveryone(cors) || varies(responseHeaders) ? [] : [['vary', 'origin']],
  };
};
