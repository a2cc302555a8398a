import type { Service } from '../../platform/kubernetes/kinds/index.ts';
import { invalid, Refusal } from './errors.ts';
import type { Store, StoredObject } from './store.ts';

const SERVICES = { group: '', plural: 'services', kind: 'Service' };

/** Cluster IPs out of the service range. Derived from the stored Services: nothing else to keep in step. */
export class ServiceAddresses {
  readonly #store: Store;
  readonly #base: number;
  readonly #size: number;
  #next: number;

  constructor(store: Store, cidr: string) {
    const [network = '', bits = ''] = cidr.split('/');
    const prefix = Number(bits);
    if (parseAddress(network) === undefined || !(prefix >= 8 && prefix <= 30))
      throw new Error(`SERVICE_CIDR is "${cidr}": give an IPv4 range such as 10.96.0.0/16`);
    this.#store = store;
    this.#size = 2 ** (32 - prefix);
    this.#base = Math.floor(parseAddress(network)! / this.#size) * this.#size;
    this.#next = 256; // the first addresses are for fixed Services, such as the API server's and DNS
  }

  /** The address with this index: 1 is the API server's. */
  at(index: number): string {
    return formatAddress(this.#base + index);
  }

  #used(): Set<string> {
    return new Set(this.#store.list('/services').map((entry) => String((entry.object['spec'] as Service['spec'])?.clusterIP ?? '')));
  }

  /** Gives a Service its address, or checks the one it asks for. */
  assign(object: StoredObject, old: StoredObject | undefined): void {
    const spec = object['spec'] as NonNullable<Service['spec']>; // the Service's defaults made it
    const oldSpec = old?.['spec'] as Service['spec'];
    if (spec.type === 'ExternalName') {
      delete spec.clusterIP;
      delete spec.clusterIPs;
      return;
    }
    const before = oldSpec?.clusterIP ?? '';
    if (before !== '') {
      spec.clusterIP ??= before;
      if (spec.clusterIP === '') spec.clusterIP = before;
      if (spec.clusterIP !== before) {
        throw invalid(SERVICES, object.metadata.name ?? '', [
          {
            field: 'spec.clusterIPs[0]',
            reason: 'FieldValueInvalid',
            message: `Invalid value: ["${spec.clusterIP}"]: may not change once set`,
          },
        ]);
      }
    } else if (spec.clusterIP === undefined || spec.clusterIP === '') {
      spec.clusterIP = this.#allocate();
    } else if (spec.clusterIP !== 'None') {
      const problem = this.#problem(spec.clusterIP);
      if (problem !== undefined) {
        throw invalid(SERVICES, object.metadata.name ?? '', [
          { field: 'spec.clusterIPs', reason: 'FieldValueInvalid', message: `Invalid value: ["${spec.clusterIP}"]: ${problem}` },
        ]);
      }
    }
    spec.clusterIPs = [spec.clusterIP];
  }

  #problem(address: string): string | undefined {
    const value = parseAddress(address);
    if (value === undefined) return 'must be empty, "None", or a valid IP address';
    if (value <= this.#base || value >= this.#base + this.#size - 1) {
      return `failed to allocate IP ${address}: the provided IP (${address}) is not in the valid range. The range of valid IPs is ${formatAddress(this.#base)}/${32 - Math.log2(this.#size)}`;
    }
    return this.#used().has(address) ? `failed to allocate IP ${address}: provided IP is already allocated` : undefined;
  }

  #allocate(): string {
    const used = this.#used();
    for (let tried = 0; tried < this.#size; tried++) {
      const index = this.#next;
      this.#next = this.#next + 1 >= this.#size - 1 ? 2 : this.#next + 1;
      if (index <= 0 || index >= this.#size - 1) continue;
      const address = this.at(index);
      if (!used.has(address)) return address;
    }
    throw new Refusal(
      500,
      'InternalError',
      `No cluster IP is free in ${formatAddress(this.#base)}/${32 - Math.log2(this.#size)}: delete Services, or start the cluster with a larger SERVICE_CIDR.`,
    );
  }
}

function parseAddress(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) return undefined;
  return parts.reduce((value, part) => value * 256 + Number(part), 0);
}

const formatAddress = (value: number): string => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.');
