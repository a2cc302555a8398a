/** All routes of a service → what its plan says about each port. */
import type { HttpRule, HttpTable, PortPlan, TcpRule, TlsRule } from '../plan.ts';
import type { CompiledRoute, RankedRule, RouteAttachment, RouteFragment, RouteIdentity } from './compiled-route.ts';
import type { RouteKind } from './objects.ts';

/** Two routes want the same traffic of a port (0: of all ports); `loser` gets none of it there. */
export interface RouteConflict {
  /** `namespace/hostname`. */
  readonly service: string;
  readonly port: number;
  readonly winner: RouteIdentity;
  readonly loser: RouteIdentity;
  /** Why the winner won. */
  readonly message: string;
}

export interface MergedRoutes {
  /** Sorted by port. */
  readonly ports: readonly PortPlan[];
  readonly conflicts: readonly RouteConflict[];
}

interface Attached {
  readonly route: RouteIdentity;
  readonly attachment: RouteAttachment;
}

type FragmentOf<K extends RouteFragment['kind']> = Extract<RouteFragment, { kind: K }>;

/** Which kind of route has a port that several kinds claim (GEP-1294, "Route types"): the first of these. */
const KINDS: readonly RouteKind[] = ['GRPCRoute', 'HTTPRoute', 'TLSRoute', 'TCPRoute'];

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The oldest route first, then by `namespace/name`. */
const bySeniority = (a: RouteIdentity, b: RouteIdentity): number =>
  compareText(a.creationTimestamp, b.creationTimestamp) || compareText(`${a.namespace}/${a.name}`, `${b.namespace}/${b.name}`);

