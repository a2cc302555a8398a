import { formatAddress } from './authority.ts';

/** `for="<address>:<port>"`, and `;host=<service>` when the destination service is known (RFC 7239 as ztunnel writes it). */
export function encodeForwarded(address: string, port: number, host?: string): string {
  const source = `for="${formatAddress(address, port)}"`;
  return host === undefined ? source : `${source};host=${host}`;
}

/** The `host` of a `forwarded` header, the only part that is read, and only to label telemetry. */
export function parseForwardedHost(text: string): string | undefined {
  for (const pair of text.split(/[;,]/)) {
    const equals = pair.indexOf('=');
    if (equals < 0 || pair.slice(0, equals).trim().toLowerCase() !== 'host') continue;
    const value = pair
      .slice(equals + 1)
      .trim()
      .replace(/^"(.*)"$/, '$1');
    return value === '' ? undefined : value;
  }
  return undefined;
}
