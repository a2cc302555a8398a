/** What the cluster's DNS knows, by the Kubernetes DNS specification: services, headless services and their pods, pods by address. */
import type { EndpointSlice, Service } from '../../../platform/kubernetes/index.ts';

export interface DnsData {
  service(namespace: string, name: string): Service | undefined;
  slices(namespace: string, service: string): readonly EndpointSlice[];
  serviceByAddress(address: string): Service | undefined;
  namespaceExists(namespace: string): boolean;
}
export type DnsRecord =
  | { readonly type: 'A' | 'AAAA' | 'PTR' | 'CNAME'; readonly name: string; readonly data: string }
  | {
      readonly type: 'SRV';
      readonly name: string;
      readonly data: { readonly priority: number; readonly weight: number; readonly port: number; readonly target: string };
    };
/** `exists` without records is NODATA; without `exists` it is NXDOMAIN; undefined: not a name of the cluster. */
export type DnsAnswer = { readonly exists: boolean; readonly records: readonly DnsRecord[] } | undefined;

interface Address {
  readonly ip: string;
  readonly hostname: string;
  readonly ready: boolean;
}

const MISSING = { exists: false, records: [] } as const;
const EMPTY = { exists: true, records: [] } as const;

export function answer(question: { readonly name: string; readonly type: string }, domain: string, data: DnsData): DnsAnswer {
  const name = question.name.toLowerCase().replace(/\.$/, '');
  if (name.endsWith('.in-addr.arpa')) return reverse(name, question.type, domain, data);
  if (name !== domain && !name.endsWith(`.${domain}`)) return undefined;
  const labels = name
    .slice(0, Math.max(0, name.length - domain.length - 1))
    .split('.')
    .filter((label) => label !== '');
  const kind = labels.pop();
  if (kind === undefined) return EMPTY;
  if (kind === 'pod') return podAnswer(name, labels, question.type, data);
  if (kind !== 'svc') return MISSING;
  const namespace = labels.pop();
  if (namespace === undefined) return EMPTY;
  const serviceName = labels.pop();
  if (serviceName === undefined) return data.namespaceExists(namespace) ? EMPTY : MISSING;
  const service = data.service(namespace, serviceName);
  if (service === undefined) return MISSING;
  const full = `${serviceName}.${namespace}.svc.${domain}`;
  if (service.spec?.type === 'ExternalName')
    return labels.length > 0
      ? MISSING
      : { exists: true, records: [{ type: 'CNAME', name: question.name, data: service.spec.externalName ?? '' }] };
  const headless = isHeadless(service);
  const endpoints = headless ? endpointAddresses(service, data.slices(namespace, serviceName)) : [];
  if (labels.length === 0) {
    const addresses = headless ? endpoints.map(({ ip }) => ip) : (service.spec?.clusterIPs ?? [service.spec?.clusterIP ?? '']);
    if (question.type === 'SRV')
      return srv(question.name, full, service, endpoints, undefined, undefined, data.slices(namespace, serviceName));
    return addressAnswer(question.name, question.type, addresses);
  }
  if (labels.length === 2 && labels[0]!.startsWith('_') && labels[1]!.startsWith('_')) {
    const found = srv(
      question.name,
      full,
      service,
      endpoints,
      labels[0]!.slice(1),
      labels[1]!.slice(1),
      data.slices(namespace, serviceName),
    );
    return found.records.length === 0 ? MISSING : question.type === 'SRV' ? found : EMPTY;
  }
  if (labels.length === 1 && headless) {
    const matching = endpoints.filter(({ hostname }) => hostname === labels[0]);
    return matching.length === 0
      ? MISSING
      : addressAnswer(
          question.name,
          question.type,
          matching.map(({ ip }) => ip),
        );
  }
  return MISSING;
}

export const isHeadless = (service: Service): boolean => service.spec?.clusterIP === 'None';

function addressAnswer(name: string, type: string, addresses: readonly string[]): NonNullable<DnsAnswer> {
  const records: DnsRecord[] = [];
  for (const data of new Set(addresses)) {
    const isV6 = data.includes(':');
    if (data !== '' && ((type === 'A' && !isV6) || (type === 'AAAA' && isV6))) records.push({ type, name, data });
  }
  return { exists: true, records };
}

function endpointAddresses(service: Service, slices: readonly EndpointSlice[]): Address[] {
  const found: Address[] = [];
  for (const slice of slices) {
    for (const endpoint of slice.endpoints ?? []) {
      const ready = endpoint.conditions?.ready !== false;
      if (!ready && service.spec?.publishNotReadyAddresses !== true) continue;
      // Without a hostname the name of an endpoint is its address with dashes, as CoreDNS has it.
      for (const ip of endpoint.addresses) found.push({ ip, hostname: endpoint.hostname ?? ip.replaceAll(/[.:]/g, '-'), ready });
    }
  }
  return found;
}

function srv(
  name: string,
  full: string,
  service: Service,
  endpoints: readonly Address[],
  port: string | undefined,
  protocol: string | undefined,
  slices: readonly EndpointSlice[],
): { exists: boolean; records: DnsRecord[] } {
  const records: DnsRecord[] = [];
  const headless = isHeadless(service);
  const ports = headless
    ? (slices[0]?.ports ?? []).map((each) => ({ name: each.name ?? '', port: each.port ?? 0, protocol: each.protocol ?? 'TCP' }))
    : (service.spec?.ports ?? []).map((each) => ({ name: each.name ?? '', port: each.port, protocol: each.protocol ?? 'TCP' }));
  for (const each of ports) {
    if (port !== undefined && (each.name !== port || each.protocol.toLowerCase() !== protocol)) continue;
    const targets = headless ? endpoints.map(({ hostname }) => `${hostname}.${full}`) : [full];
    for (const target of targets)
      records.push({
        type: 'SRV',
        name,
        data: { priority: 0, weight: Math.max(1, Math.floor(100 / targets.length)), port: each.port, target },
      });
  }
  return { exists: true, records };
}

function podAnswer(name: string, labels: readonly string[], type: string, data: DnsData): NonNullable<DnsAnswer> {
  if (labels.length === 1) return data.namespaceExists(labels[0]!) ? EMPTY : MISSING;
  const ip = labels[0]?.replaceAll('-', '.');
  if (labels.length !== 2 || ip === undefined || !/^\d{1,3}(\.\d{1,3}){3}$/.test(ip)) return MISSING;
  return addressAnswer(name, type, [ip]);
}

function reverse(name: string, type: string, domain: string, data: DnsData): DnsAnswer {
  const address = name.slice(0, -'.in-addr.arpa'.length).split('.').reverse().join('.');
  const service = data.serviceByAddress(address);
  if (service === undefined) return address.startsWith('10.96.') || address.startsWith('10.244.') ? MISSING : undefined;
  if (type !== 'PTR') return EMPTY;
  return { exists: true, records: [{ type: 'PTR', name, data: `${service.metadata?.name}.${service.metadata?.namespace}.svc.${domain}` }] };
}
