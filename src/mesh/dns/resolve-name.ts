/** What the mesh itself answers when a pod asks for the addresses of a name. Pure: the shell speaks DNS. */
import { isCidrVip } from '../indexes.ts';
import { ipFamily } from '../ip.ts';
import { serviceKey } from '../keys.ts';
import type { Random } from '../load-balance.ts';
import type { Service, Workload } from '../model.ts';
import { bestService, type MeshRegistry } from '../registry.ts';
import { candidatesOf, kubernetesSearch, withWildcards } from './candidates.ts';

/** The only records the mesh has. */
export type AddressType = 'A' | 'AAAA';

export interface NameOptions {
  /** `CLUSTER_DOMAIN`, lower case. */
  readonly clusterDomain: string;
  /** Default: the search list Kubernetes gives pods of the client's namespace. */
  readonly search?: readonly string[] | undefined;
  /** `PREFERED_SERVICE_NAMESPACE`. */
  readonly preferredNamespace?: string | undefined;
  /** Without it no name has AAAA records. */
  readonly ipv6: boolean;
}

export type NameResult =
  /** The mesh does not know the name: ask the pod's nameserver. */
  | { readonly kind: 'forward' }
  /** The name exists. `alias` is what it is another name for, and the name the addresses belong to. No addresses: it has none of this type. */
  | { readonly kind: 'found'; readonly service: Service; readonly alias: string | undefined; readonly addresses: readonly string[] };

const FORWARD: NameResult = { kind: 'forward' };

/**
 * `name` in any case, with or without its final dot, labels separated by dots. Addresses come in random order, so that clients that take the
 * first spread themselves.
 */
export function resolveName(
  registry: MeshRegistry,
  client: Workload,
  name: string,
  type: AddressType,
  options: NameOptions,
  random: Random,
): NameResult {
  const asked = (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase();
  if (asked === '') return FORWARD;
  const { clusterDomain, search = kubernetesSearch(client.namespace, clusterDomain), preferredNamespace } = options;
  const isAnswerable = (service: Service): boolean => hasVip(service) || service.hostname.endsWith(`.svc.${clusterDomain}`);
  for (const { name: candidate, stripped } of candidatesOf(asked, client.namespace, clusterDomain, search)) {
    for (const hostname of withWildcards(candidate)) {
      const known = registry.servicesByHostname(hostname);
      if (known.length === 0) continue;
      const service = bestService(known.filter(isAnswerable), client.namespace, preferredNamespace);
      if (service === undefined) continue;
      const addresses = hasFamily(service, type) && (type === 'A' || options.ipv6) ? addressesOf(registry, client, service, type) : [];
      // What a wildcard covers is not another name for the wildcard.
      const alias = hostname.startsWith('*.') || addresses.length === 0 ? undefined : stripped;
      return { kind: 'found', service, alias, addresses: shuffled(addresses, random) };
    }
  }
  return FORWARD;
}

/** Ranges are not addresses one can connect to. */
const hasVip = (service: Service): boolean => service.vips.some((vip) => !isCidrVip(vip));

/** Endpoints of a service of one family may well have addresses of both. */
const hasFamily = ({ ipFamilies }: Service, type: AddressType): boolean => ipFamilies !== (type === 'A' ? 'IPV6_ONLY' : 'IPV4_ONLY');

/** VIPs in the client's network; of a headless service one address of each endpoint that may be chosen. */
function addressesOf(registry: MeshRegistry, client: Workload, service: Service, type: AddressType): string[] {
  const family = type === 'A' ? 4 : 6;
  const found = new Set<string>();
  if (hasVip(service)) {
    for (const vip of service.vips)
      if (!isCidrVip(vip) && vip.network === client.network && ipFamily(vip.address) === family) found.add(vip.address);
    return [...found];
  }
  for (const { workload } of registry.endpoints(serviceKey(service))) {
    const address = workload.addresses.find((ip) => ipFamily(ip) === family);
    if (address !== undefined) found.add(address);
  }
  return [...found];
}

function shuffled(list: string[], random: Random): string[] {
  for (let last = list.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [list[last], list[other]] = [list[other]!, list[last]!];
  }
  return list;
}
