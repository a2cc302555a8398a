/** What an HTTP/1 request head says to the middle of the waypoint. */
import type { Http1Head } from '../../protocol/index.ts';
import type { RequestHead } from './messages.ts';

/** Other ways to speak HTTP to the same server: taken, the requests inside would be routed and logged by nobody. A server may ignore any upgrade. */
const HTTP_UPGRADE = /\b(h2c|h2|http|tls)\b/i;

/** The authority and path of a request target (RFC 9112 section 3.2), and the fields without `host`. */
export function requestOf(head: Http1Head): RequestHead {
  const { headers, target } = head;
  let authority = '';
  let rest = headers;
  for (let i = 0; i < headers.length; i++) {
    if (headers[i]![0] !== 'host') continue;
    authority = headers[i]![1];
    rest = headers.toSpliced(i, 1);
    break;
  }
  let path = target;
  let scheme = 'http';
  if (target.charCodeAt(0) !== 0x2f && target !== '*' && head.method !== 'CONNECT') {
    const start = target.indexOf('://') + 3;
    let end = start;
    while (end < target.length && target[end] !== '/' && target[end] !== '?') end++;
    scheme = target.slice(0, start - 3).toLowerCase();
    authority = target.slice(start, end);
    path = target.slice(end);
    if (!path.startsWith('/')) path = `/${path}`;
  }
  return {
    method: head.method,
    path,
    authority,
    scheme,
    headers: rest,
    version: head.minorVersion === 1 ? 'HTTP/1.1' : 'HTTP/1.0',
    contentLength: head.framing === 'none' ? 0 : head.framing === 'length' ? head.contentLength : -1,
    upgrade: head.upgrade !== '' && HTTP_UPGRADE.test(head.upgrade) ? '' : head.upgrade,
    acceptsTrailers: head.acceptsTrailers,
  };
}
