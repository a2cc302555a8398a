/**
 * The redirect rules inside a pod's network namespace, as text for `nft` and `ip`. Pure.
 *
 * Same logic as Istio's (tables `inet istio-ambient-{mangle,nat,raw}`, marks 0x539 and 0x111), with one difference: only SYN packets are
 * redirected. Conntrack starts to look at a namespace when the first rule arrives and takes packets of connections it has not seen begin for
 * new ones; redirecting those would break every connection that is open when a pod enters the mesh.
 *
 * And with guards behind the redirects: a SYN that ought to be redirected but was not (it met an entry of an earlier connection, or none could be
 * made) is refused. Nothing that begins while the rules are in force passes around the proxy.
 */
import { createHash } from 'node:crypto';

export const OUTBOUND_PORT = 15001;
export const INBOUND_PLAINTEXT_PORT = 15006;
export const INBOUND_HBONE_PORT = 15008;
export const DNS_PORT = 15053;
/** On every packet the node proxy sends (its SO_MARK). */
const PROXY_MARK = '0x539';
/** On connections the proxy opened to the application, so that the application's answers find back to it. */
const RETURN_MARK = '0x111';
const MARK_MASK = '0xfff';
export const isReturnMark = (mark: number): boolean => (mark & Number(MARK_MASK)) === Number(RETURN_MARK);
/** Conntrack zone of the proxy's own DNS queries: the same query of the pod has the same addresses and perhaps the same port. */
export const DNS_ZONE = 1;
/**
 * Conntrack zone of the requests (not the answers) of connections the proxy opens to the application with its client's address. The client may have one of its
 * own from the same port to the same address, which is redirected to the proxy; in one zone the second would be taken for the first. Behind source
 * translation that is no rare chance: all clients of a node port share one address and all its ports.
 */
const DIAL_ZONE = 2;
const RULE_PREFERENCE = 32764;
const ROUTE_TABLE = 100;
export const PROBE_SNAT_IPV4 = '169.254.7.127';
export const PROBE_SNAT_IPV6 = 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff';

export const POD_TABLES = ['istio-ambient-mangle', 'istio-ambient-nat', 'istio-ambient-raw'] as const;
/** An empty chain whose name ends in the hash of the rules: tells in one listing which rules are in force. */
const MARKER = 'lateen';

export interface PodRuleOptions {
  /** Kubelet probes arrive with these source addresses and are let through. */
  readonly probeIpv4: string;
  readonly probeIpv6: string;
  /** Do not redirect inbound plain text (annotation `ambient.istio.io/bypass-inbound-capture`). */
  readonly bypassInbound: boolean;
  readonly captureDns: boolean;
  /** Interfaces whose incoming traffic counts as the pod's egress (annotation `istio.io/reroute-virtual-interfaces`). */
  readonly virtualInterfaces: readonly string[];
  /** Nothing new is redirected, but connections in flight keep their way. */
  readonly draining: boolean;
}

export const DEFAULT_POD_RULES: PodRuleOptions = {
  probeIpv4: PROBE_SNAT_IPV4,
  probeIpv6: PROBE_SNAT_IPV6,
  bypassInbound: false,
  captureDns: false,
  virtualInterfaces: [],
  draining: false,
};

const SYN = 'tcp flags & (fin | syn | rst | ack) == syn';
const FROM_PROXY = `meta mark & ${MARK_MASK} == ${PROXY_MARK}`;
const NOT_FROM_PROXY = `meta mark & ${MARK_MASK} != ${PROXY_MARK}`;
const TCP = 'meta l4proto tcp';
const LOCAL = ['ip daddr != 127.0.0.1', 'ip6 daddr != ::1'] as const;

/** One rule per address family. */
const both = (rest: string): string[] => LOCAL.map((notLocal) => `${notLocal} ${rest}`);

