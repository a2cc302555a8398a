/** The nameservers of the proxy's own `resolv.conf`, asked for the addresses of a name with their time to live. */
import type { promises } from 'node:dns';
import type { DnsSource } from './on-demand-dns.ts';

/** For one try of one nameserver, in milliseconds. */
const TRY_TIMEOUT_MS = 2000;
const TRIES = 2;
/** What the system's own sources say (its hosts file, a search list) comes without a time to live. */
const SYSTEM_TTL_S = 30;

type Resolver = InstanceType<typeof promises.Resolver>;

/** Loaded at the first name: most node proxies never need it. */
export function systemDns(): DnsSource {
  let resolver: Promise<Resolver> | undefined;
  return {
    query: async (hostname, family) => {
      resolver ??= import('node:dns').then(({ promises: dns }) => new dns.Resolver({ timeout: TRY_TIMEOUT_MS, tries: TRIES }));
      const nameservers = await resolver;
      const found = await (family === 4 ? nameservers.resolve4(hostname, { ttl: true }) : nameservers.resolve6(hostname, { ttl: true }));
      return found.map(({ address, ttl }) => ({ address, ttlSeconds: ttl }));
    },
    local: async (hostname) =>
      (await Bun.dns.lookup(hostname, { family: 'any', backend: 'system' })).map(({ address }) => ({ address, ttlSeconds: SYSTEM_TTL_S })),
  };
}
