/** The node proxy's DNS proxy (ambient contract 2.9). Loaded only where it is on: nothing else of the proxy imports it but for its types. */
export type { PodDns } from './pod-dns.ts';
export { DnsService } from './service.ts';
