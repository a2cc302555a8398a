import { compileCidr, ipFamily, maskIp, parseIp } from './ip.ts';
import type { NetworkAddress, Service, Workload } from './model.ts';

/** A map from a key to the values filed under it, kept in `compare` order so that the order of arrival never shows. */
export class MultiMap<V> {
  readonly #lists = new Map<string, readonly V[]>();
  readonly #compare: (a: V, b: V) => number;

  constructor(compare: (a: V, b: V) => number) {
    this.#compare = compare;
  }

  get(key: string): readonly V[] {
    return this.#lists.get(key) ?? [];
  }

  keys(): IterableIterator<string> {
    return this.#lists.keys();
  }

  add(key: string, value: V): void {
    const list = this.#lists.get(key);
    if (list === undefined) {
      this.#lists.set(key, [value]);
      return;
    }
    const at = list.findIndex((other) => this.#compare(value, other) < 0);
    this.#lists.set(key, at < 0 ? [...list, value] : [...list.slice(0, at), value, ...list.slice(at)]);
  }

  delete(key: string, value: V): void {
    const rest = this.get(key).filter((other) => other !== value);
    if (rest.length === 0) this.#lists.delete(key);
    else this.#lists.set(key, rest);
  }
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Several workloads under one address: a pod first, then one that takes HBONE, then the smaller uid (2.1). */
export const compareWorkloads = (a: Workload, b: Workload): number =>
  Number(b.uid.includes('//Pod/')) - Number(a.uid.includes('//Pod/')) ||
  Number(b.tunnelProtocol === 'HBONE') - Number(a.tunnelProtocol === 'HBONE') ||
  byText(a.uid, b.uid);

export const compareServices = (a: Service, b: Service): number => byText(a.namespace, b.namespace) || byText(a.hostname, b.hostname);

export const isCidrVip = (vip: NetworkAddress): boolean =>
  vip.length !== undefined && vip.length !== (ipFamily(vip.address) === 4 ? 32 : 128);

/** A service found through a CIDR VIP, with the length of the prefix that matched. */
export interface CidrHit {
  readonly service: Service;
  readonly length: number;
}

/** Services by CIDR VIP: per network and family one hash table for each prefix length in use, longest first. */
export class CidrVips {
  readonly #tables = new Map<string, { lengths: number[]; services: MultiMap<Service> }>();

  add(vip: NetworkAddress, service: Service): void {
    const key = this.#key(vip);
    if (key === undefined) return;
    const name = `${vip.network}/${ipFamily(vip.address)}`;
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = { lengths: [], services: new MultiMap(compareServices) };
      this.#tables.set(name, table);
    }
    table.services.add(key, service);
    if (!table.lengths.includes(vip.length!)) table.lengths = [...table.lengths, vip.length!].sort((a, b) => b - a);
  }

  delete(vip: NetworkAddress, service: Service): void {
    const key = this.#key(vip);
    const name = `${vip.network}/${ipFamily(vip.address)}`;
    const table = this.#tables.get(name);
    if (key === undefined || table === undefined) return;
    table.services.delete(key, service);
    const lengths = new Set([...table.services.keys()].map((other) => Number(other.slice(other.indexOf('/') + 1))));
    table.lengths = [...lengths].sort((a, b) => b - a);
    if (lengths.size === 0) this.#tables.delete(name);
  }

  /** Every service whose range holds the address, longest prefix first. */
  find(network: string, address: string): CidrHit[] {
    const table = this.#tables.get(`${network}/${ipFamily(address)}`);
    const ip = table && parseIp(address);
    if (table === undefined || ip === undefined) return [];
    const hits: CidrHit[] = [];
    for (const length of table.lengths) {
      const masked = maskIp(ip, length);
      for (const service of table.services.get(`${masked.a}.${masked.b}.${masked.c}.${masked.d}/${length}`)) hits.push({ service, length });
    }
    return hits;
  }

  #key(vip: NetworkAddress): string | undefined {
    const test = compileCidr({ address: vip.address, length: vip.length ?? -1 });
    return test && `${test.network.a}.${test.network.b}.${test.network.c}.${test.network.d}/${vip.length}`;
  }
}
