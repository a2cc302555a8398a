import type { DestinationRule, VirtualService } from '../../platform/kubernetes/index.ts';
import {
  type CompiledDestinationRule,
  type CompiledVirtualService,
  checkRegex,
  compileDestinationRule,
  compileVirtualService,
  destinationRulesFor,
  hostMatches,
  type IstioLookup,
  type IstioServicePlan,
  istioPlanOf,
  type RoutedService,
  serviceKey,
} from '../wire.ts';
import { Dependents } from './dependents.ts';
import type { Affected } from './gateway-routes.ts';
import { hostnameOf, type MeshServices, nameOfHost, serviceNameOf } from './services.ts';

/** `lastGood`: the last version that was not refused; `inForce`: it compiled, when the present one is refused. */
interface Entry<T, C> {
  readonly object: T;
  readonly lastGood?: T;
  readonly compiled?: C;
  readonly inForce?: C;
}
type Table<T, C> = Map<string, Entry<T, C>>;

interface Compiled {
  readonly isRefused: boolean;
}

/** VirtualServices and DestinationRules: each compiled by itself, again when something it was made of changes. */
export class IstioRules {
  readonly #services: MeshServices;
  readonly #lookup: IstioLookup;
  readonly #virtualServices: Table<VirtualService, CompiledVirtualService> = new Map();
  readonly #destinationRules: Table<DestinationRule, CompiledDestinationRule> = new Map();
  /** VirtualService → hosts (`host/…`) and delegates (`delegate/…`) it was made of; DestinationRule → hosts. */
  readonly #virtualServiceNeeds = new Dependents(isWildcard);
  readonly #destinationRuleNeeds = new Dependents(isWildcard);
  /** → keys of the services it says something about. */
  readonly #routed = new Dependents();
  readonly #ruled = new Dependents();
  readonly #dirtyVirtualServices = new Set<string>();
  readonly #dirtyDestinationRules = new Set<string>();