function natPrerouting(options: PodRuleOptions): string[] {
  if (options.draining) return [];
  const rules: string[] = [];
  for (const name of options.virtualInterfaces) {
    rules.push(`iifname "${name}" ${SYN} redirect to :${OUTBOUND_PORT}`, `iifname "${name}" ${TCP} return`);
  }
  rules.push(`ip saddr ${options.probeIpv4} ${TCP} accept`, `ip6 saddr ${options.probeIpv6} ${TCP} accept`);
  if (!options.bypassInbound) {
    rules.push(...both(`tcp dport != ${INBOUND_HBONE_PORT} ${NOT_FROM_PROXY} ${SYN} redirect to :${INBOUND_PLAINTEXT_PORT}`));
  }
  return rules;
}

function natOutput(options: PodRuleOptions): string[] {
  if (options.draining) return [];
  const rules = [`ip daddr ${options.probeIpv4} ${TCP} accept`, `ip6 daddr ${options.probeIpv6} ${TCP} accept`];
  if (options.captureDns) {
    rules.push(`oifname != "lo" udp dport 53 ${NOT_FROM_PROXY} redirect to :${DNS_PORT}`);
    rules.push(...both(`tcp dport 53 ${NOT_FROM_PROXY} ${SYN} redirect to :${DNS_PORT}`));
  }
  rules.push(`${TCP} meta mark & ${MARK_MASK} == ${RETURN_MARK} accept`);
  rules.push(...both('oifname "lo" accept'));
  rules.push(...both(`${NOT_FROM_PROXY} ${SYN} redirect to :${OUTBOUND_PORT}`));
  return rules;
}

/** Ends a guard for what no redirect is meant for. */
const UNGUARDED = ['meta l4proto != tcp accept', 'tcp flags & (fin | syn | rst | ack) != syn accept'] as const;
const REDIRECTED = 'ct status dnat accept';
/** Not dropped: the application can try again at once, with another port. */
const REFUSE = 'reject with tcp reset';

/** What {@link natOutput} leaves alone passes; after it the rest must have been redirected. */
function guardOutput(options: PodRuleOptions): string[] {
  return [
    ...UNGUARDED,
    `${FROM_PROXY} accept`,
    `meta mark & ${MARK_MASK} == ${RETURN_MARK} accept`,
    `ip daddr ${options.probeIpv4} accept`,
    `ip6 daddr ${options.probeIpv6} accept`,
    'oifname "lo" accept',
    REDIRECTED,
    REFUSE,
  ];
}

/** The same for {@link natPrerouting}. Its redirects of connections to the very port they go to translate nothing. */
function guardInput(options: PodRuleOptions): string[] {
  const rules: string[] = [...UNGUARDED, 'iifname "lo" accept'];
  for (const name of options.virtualInterfaces) {
    rules.push(`iifname "${name}" tcp dport ${OUTBOUND_PORT} accept`, `iifname "${name}" ${REDIRECTED}`, `iifname "${name}" ${REFUSE}`);
  }
  if (options.bypassInbound) return rules;
  rules.push(`ip saddr ${options.probeIpv4} accept`, `ip6 saddr ${options.probeIpv6} accept`);
  rules.push(`tcp dport { ${INBOUND_PLAINTEXT_PORT}, ${INBOUND_HBONE_PORT} } accept`, REDIRECTED, REFUSE);
  return rules;
}

/** Egress of virtual interfaces that was not redirected would be forwarded. */
const guardForward = (options: PodRuleOptions): string[] =>
  options.virtualInterfaces.length === 0
    ? []
    : [...UNGUARDED, ...options.virtualInterfaces.flatMap((name) => [`iifname "${name}" ${REDIRECTED}`, `iifname "${name}" ${REFUSE}`])];

function guards(options: PodRuleOptions): Chain[] {
  if (options.draining) return [];
  const chains = [
    { name: 'guard-output', base: 'type filter hook output priority filter', rules: guardOutput(options) },
    { name: 'guard-input', base: 'type filter hook input priority filter', rules: guardInput(options) },
    { name: 'guard-forward', base: 'type filter hook forward priority filter', rules: guardForward(options) },
  ];
  return chains.filter(({ rules }) => rules.length > 0);
}

interface Chain {
  readonly name: string;
  readonly base?: string;
  readonly rules: readonly string[];
}

