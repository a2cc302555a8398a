/** What is done to every request before anything looks at it, so that the routes, the log and the endpoint see the same one. */
import { normalizePath } from '../../mesh/http/index.ts';
import type { HeaderList } from '../../protocol/index.ts';
import type { RequestHead } from './messages.ts';

/** Registered methods are shorter by far; a longer one is no method but something that was taken for one. */
const METHOD_LENGTH = 64;
const STANDARD_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']);

/**
 * Whom the client is said to be by the proxy in front. Nobody stands between clients and a waypoint who could say so: it would be the client's own word
 * (Envoy's `forward_client_cert_details` SANITIZE, which Istio's waypoints have).
 */
const CLIENT_CERTIFICATE = 'x-forwarded-client-cert';
const FORWARDED_PROTO = 'x-forwarded-proto';

/** The request as it is treated from here on, or why it is answered with 400. */
export function admit(head: RequestHead): RequestHead | string {
  const { method } = head;
  if (method.length > METHOD_LENGTH) return 'the method is too long';
  // Methods have a case (RFC 9110 section 9.1); a server that forgets it would do what no route for DELETE has seen.
  if (!STANDARD_METHODS.has(method) && STANDARD_METHODS.has(method.toUpperCase())) return 'the method is not in upper case';
  // HTTP/1 has its rules for that in the codec; HTTP/1.0 needs none (RFC 9113 section 8.3.1).
  if (head.authority === '' && head.version === 'HTTP/2') return 'neither :authority nor host';
  const path = normalizePath(head.path);
  if (path === undefined) return 'the path holds an encoded NUL';
  const { scheme, headers } = forwarded(head);
  const { authority, version, contentLength, upgrade, acceptsTrailers } = head;
  // Spelled out: copying by spread costs several times as much, and this is every request.
  return { method, path, authority, scheme, headers, version, contentLength, upgrade, acceptsTrailers };
}

/**
 * The scheme the client of the mesh used: TLS may end at a gateway in front, which says so in `x-forwarded-proto` where the request cannot, as in HTTP/1.
 * Endpoints always get that field, as they do from Envoy; without a gateway it says how the client's connection comes out of its tunnel.
 */
function forwarded({ scheme, headers, version }: RequestHead): Pick<RequestHead, 'scheme' | 'headers'> {
  let proto = '';
  let isClean = true;
  for (let i = 0; i < headers.length; i++) {
    const field = headers[i]!;
    if (isDropped(field)) isClean = false;
    else if (field[0] === FORWARDED_PROTO && proto === '') proto = field[1];
  }
  const kept = isClean ? headers : headers.filter((field) => !isDropped(field));
  if (proto === '') return { scheme: scheme.toLowerCase(), headers: [...kept, [FORWARDED_PROTO, 'http']] };
  const isHttps = version !== 'HTTP/2' && proto.toLowerCase() === 'https';
  return { scheme: isHttps ? 'https' : scheme.toLowerCase(), headers: kept };
}

const isDropped = ([name, value]: HeaderList[number]): boolean => name === CLIENT_CERTIFICATE || (name === FORWARDED_PROTO && value === '');
