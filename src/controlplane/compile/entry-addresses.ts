/**
 * Addresses for hosts of ServiceEntries that list none, so that node proxies can tell their traffic apart: the DNS proxy answers with them. Once given
 * they stand in the status of the entry and stay. Ranges as Istio's, which nobody routes: 240.240.0.0/16 and 2001:2::/48.
 */
import type { Namespace, ServiceEntry } from '../../platform/kubernetes/index.ts';
import { byAge } from '../wire.ts';
import { hostsOf } from './service-entry.ts';

/** On the entry or its namespace; `false` leaves it without. */
export const ALLOCATE_LABEL = 'networking.istio.io/enable-autoallocate-ip';

/** How many hosts have room; the first and the last of the range are left out. */
export const ENTRY_ADDRESSES = 65_534;
const V4_PREFIX = '240.240.';

export type GivenAddress = NonNullable<NonNullable<ServiceEntry['status']>['addresses']>[number];

const v4 = (slot: number): string => `${V4_PREFIX}${slot >> 8}.${slot & 255}`;
const v6 = (slot: number): string => `2001:2::${slot.toString(16)}`;

/** The place of an address in the range; undefined for one of elsewhere. */
function slotOf(value: string): number | undefined {
  if (!value.startsWith(V4_PREFIX)) return undefined;
  const [high = Number.NaN, low = Number.NaN] = value.slice(V4_PREFIX.length).split('.').map(Number);
  const slot = high * 256 + low;
  return slot >= 1 && slot <= ENTRY_ADDRESSES ? slot : undefined;
}

/** FNV-1a: the same place for the same host, also after everything was lost. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return value;
}

/** Whether an entry's hosts are given addresses. */
export function wantsAddresses(entry: ServiceEntry, namespace: Namespace | undefined): boolean {
  const { resolution = 'NONE', addresses = [] } = entry.spec ?? {};
  if (resolution === 'NONE' || resolution === 'DYNAMIC_DNS' || addresses.length > 0) return false;
  const asked = entry.metadata.labels?.[ALLOCATE_LABEL] ?? namespace?.metadata.labels?.[ALLOCATE_LABEL];
  return asked?.toLowerCase() !== 'false';
}

/** What each entry's `status.addresses` ought to be, by `namespace/name`. Those of older entries stay; nobody gets what another has. */
export function giveAddresses(
  entries: Iterable<ServiceEntry>,
  namespaceOf: (name: string) => Namespace | undefined,
): Map<string, readonly GivenAddress[]> {
  const sorted = [...entries].sort((a, b) => byAge(a, b) || ((a.metadata.namespace ?? '') < (b.metadata.namespace ?? '') ? -1 : 1));
  const taken = new Set<number>();
  const wanted = sorted.map((entry) => {
    const key = `${entry.metadata.namespace}/${entry.metadata.name}`;
    const hosts = wantsAddresses(entry, namespaceOf(entry.metadata.namespace ?? ''))
      ? hostsOf(entry).filter((host) => !host.startsWith('*'))
      : [];
    const slots = new Map<string, number>();
    for (const host of hosts) {
      const old = entry.status?.addresses?.find((given) => given.host === host && given.value?.startsWith(V4_PREFIX))?.value;
      const slot = old === undefined ? undefined : slotOf(old);
      if (slot === undefined || taken.has(slot)) continue;
      taken.add(slot);
      slots.set(host, slot);
    }
    return { key, hosts, slots };
  });
  return new Map(
    wanted.map(({ key, hosts, slots }) => {
      for (const host of hosts) {
        if (slots.has(host) || taken.size >= ENTRY_ADDRESSES) continue;
        let slot = (hash(`${key}/${host}`) % ENTRY_ADDRESSES) + 1;
        while (taken.has(slot)) slot = slot === ENTRY_ADDRESSES ? 1 : slot + 1;
        taken.add(slot);
        slots.set(host, slot);
      }
      const given = hosts.flatMap((host) => {
        const slot = slots.get(host);
        return slot === undefined ? [] : [v4(slot), v6(slot)].map((value) => ({ value, host }));
      });
      return [key, given];
    }),
  );
}