function tables(options: PodRuleOptions): Record<(typeof POD_TABLES)[number], Chain[]> {
  // The contract names the mark by value and mask: only the low twelve bits are ours.
  const setReturnMark = `${FROM_PROXY} ct mark set ct mark & 0xfffff000 | ${RETURN_MARK}`;
  const restoreMark = `ct mark & ${MARK_MASK} == ${RETURN_MARK} meta mark set ct mark`;
  const raw: Chain[] = [];
  if (options.captureDns)
    raw.push({
      name: 'prerouting',
      base: 'type filter hook prerouting priority raw',
      rules: [`udp sport 53 ${NOT_FROM_PROXY} ct zone set ${DNS_ZONE}`],
    });
  raw.push({
    name: 'output',
    base: 'type filter hook output priority raw',
    rules: [
      ...(options.captureDns ? [`udp dport 53 ${FROM_PROXY} ct zone set ${DNS_ZONE}`] : []),
      `${TCP} ${FROM_PROXY} ct original zone set ${DIAL_ZONE}`,
    ],
  });
  return {
    'istio-ambient-mangle': [
      { name: 'prerouting', base: 'type filter hook prerouting priority mangle', rules: [setReturnMark] },
      { name: 'output', base: 'type route hook output priority mangle', rules: [restoreMark] },
      ...guards(options),
    ],
    'istio-ambient-nat': [
      { name: 'prerouting', base: 'type nat hook prerouting priority dstnat', rules: natPrerouting(options) },
      { name: 'output', base: 'type nat hook output priority -100', rules: natOutput(options) },
    ],
    'istio-ambient-raw': raw,
  };
}

const drop = (names: readonly string[]): string => names.map((name) => `table inet ${name} {}\ndelete table inet ${name}\n`).join('');

export interface PodRules {
  /** Replaces whatever an earlier agent left, in one transaction. */
  readonly script: string;
  /** Adds the marker, once the kernel's memory of connections from before has been looked through, too: an agent that ends in between is noticed. */
  readonly confirmation: string;
  /** Name of the marker chain in the mangle table. */
  readonly marker: string;
  /** Rules per table, to see that nobody took one away. */
  readonly ruleCounts: Readonly<Record<string, number>>;
}

export function podRules(options: PodRuleOptions): PodRules {
  const all = tables(options);
  let body = '';
  const ruleCounts: Record<string, number> = {};
  for (const name of POD_TABLES) {
    const chains = all[name];
    ruleCounts[name] = chains.reduce((sum, chain) => sum + chain.rules.length, 0);
    if (chains.length === 0) continue;
    body += `table inet ${name} {\n`;
    for (const chain of chains) {
      body += `  chain ${chain.name} {\n    ${chain.base}; policy accept;\n${chain.rules.map((rule) => `    ${rule}\n`).join('')}  }\n`;
    }
    body += '}\n';
  }
  const marker = `${MARKER}-${createHash('sha256').update(body).digest('hex').slice(0, 12)}`;
  return {
    script: `${drop(POD_TABLES)}${body}`,
    confirmation: `add chain inet istio-ambient-mangle ${marker}\n`,
    marker,
    ruleCounts,
  };
}

export const removePodRulesScript = (): string => drop(POD_TABLES);

/** Arguments of `ip` for the way back of marked packets; each is tried on its own, as one may already be there. */
export function returnRoute(action: 'add' | 'del', family: 4 | 6): readonly (readonly string[])[] {
  const any = family === 4 ? '0.0.0.0/0' : '::/0';
  const rule = ['rule', action, 'fwmark', `${RETURN_MARK}/${MARK_MASK}`, 'pref', String(RULE_PREFERENCE), 'lookup', String(ROUTE_TABLE)];
  const route = ['route', action === 'add' ? 'replace' : 'del', 'local', any, 'dev', 'lo', 'table', String(ROUTE_TABLE)];
  // The route first when adding: a rule that points at an empty table would change nothing, but a route without rule is harmless too.
  const steps = action === 'add' ? [route, rule] : [rule, route];
  return steps.map((step) => [`-${family}`, ...step]);
}
