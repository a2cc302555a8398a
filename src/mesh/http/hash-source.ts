/** What of a request its endpoint is chosen by (DestinationRule `consistentHash`). */
import { hashText } from './hash.ts';
import type { HashSource, RequestView } from './plan.ts';
import { headerValue, queryValue } from './request-field.ts';
import { cookieValue } from './session.ts';

/** For `ClusterPick.hash`; undefined when the request has nothing of the kind. `sourceIp` is the client's address as text. */
export const requestHash = (source: HashSource, request: RequestView, sourceIp: string): number | undefined => {
  let value: string | undefined;
  switch (source.kind) {
    case 'header':
      value = headerValue(request.headers, source.name.toLowerCase());
      break;
    case 'cookie':
      value = cookieValue(request.headers, source.name);
      break;
    case 'query':
      value = queryValue(request.path, source.name);
      break;
    case 'source-ip':
      value = sourceIp;
      break;
  }
  return value === undefined || value === '' ? undefined : hashText(value);
};

/**
 * The cookie for a client that has none, when the policy says to make one (`ttl`): its value, to be hashed for this request, and the `set-cookie` of the
 * response. `id` is a random text that needs no quoting in a cookie.
 */
export const makeHashCookie = (source: HashSource, id: string): { readonly hash: number; readonly setCookie: string } | undefined => {
  if (source.kind !== 'cookie' || source.ttl === undefined) return undefined;
  const attributes = [`${source.name}=${id}`];
  if (source.ttl > 0) attributes.push(`Max-Age=${Math.ceil(source.ttl / 1000)}`);
  if (source.path !== undefined) attributes.push(`Path=${source.path}`);
  attributes.push('HttpOnly');
  return { hash: hashText(id), setCookie: attributes.join('; ') };
};
