/** kube-proxy's job as nft rules: pure functions from Services and EndpointSlices to a table, and from two tables to the change between them. */
import { createHash } from 'node:crypto';
import type { EndpointSlice, Service } from '../../../platform/kubernetes/index.ts';
import { NETWORK } from '../../config.ts';

export const TABLE = 'ip lateen-services';

export interface ProxyTable {
  /** Chain name → its rules. */
  readonly chains: ReadonlyMap<string, string>;
  /** `address . protocol . port` → chain. */
  readonly verdicts: ReadonlyMap<string, string>;
  /** The same key, for ports nobody serves: refused at once instead of timing out. */
  readonly rejected: ReadonlySet<string>;
  /** Pod addresses that may reach themselves through a service: their source has to be hidden. */
  readonly hairpin: ReadonlySet<string>;
}
export const EMPTY_TABLE: ProxyTable = { chains: new Map(), verdicts: new Map(), rejected: new Set(), hairpin: new Set() };

interface Backend {
  readonly ip: string;
  readonly port: number;
}

export function proxyTable(
  services: Iterable<Service>,
  slicesOf: (namespace: string, service: string) => readonly EndpointSlice[],
  node: string,
): ProxyTable {
  const chains = new Map<string, string>();
  const verdicts = new Map<string, string>();
  const rejected = new Set<string>();
  const hairpin = new Set<string>();
  for (const service of services) {
    const { clusterIP, type, internalTrafficPolicy, sessionAffinity } = service.spec ?? {};
    if (clusterIP === undefined || clusterIP === 'None' || clusterIP === '' || clusterIP.includes(':') || type === 'ExternalName') continue;
    const { namespace = 'default', name = '' } = service.metadata ?? {};
    const slices = slicesOf(namespace, name);
    for (const port of service.spec?.ports ?? []) {
      const protocol = (port.protocol ?? 'TCP').toLowerCase();
      if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') continue;
      const key = `${clusterIP} . ${protocol} . ${port.port}`;
      const backends = backendsOf(slices, port.name ?? '', protocol, internalTrafficPolicy === 'Local' ? node : undefined);
      if (backends.length === 0) {
        rejected.add(key);
        continue;
      }
      const chain = chainName(namespace, name, port.name ?? '', protocol, port.port);
      chains.set(chain, dnatRule(protocol, backends, sessionAffinity === 'ClientIP'));
      verdicts.set(key, chain);
      for (const { ip } of backends) hairpin.add(ip);
    }
  }
  return { chains, verdicts, rejected, hairpin };
}

/** Ready endpoints; when there are none, those that still serve while they terminate. */
function backendsOf(slices: readonly EndpointSlice[], portName: string, protocol: string, onlyNode: string | undefined): Backend[] {
  const ready: Backend[] = [];
  const leaving: Backend[] = [];
  for (const slice of slices) {
    if (slice.addressType !== undefined && slice.addressType !== 'IPv4') continue;
    const port = slice.ports?.find((each) => (each.name ?? '') === portName && (each.protocol ?? 'TCP').toLowerCase() === protocol)?.port;
    if (port === undefined) continue;
    for (const { addresses, conditions, nodeName } of slice.endpoints ?? []) {
      if (onlyNode !== undefined && nodeName !== onlyNode) continue;
      const ip = addresses[0];
      if (ip === undefined) continue;
      if (conditions?.ready !== false) ready.push({ ip, port });
      else if (conditions.serving === true && conditions.terminating === true) leaving.push({ ip, port });
    }
  }
  const chosen = ready.length > 0 ? ready : leaving;
  const unique = new Map(chosen.map((backend) => [`${backend.ip}:${backend.port}`, backend]));
  return [...unique.keys()].sort().map((key) => unique.get(key)!);
}

function dnatRule(protocol: string, backends: readonly Backend[], byClient: boolean): string {
  const match = `meta l4proto ${protocol}`;
  if (backends.length === 1) return `${match} dnat to ${backends[0]!.ip}:${backends[0]!.port}`;
  const choose = byClient ? `jhash ip saddr mod ${backends.length}` : `numgen random mod ${backends.length}`;
  return `${match} dnat ip to ${choose} map { ${backends.map(({ ip, port }, index) => `${index} : ${ip} . ${port}`).join(', ')} }`;
}

