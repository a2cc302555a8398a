/**
 * A static configuration file (`LOCAL_XDS_PATH`, ambient contract 11.3): workloads, services and policies in camelCase. The caller parses the YAML; a value with a
 * YAML tag (`!Exact x`) arrives as a {@link TaggedValue}. Unknown keys and values are errors, all of them reported with their path.
 */
import { DEFAULT_CLUSTER_ID, DEFAULT_SERVICE_ACCOUNT, DEFAULT_TRUST_DOMAIN } from './identity.ts';
import { canonicalIp, parseCidr } from './ip.ts';
import type {
  Authorization,
  Cidr,
  GatewayAddress,
  LoadBalancing,
  Match,
  NetworkAddress,
  RoutingScope,
  Service,
  ServicePort,
  StringMatch,
  Workload,
} from './model.ts';
import { fail, ok, type Result } from './result.ts';

/** A scalar with a YAML tag, without the exclamation mark: `!Exact x` is `new TaggedValue('Exact', 'x')`. */
export class TaggedValue {
  readonly tag: string;
  readonly value: string;
  constructor(tag: string, value: string) {
    this.tag = tag;
    this.value = value;
  }
}

export interface LocalConfig {
  readonly workloads: readonly Workload[];
  readonly services: readonly Service[];
  readonly policies: readonly Authorization[];
}

type Fields = Readonly<Record<string, unknown>>;

/** Reads fields of one object, remembers which were asked for, and reports the others. */
class Reader {
  readonly #fields: Fields;
  readonly #path: string;
  readonly #problems: string[];
  readonly #seen = new Set<string>();