const byRank = (a: RankedRule, b: RankedRule): number => {
  for (let i = 0; i < a.rank.length; i++) {
    const difference = (b.rank[i] ?? 0) - (a.rank[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
};

/**
 * The rules of routes of one kind, in the order of precedence. `fragments` come by seniority and sorting is stable: what is left of the specification's
 * order (age, name, place in the route) needs no comparison. Of equal matches the first is the one that counts, the others are left out.
 */
const httpTable = (fragments: readonly FragmentOf<'http'>[]): HttpTable => {
  const candidates = fragments.flatMap((fragment) => fragment.rules.map((rule) => ({ rule, action: fragment.actions[rule.action] })));
  candidates.sort((a, b) => byRank(a.rule, b.rule));
  const seen = new Set<string>();
  const actions = new Map<HttpTable['actions'][number], number>();
  const rules: HttpRule[] = [];
  for (const { rule, action } of candidates) {
    const key = JSON.stringify(rule.match);
    if (action === undefined || seen.has(key)) continue;
    seen.add(key);
    if (!actions.has(action)) actions.set(action, actions.size);
    rules.push({ match: rule.match, action: actions.get(action) ?? 0 });
  }
  return { rules, actions: [...actions.keys()] };
};

/** Exact names before wildcards, longer before shorter ones; a name twice goes to the senior route. */
const tlsRules = (fragments: readonly FragmentOf<'tls'>[], consumer: string | undefined): TlsRule[] => {
  const all = fragments.flatMap(({ name, hosts, backends }) => hosts.map((host) => ({ name, host, backends })));
  all.sort((a, b) => Number(a.host.startsWith('*')) - Number(b.host.startsWith('*')) || b.host.length - a.host.length);
  const seen = new Set<string>();
  return all.flatMap(({ name, host, backends }) => {
    if (seen.has(host)) return [];
    seen.add(host);
    return [{ name, sniHosts: [host], backends, ...(consumer !== undefined && { sourceNamespace: consumer }) }];
  });
};

/** The routes of one kind and one audience: what a port looks like to these clients. */
interface Share {
  readonly consumer: string | undefined;
  readonly http?: HttpTable;
  readonly tls: readonly TlsRule[];
  readonly tcp: readonly TcpRule[];
}

/**
 * A TCPRoute takes whatever comes, so HTTP that the waypoint recognises on the port goes the same way, and TLS of these clients does not fall into the
 * rules of others.
 */
const tcpShare = ({ name, backends }: FragmentOf<'tcp'>, consumer: string | undefined): Share => {
  const source = consumer === undefined ? {} : { sourceNamespace: consumer };
  return {
    consumer,
    http: { rules: [{ match: {}, action: 0 }], actions: [{ name, backends }] },
    tls: consumer === undefined ? [] : [{ name, sniHosts: [], backends, ...source }],
    tcp: [{ name, backends, ...source }],
  };
};

const fragmentsOf = <K extends RouteFragment['kind']>(kind: K, attached: readonly Attached[]): FragmentOf<K>[] =>
  attached.flatMap(({ attachment: { fragment } }) => (fragment.kind === kind ? [fragment as FragmentOf<K>] : [])); // narrowing by a type parameter's value

const shareOf = (attached: readonly Attached[], consumer: string | undefined): Share => {
  const first = attached[0]?.attachment.fragment;
  if (first?.kind === 'tcp') return tcpShare(first, consumer);
  if (first?.kind === 'tls') return { consumer, tls: tlsRules(fragmentsOf('tls', attached), consumer), tcp: [] };
  return { consumer, http: httpTable(fragmentsOf('http', attached)), tls: [], tcp: [] };
};

/** Those that serve the port, by seniority, and the conflicts they win. */
const settle = (service: string, port: number, attached: readonly Attached[], conflicts: RouteConflict[]): readonly Attached[] => {
  const kind = KINDS.find((some) => attached.some(({ route }) => route.kind === some));
  const winners = attached.filter(({ route }) => route.kind === kind).sort((a, b) => bySeniority(a.route, b.route));
  const winner = winners[0]?.route;
  if (winner === undefined) return [];
  const lose = (loser: RouteIdentity, message: string): void => void conflicts.push({ service, port, winner, loser, message });
  for (const { route } of attached) {
    if (route.kind !== kind) lose(route, `a port has routes of one kind, and ${kind} goes before ${route.kind}`);
  }
  if (kind !== 'TCPRoute') return winners;
  for (const { route } of winners.slice(1)) {
    if (route !== winner) lose(route, 'a port has one TCPRoute, and this one is older or first by name');
  }
  return winners.slice(0, 1);
};

const portPlan = (service: string, port: number, attached: readonly Attached[], conflicts: RouteConflict[]): PortPlan => {
  const audiences = [...new Set(attached.map(({ attachment }) => attachment.consumer))].sort((a, b) => compareText(a ?? '', b ?? ''));
  // Routes merge within an audience only; the producer's rules come last, for whoever is in none.
  const shares = audiences.map((consumer) => {
    const own = attached.filter(({ attachment }) => attachment.consumer === consumer);
    return shareOf(settle(service, port, own, conflicts), consumer);
  });
  const producer = shares.find(({ consumer }) => consumer === undefined);
  const consumers = shares.flatMap(({ consumer, http }) =>
    consumer === undefined || http === undefined ? [] : [{ namespace: consumer, http }],
  );
  const inOrder = [...shares.filter((share) => share !== producer), ...(producer === undefined ? [] : [producer])];
  const [tls, tcp] = [inOrder.flatMap((share) => share.tls), inOrder.flatMap((share) => share.tcp)];
  return {
    port,
    ...(producer?.http !== undefined && { http: producer.http }),
    ...(consumers.length > 0 && { consumers }),
    ...(tls.length > 0 && { tls }),
    ...(tcp.length > 0 && { tcp }),
  };
};

/**
 * Merges what routes say about one service, by the precedence of the Gateway API: `Exact` path, longest `PathPrefix`, method, number of headers, number of
 * query parameters; then the older route, `namespace/name`, the first rule. A route without a port is on every port: it is merged into the entry
 * of each port that has routes of its own, and into entry 0, which stands for the rest.
 */
export const mergeRoutes = (serviceKey: string, routes: readonly CompiledRoute[]): MergedRoutes => {
  const attached = routes.flatMap(({ route, parents }) =>
    parents.flatMap(({ attachments }) =>
      attachments.filter(({ service }) => service === serviceKey).map((attachment) => ({ route, attachment })),
    ),
  );
  const ports = [...new Set(attached.map(({ attachment }) => attachment.port))].sort((a, b) => a - b);
  const conflicts: RouteConflict[] = [];
  return {
    ports: ports.map((port) => {
      const here = attached.filter(({ attachment }) => attachment.port === port || attachment.port === 0);
      return portPlan(serviceKey, port, here, conflicts);
    }),
    conflicts,
  };
};