  constructor(services: MeshServices) {
    this.#services = services;
    this.#lookup = {
      rootNamespace: services.rootNamespace,
      clusterDomain: services.clusterDomain,
      servicesOf: (host) => this.#servicesOf(host),
      virtualService: (namespace, name) => this.#virtualServices.get(`${namespace}/${name}`)?.object,
      hasSubset: (service, subset) => this.#inForce(service).some(({ subsets }) => subsets.some(({ name }) => name === subset)),
      workloadsOf: (key) => {
        const name = serviceNameOf(key, services.clusterDomain);
        const service = name && services.service(name.namespace, name.name);
        return service === undefined ? [] : services.membersOf(service);
      },
      checkRegex,
    };
  }

  get isDirty(): boolean {
    return this.#dirtyVirtualServices.size + this.#dirtyDestinationRules.size > 0;
  }

  setVirtualService(key: string, object: VirtualService | undefined): void {
    if (!put(this.#virtualServices, key, object)) return;
    this.#dirtyVirtualServices.add(key);
    for (const id of this.#virtualServiceNeeds.of(`delegate/${key}`)) this.#dirtyVirtualServices.add(id);
  }

  setDestinationRule(key: string, object: DestinationRule | undefined): void {
    if (put(this.#destinationRules, key, object)) this.#dirtyDestinationRules.add(key);
  }

  /** A service of this name came, went, or has other ports or another waypoint. */
  hostChanged(hostname: string): void {
    for (const key of dependentsOfHost(this.#virtualServiceNeeds, hostname)) this.#dirtyVirtualServices.add(key);
    for (const key of dependentsOfHost(this.#destinationRuleNeeds, hostname)) this.#dirtyDestinationRules.add(key);
  }

  compile(affected: Affected): void {
    const attempt = (kind: string, keys: Set<string>, compile: (key: string) => void) => {
      for (const key of keys) {
        try {
          compile(key);
        } catch (error) {
          affected.failed(`${kind}/${key}`, error as Error);
        }
      }
      keys.clear();
    };
    // First, because VirtualServices ask which subsets there are.
    attempt('DestinationRule', this.#dirtyDestinationRules, (key) => this.#compileDestinationRule(key, affected));
    attempt('VirtualService', this.#dirtyVirtualServices, (key) => this.#compileVirtualService(key, affected));
  }

  #compileDestinationRule(key: string, affected: Affected): void {
    const before = new Set(this.#ruled.keysOf(key));
    const entry = compiledEntry(this.#destinationRules, key, (object) => compileDestinationRule(object, this.#lookup));
    const compiled = entry?.inForce ?? entry?.compiled;
    this.#destinationRuleNeeds.set(
      key,
      (entry?.compiled?.dependsOn.hosts ?? []).map((host) => `host/${host}`),
    );
    this.#ruled.set(key, compiled?.services ?? []);
    if (entry !== undefined) affected.status(`DestinationRule/${key}`);
    for (const service of new Set([...before, ...(compiled?.services ?? [])])) {
      affected.service(service);
      const hostname = service.slice(service.indexOf('/') + 1);
      for (const id of dependentsOfHost(this.#virtualServiceNeeds, hostname)) this.#dirtyVirtualServices.add(id);
    }
  }

  #compileVirtualService(key: string, affected: Affected): void {
    const touched = new Set(this.#routed.keysOf(key));
    const entry = compiledEntry(this.#virtualServices, key, (object) => compileVirtualService(object, this.#lookup));
    const results = entry === undefined ? [] : [entry.compiled, entry.inForce].filter((result) => result !== undefined);
    this.#virtualServiceNeeds.set(key, [
      ...new Set(
        results.flatMap(({ dependsOn }) => [
          ...dependsOn.hosts.map((host) => `host/${host}`),
          ...dependsOn.virtualServices.map((delegate) => `delegate/${delegate}`),
        ]),
      ),
    ]);
    const services = new Set((entry?.inForce ?? entry?.compiled)?.fragments.map(({ service }) => service));
    this.#routed.set(key, [...services]);
    if (entry !== undefined) affected.status(`VirtualService/${key}`);
    for (const service of [...touched, ...services]) affected.service(service);
  }

  /** What both kinds say about a service. */
  planOf(key: string): IstioServicePlan | undefined {
    const service = this.#routedByKey(key);
    if (service === undefined) return undefined;
    const fragments = [...this.#routed.of(key)].flatMap((id) => {
      const entry = this.#virtualServices.get(id);
      return (entry?.inForce ?? entry?.compiled)?.fragments ?? [];
    });
    return istioPlanOf(service, fragments, this.#rulesOf(key), this.#lookup);
  }

  /** Objects (`Kind/namespace/name`) that say something about a service. */
  *idsOf(service: string): IterableIterator<string> {
    for (const key of this.#routed.of(service)) yield `VirtualService/${key}`;
    for (const key of this.#ruled.of(service)) yield `DestinationRule/${key}`;
  }
  /** Services an object says something about. */
  servicesOf(kind: 'VirtualService' | 'DestinationRule', key: string): readonly string[] {
    return (kind === 'VirtualService' ? this.#routed : this.#ruled).keysOf(key);
  }
  compiled(kind: 'VirtualService' | 'DestinationRule', key: string): CompiledVirtualService | CompiledDestinationRule | undefined {
    return (kind === 'VirtualService' ? this.#virtualServices : this.#destinationRules).get(key)?.compiled;
  }
  /** Whether an earlier version of a refused object serves on. */
  hasLastGood(kind: 'VirtualService' | 'DestinationRule', key: string): boolean {
    return (kind === 'VirtualService' ? this.#virtualServices : this.#destinationRules).get(key)?.inForce !== undefined;
  }
  /** Whether the service's plan depends on which pods it has. */
  hasSubsets(service: string): boolean {
    return this.#rulesOf(service).some(({ subsets }) => subsets.length > 0);
  }
  /** Services for which there are DestinationRules. */
  ruledServices(): IterableIterator<string> {
    return this.#ruled.keys();
  }

  #rulesOf(service: string): CompiledDestinationRule[] {
    return [...this.#ruled.of(service)].flatMap((key) => {
      const entry = this.#destinationRules.get(key);
      return entry?.inForce ?? entry?.compiled ?? [];
    });
  }
  #inForce(key: string): readonly CompiledDestinationRule[] {
    const service = this.#routedByKey(key);
    return service === undefined ? [] : destinationRulesFor(service, this.#rulesOf(key), this.#services.rootNamespace);
  }

  /** The service as VirtualServices see it. */
  #routedByKey(key: string): RoutedService | undefined {
    const name = serviceNameOf(key, this.#services.clusterDomain);
    return name && this.#routedService(name.namespace, name.name);
  }
  #routedService(namespace: string, name: string): RoutedService | undefined {
    const service = this.#services.service(namespace, name);
    if (service === undefined) return undefined;
    const hostname = hostnameOf({ namespace, name }, this.#services.clusterDomain);
    const gateway = this.#services.binding(`${namespace}/${name}`)?.gateways?.[0];
    const addresses = (service.spec?.clusterIPs ?? []).filter((address) => address !== '' && address !== 'None');
    return {
      key: serviceKey({ namespace, hostname }),
      namespace,
      hostname,
      ports: (service.spec?.ports ?? []).map(({ port }) => port),
      addresses,
      ...(gateway !== undefined && { waypointNamespace: gateway.slice(0, gateway.indexOf('/')) }),
    };
  }

  #servicesOf(host: string): readonly RoutedService[] {
    if (!host.startsWith('*')) {
      const name = nameOfHost(host, this.#services.clusterDomain);
      return (name && [this.#routedService(name.namespace, name.name) ?? []].flat()) ?? [];
    }
    const found: RoutedService[] = [];
    for (const { metadata } of this.#services.services()) {
      const name = { namespace: metadata.namespace ?? '', name: metadata.name ?? '' };
      if (!hostMatches(host, hostnameOf(name, this.#services.clusterDomain))) continue;
      const routed = this.#routedService(name.namespace, name.name);
      if (routed !== undefined) found.push(routed);
    }
    return found;
  }
}

/** Puts or removes; false when the specification is the one that was there. */
function put<T extends { metadata: { uid?: string; generation?: number } }, C>(
  table: Table<T, C>,
  key: string,
  object: T | undefined,
): boolean {
  const before = table.get(key);
  if (object === undefined) return table.delete(key);
  const isSameObject = before?.object.metadata.uid === object.metadata.uid;
  if (before !== undefined && isSameObject && before.object.metadata.generation === object.metadata.generation) return false;
  const { lastGood, ...rest } = before ?? {};
  table.set(key, { ...rest, object, ...(isSameObject && lastGood !== undefined && { lastGood }) });
  return true;
}

function compiledEntry<T, C extends Compiled>(table: Table<T, C>, key: string, compile: (object: T) => C): Entry<T, C> | undefined {
  const entry = table.get(key);
  if (entry === undefined) return undefined;
  const { object, lastGood } = entry;
  const compiled = compile(object);
  const next: Entry<T, C> = !compiled.isRefused
    ? { object, compiled, lastGood: object }
    : { object, compiled, ...(lastGood !== undefined && { lastGood, inForce: compile(lastGood) }) };
  table.set(key, next);
  return next;
}

const isWildcard = (key: string): boolean => key.startsWith('host/*');

/** Those that name the host, or a wildcard it falls under. */
function* dependentsOfHost(needs: Dependents, hostname: string): IterableIterator<string> {
  yield* needs.of(`host/${hostname}`);
  for (const key of needs.patterns()) if (hostMatches(key.slice('host/'.length), hostname)) yield* needs.of(key);
}
