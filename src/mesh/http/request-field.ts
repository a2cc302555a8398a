/** Parts of a request as routing reads them, found without decoding the rest. */
import type { HeaderList } from '../../protocol/index.ts';

/** Where the path ends and the query begins. A fragment does not belong in a request target; one that came is no part of the path either. */
export const pathEnd = (path: string): number => {
  const query = path.indexOf('?');
  const fragment = path.indexOf('#');
  if (query < 0) return fragment < 0 ? path.length : fragment;
  return fragment < 0 || fragment > query ? query : fragment;
};

/** All fields of that name, joined with `,` (RFC 9110 section 5.3), or `; ` for `cookie` (RFC 9113 section 8.2.3). */
export const headerValue = (headers: HeaderList, name: string): string | undefined => {
  let value: string | undefined;
  for (let i = 0; i < headers.length; i++) {
    const field = headers[i]!;
    if (field[0] !== name) continue;
    if (value === undefined) value = field[1];
    else value += (name === 'cookie' ? '; ' : ',') + field[1];
  }
  return value;
};

/** The first parameter of that name, as written (Envoy does not decode either); '' when it has no `=`. */
export const queryValue = (path: string, name: string): string | undefined => {
  let start = path.indexOf('?');
  if (start < 0) return undefined;
  const fragment = path.indexOf('#', start);
  const end = fragment < 0 ? path.length : fragment;
  while (start < end) {
    start++;
    let stop = path.indexOf('&', start);
    if (stop < 0 || stop > end) stop = end;
    if (path.startsWith(name, start)) {
      const after = start + name.length;
      if (after === stop) return '';
      if (after < stop && path[after] === '=') return path.slice(after + 1, stop);
    }
    start = stop;
  }
  return undefined;
};

/** The host part of an authority in lower case: without port, IPv6 without its brackets' port. */
export const hostOf = (authority: string): string => {
  const host = authority.toLowerCase();
  const colon = host.lastIndexOf(':');
  if (colon < 0 || host.endsWith(']')) return host;
  return host.slice(0, colon);
};

/** A leading `*.` stands for one label or more; `*` alone for any host. Both in lower case. */
export const hostMatches = (pattern: string, host: string): boolean => {
  if (pattern === '*') return true;
  if (!pattern.startsWith('*.')) return pattern === host;
  return host.length > pattern.length - 1 && host.endsWith(pattern.slice(1));
};