  constructor(value: unknown, path: string, problems: string[]) {
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof TaggedValue);
    if (!isObject) problems.push(`${path || 'the file'}: must be a mapping`);
    this.#fields = isObject ? (value as Fields) : {}; // checked on the line above
    this.#path = path;
    this.#problems = problems;
  }

  at(key: string): string {
    return this.#path === '' ? key : `${this.#path}.${key}`;
  }

  problem(key: string, text: string): void {
    this.#problems.push(`${this.at(key)}: ${text}`);
  }

  raw(key: string): unknown {
    this.#seen.add(key);
    return this.#fields[key];
  }

  /** A text; numbers are accepted where YAML made one of a plain scalar. */
  text(key: string, fallback = ''): string {
    const value = this.raw(key);
    if (value === undefined || value === null) return fallback;
    if (typeof value === 'string') return value;
    if (typeof value === 'number') return String(value);
    this.problem(key, 'must be a string');
    return fallback;
  }

  required(key: string): string {
    const value = this.text(key);
    if (value === '') this.problem(key, 'is required');
    return value;
  }

  number(key: string, fallback: number): number {
    const value = this.raw(key);
    if (value === undefined || value === null) return fallback;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value;
    this.problem(key, 'must be a whole number');
    return fallback;
  }

  boolean(key: string, fallback = false): boolean {
    const value = this.raw(key);
    if (value === undefined || value === null) return fallback;
    if (typeof value === 'boolean') return value;
    this.problem(key, 'must be true or false');
    return fallback;
  }

  list(key: string): readonly unknown[] {
    const value = this.raw(key);
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value;
    this.problem(key, 'must be a list');
    return [];
  }

  texts(key: string): string[] {
    return this.list(key).map((value, index) => {
      if (typeof value !== 'string') this.problem(`${key}[${index}]`, 'must be a string');
      return String(value);
    });
  }

  /** One of `names`, in any case of letters. */
  choice<T extends string>(key: string, names: readonly T[], fallback: T): T {
    const value = this.text(key);
    if (value === '') return fallback;
    const plain = (text: string) => text.replaceAll('_', '').toUpperCase();
    const found = names.find((name) => plain(name) === plain(value));
    if (found === undefined) this.problem(key, `'${value}' is none of ${names.join(', ')}`);
    return found ?? fallback;
  }

  inner(key: string): Reader | undefined {
    const value = this.raw(key);
    return value === undefined || value === null ? undefined : new Reader(value, this.at(key), this.#problems);
  }

  entries(key: string): [string, unknown][] {
    const value = this.raw(key);
    if (value === undefined || value === null) return [];
    if (typeof value === 'object' && !Array.isArray(value)) return Object.entries(value);
    this.problem(key, 'must be a mapping');
    return [];
  }

  each<T>(key: string, read: (reader: Reader) => T): T[] {
    return this.list(key).map((value, index) => read(new Reader(value, this.at(`${key}[${index}]`), this.#problems)));
  }

  /** Reports every field nobody asked for. */
  done(): void {
    for (const key of Object.keys(this.#fields)) if (!this.#seen.has(key)) this.problem(key, 'unknown field');
  }
}

/** Reads a parsed configuration file. */
export function readLocalConfig(value: unknown): Result<LocalConfig, readonly string[]> {
  const problems: string[] = [];
  const root = new Reader(value ?? {}, '', problems);
  const config: LocalConfig = {
    workloads: root.each('workloads', workloadFrom),
    services: root.each('services', serviceFrom),
    policies: root.each('policies', policyFrom),
  };
  root.done();
  return problems.length > 0 ? fail(problems) : ok(config);
}

function workloadFrom(from: Reader): Workload {
  const waypoint = gatewayFrom(from, 'waypoint');
  const networkGateway = gatewayFrom(from, 'networkGateway');
  const tunnel = from.inner('applicationTunnel');
  const locality = from.inner('locality');
  const workload: Workload = {
    uid: from.required('uid'),
    name: from.text('name'),
    namespace: from.text('namespace'),
    addresses: from.texts('workloadIps').map((text, index) => ipFrom(from, `workloadIps[${index}]`, text)),
    hostname: from.text('hostname'),
    network: from.text('network'),
    tunnelProtocol: from.choice('protocol', ['HBONE', 'NONE', 'TCP'] as const, 'NONE') === 'HBONE' ? 'HBONE' : 'NONE',
    trustDomain: from.text('trustDomain') || DEFAULT_TRUST_DOMAIN,
    serviceAccount: from.text('serviceAccount') || DEFAULT_SERVICE_ACCOUNT,
    ...(waypoint && { waypoint }),
    ...(networkGateway && { networkGateway }),
    node: from.text('node'),
    canonicalName: from.text('canonicalName'),
    canonicalRevision: from.text('canonicalRevision'),
    workloadType: from.choice('workloadType', ['DEPLOYMENT', 'CRONJOB', 'POD', 'JOB'] as const, 'DEPLOYMENT'),
    workloadName: from.text('workloadName'),
    nativeTunnel: from.boolean('nativeTunnel'),
    authorizationPolicies: from.texts('authorizationPolicies'),
    status: from.choice('status', ['HEALTHY', 'UNHEALTHY'] as const, 'HEALTHY'),
    clusterId: from.text('clusterId') || DEFAULT_CLUSTER_ID,
    services: new Map(from.entries('services').map(([key, ports]) => [key, portsFrom(from, `services.${key}`, ports)])),
    ...(tunnel && {
      applicationTunnel: { protocol: tunnel.choice('protocol', ['NONE', 'PROXY'] as const, 'NONE'), port: tunnel.number('port', 0) },
    }),
    locality: { region: locality?.text('region') ?? '', zone: locality?.text('zone') ?? '', subzone: locality?.text('subzone') ?? '' },
    networkMode: from.choice('networkMode', ['STANDARD', 'HOST_NETWORK'] as const, 'STANDARD'),
    capacity: from.number('capacity', 1),
  };
  if (from.raw('services') === undefined) from.problem('services', "is required; '{}' means none");
  tunnel?.done();
  locality?.done();
  from.done();
  return workload;
}

function serviceFrom(from: Reader): Service {
  const waypoint = gatewayFrom(from, 'waypoint');
  const balancing = from.inner('loadBalancer');
  const service: Service = {
    name: from.text('name'),
    namespace: from.text('namespace'),
    hostname: from.required('hostname'),
    vips: from.texts('vips').map((text, index) => networkAddressFrom(from, `vips[${index}]`, text)),
    ports: portsFrom(from, 'ports', from.raw('ports')),
    subjectAltNames: from.texts('subjectAltNames'),
    ...(waypoint && { waypoint }),
    weightedWaypoints: [],
    ...(balancing && { loadBalancing: loadBalancingFrom(balancing) }),
    ipFamilies: from.choice('ipFamilies', ['AUTOMATIC', 'IPV4_ONLY', 'IPV6_ONLY', 'DUAL'] as const, 'AUTOMATIC'),
    canonical: from.boolean('canonical'),
    visibility: from.choice('visibility', ['PUBLIC', 'NAMESPACE'] as const, 'PUBLIC'),
  };
  from.raw('endpoints'); // shown by dumps; derived from workloads
  from.done();
  return service;
}

const SCOPES: readonly RoutingScope[] = ['REGION', 'ZONE', 'SUBZONE', 'NODE', 'CLUSTER', 'NETWORK'];

function loadBalancingFrom(from: Reader): LoadBalancing {
  const routingPreference = from.texts('routingPreferences').flatMap((text) => {
    const scope = SCOPES.find((name) => name === text.toUpperCase());
    if (scope === undefined) from.problem('routingPreferences', `'${text}' is none of ${SCOPES.join(', ')}`);
    return scope ?? [];
  });
  const mode = from.choice('mode', ['UNSPECIFIED', 'STANDARD', 'STRICT', 'FAILOVER', 'PASSTHROUGH'] as const, 'UNSPECIFIED');
  const healthPolicy = from.choice('healthPolicy', ['ONLY_HEALTHY', 'ALLOW_ALL'] as const, 'ONLY_HEALTHY');
  from.done();
  return { routingPreference, mode: mode === 'STANDARD' ? 'UNSPECIFIED' : mode, healthPolicy };
}

/** `{80: 8080}`: service port to target port. */
function portsFrom(from: Reader, key: string, value: unknown): ServicePort[] {
  if (value === undefined || value === null) return [];
  if (typeof value !== 'object' || Array.isArray(value)) {
    from.problem(key, 'must be a mapping of service port to target port');
    return [];
  }
  return Object.entries(value).map(([servicePort, targetPort]) => {
    if (!Number.isInteger(Number(servicePort)) || !Number.isInteger(targetPort))
      from.problem(`${key}.${servicePort}`, 'ports must be numbers');
    return { servicePort: Number(servicePort), targetPort: Number(targetPort), appProtocol: 'UNKNOWN' };
  });
}

function ipFrom(from: Reader, key: string, text: string): string {
  const ip = canonicalIp(text);
  if (ip === undefined) from.problem(key, `'${text}' is not an IP address`);
  return ip ?? '';
}

/** `network/ip`, the network may be empty. */
function networkAddressFrom(from: Reader, key: string, text: string): NetworkAddress {
  const slash = text.indexOf('/');
  if (slash < 0) from.problem(key, `'${text}' must be network/address, with an empty network '/${text}'`);
  return { network: text.slice(0, Math.max(slash, 0)), address: ipFrom(from, key, text.slice(slash + 1)) };
}

/** `destination` is `network/ip` or `namespace/hostname`. */
function gatewayFrom(parent: Reader, key: string): GatewayAddress | undefined {
  const from = parent.inner(key);
  if (from === undefined) return undefined;
  const text = from.required('destination');
  const hboneMtlsPort = from.number('hboneMtlsPort', 15_008);
  from.done();
  const slash = text.indexOf('/');
  if (canonicalIp(text.slice(slash + 1)) !== undefined)
    return { destination: { kind: 'address', value: networkAddressFrom(from, 'destination', text) }, hboneMtlsPort };
  if (slash < 1) from.problem('destination', `'${text}' must be network/ip or namespace/hostname`);
  return {
    destination: { kind: 'hostname', value: { namespace: text.slice(0, Math.max(slash, 0)), hostname: text.slice(slash + 1) } },
    hboneMtlsPort,
  };
}

function policyFrom(from: Reader): Authorization {
  const policy: Authorization = {
    name: from.required('name'),
    namespace: from.text('namespace'),
    scope: from.choice('scope', ['GLOBAL', 'NAMESPACE', 'WORKLOAD_SELECTOR'] as const, 'GLOBAL'),
    action: from.choice('action', ['ALLOW', 'DENY'] as const, 'ALLOW'),
    dryRun: from.boolean('dryRun'),
    rules: from.list('rules').map((rule, r) => ({
      clauses: listOf(from, `rules[${r}]`, rule).map((clause, c) => ({
        matches: listOf(from, `rules[${r}][${c}]`, clause).map((match, m) => matchFrom(from, `rules[${r}][${c}][${m}]`, match)),
      })),
    })),
  };
  if (from.raw('dryRun') === undefined) from.problem('dryRun', 'is required');
  from.done();
  return policy;
}

function listOf(from: Reader, key: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  from.problem(key, 'must be a list');
  return [];
}

function matchFrom(parent: Reader, key: string, value: unknown): Match {
  const problems: string[] = [];
  const from = new Reader(value, parent.at(key), problems);
  const strings = (name: string): StringMatch[] =>
    from.list(name).flatMap((one, index) => stringMatchFrom(from, `${name}[${index}]`, one) ?? []);
  const cidrs = (name: string): Cidr[] =>
    from.texts(name).flatMap((text) => {
      const cidr = parseCidr(text);
      if (cidr === undefined) from.problem(name, `'${text}' is not an address range`);
      return cidr ?? [];
    });
  const ports = (name: string): number[] => from.list(name).map((port) => Number(port));
  const accounts = (name: string) =>
    from.each(name, (account) => {
      const read = { namespace: account.required('namespace'), serviceAccount: account.required('serviceAccount') };
      account.done();
      return read;
    });
  const match: Match = {
    namespaces: strings('namespaces'),
    notNamespaces: strings('notNamespaces'),
    principals: strings('principals'),
    notPrincipals: strings('notPrincipals'),
    sourceIps: cidrs('sourceIps'),
    notSourceIps: cidrs('notSourceIps'),
    destinationIps: cidrs('destinationIps'),
    notDestinationIps: cidrs('notDestinationIps'),
    destinationPorts: ports('destinationPorts'),
    notDestinationPorts: ports('notDestinationPorts'),
    serviceAccounts: accounts('serviceAccounts'),
    notServiceAccounts: accounts('notServiceAccounts'),
  };
  from.done();
  for (const problem of problems) parent.problem('', problem);
  return match;
}

const STRING_MATCHES: Readonly<Record<string, 'exact' | 'prefix' | 'suffix' | undefined>> = {
  Exact: 'exact',
  Prefix: 'prefix',
  Suffix: 'suffix',
};

function stringMatchFrom(from: Reader, key: string, value: unknown): StringMatch | undefined {
  if (value instanceof TaggedValue) {
    const kind = STRING_MATCHES[value.tag];
    if (kind !== undefined) return { kind, value: value.value };
    if (value.tag === 'Presence') return { kind: 'presence' };
  }
  if (value === 'Presence') return { kind: 'presence' };
  from.problem(key, 'must carry a tag: !Exact, !Prefix or !Suffix with a value, or Presence');
  return undefined;
}