/** nft names have at most 31 safe characters here; the hash keeps them apart. */
export function chainName(namespace: string, name: string, portName: string, protocol: string, port: number): string {
  return `svc-${createHash('sha256').update(`${namespace}/${name}/${portName}/${protocol}/${port}`).digest('hex').slice(0, 16)}`;
}

/**
 * The whole table, replacing whatever was there, in one transaction. It outlives the process that wrote it: while the node's DNS starts again, queries
 * stay unanswered instead of being refused, and resolvers ask again instead of giving up.
 */
export function fullScript(table: ProxyTable): string {
  const key = 'type ipv4_addr . inet_proto . inet_service';
  const elements = (list: readonly string[]): string => (list.length === 0 ? '' : ` elements = { ${list.join(', ')} }`);
  return `table ${TABLE} { }
delete table ${TABLE}
table ${TABLE} {
${[...table.chains].map(([name, rules]) => `  chain ${name} { ${rules}; }`).join('\n')}
  map verdicts { ${key} : verdict;${elements([...table.verdicts].map(([at, chain]) => `${at} : goto ${chain}`))} }
  set rejected { ${key};${elements([...table.rejected])} }
  set hairpin { type ipv4_addr . ipv4_addr;${elements([...table.hairpin].map((ip) => `${ip} . ${ip}`))} }
  chain services { ip daddr . meta l4proto . th dport vmap @verdicts; }
  chain prerouting { type nat hook prerouting priority -100; policy accept; jump services; }
  chain output { type nat hook output priority -100; policy accept; jump services; }
  chain postrouting { type nat hook postrouting priority 100; policy accept; ct status dnat ip saddr . ip daddr @hairpin masquerade; }
  chain refuse { ip daddr . meta l4proto . th dport @rejected meta l4proto tcp reject with tcp reset; ip daddr . meta l4proto . th dport @rejected reject; }
  chain forward { type filter hook forward priority 0; policy accept; jump refuse; }
  chain local { type filter hook output priority 0; policy accept; jump refuse; }
  chain patience { type filter hook output priority 0; policy accept; ip saddr ${NETWORK.dnsService} icmp type destination-unreachable icmp code port-unreachable drop; }
}
`;
}

/** Only what differs, in one transaction; empty when nothing does. */
export function changeScript(from: ProxyTable, to: ProxyTable): string {
  const lines: string[] = [];
  for (const [chain, rules] of to.chains) {
    const before = from.chains.get(chain);
    if (before === rules) continue;
    if (before === undefined) lines.push(`add chain ${TABLE} ${chain}`);
    else lines.push(`flush chain ${TABLE} ${chain}`);
    lines.push(`add rule ${TABLE} ${chain} ${rules}`);
  }
  for (const [key, chain] of from.verdicts) if (to.verdicts.get(key) !== chain) lines.push(`delete element ${TABLE} verdicts { ${key} }`);
  for (const [key, chain] of to.verdicts)
    if (from.verdicts.get(key) !== chain) lines.push(`add element ${TABLE} verdicts { ${key} : goto ${chain} }`);
  for (const chain of from.chains.keys())
    if (!to.chains.has(chain)) lines.push(`flush chain ${TABLE} ${chain}`, `delete chain ${TABLE} ${chain}`);
  setChange(lines, 'rejected', from.rejected, to.rejected, (key) => key);
  setChange(lines, 'hairpin', from.hairpin, to.hairpin, (ip) => `${ip} . ${ip}`);
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function setChange(
  lines: string[],
  set: string,
  from: ReadonlySet<string>,
  to: ReadonlySet<string>,
  element: (key: string) => string,
): void {
  for (const key of from) if (!to.has(key)) lines.push(`delete element ${TABLE} ${set} { ${element(key)} }`);
  for (const key of to) if (!from.has(key)) lines.push(`add element ${TABLE} ${set} { ${element(key)} }`);
}
