/** What the DNS proxies of all pods share. */
import fs from 'node:fs';
import { type AddressType, type NameOptions, type NameResult, resolveName } from '../../../mesh/dns/index.ts';
import type { MeshRegistry, Workload } from '../../../mesh/index.ts';
import type { Logger } from '../../../platform/telemetry/index.ts';
import type { DnsConfig } from '../config.ts';
import type { ProxyContext } from '../context.ts';
import { DNS_PORT } from './exchange.ts';
import { DnsMetrics } from './metrics.ts';
import { type DnsHost, PodDns } from './pod-dns.ts';
import { parseResolvConf, type ResolvConf } from './resolv-conf.ts';

/** Descriptors of all pods' queries and connections, at most: an eighth of those the process has for connections. */
const SHARE_OF_SOCKETS = 8;
const MIN_DESCRIPTORS = 64;
const RESOLV_CONF = '/etc/resolv.conf';

/** What the node has; tests bring their own. */
export interface NodeResolver {
  /** Text of `/etc/resolv.conf`. */
  readonly resolvConf?: string;
  readonly nameserverPort?: number;
}

type Needs = Pick<ProxyContext, 'config' | 'registry' | 'telemetry' | 'logging' | 'sockets' | 'random'>;

export class DnsService {
  readonly listen: DnsConfig;
  readonly mark: number | undefined;
  readonly reusePort: boolean;
  readonly resolvers: ResolvConf;
  readonly nameserverPort: number;
  readonly metrics: DnsMetrics;
  readonly log: Logger;
  readonly #registry: MeshRegistry;
  readonly #options: NameOptions;
  readonly #random: () => number;
  readonly #maxDescriptors: number;
  #descriptors = 0;

  constructor({ config, registry, telemetry, logging, sockets, random }: Needs, listen: DnsConfig, node: NodeResolver = {}) {
    const inPods = config.mode === 'shared';
    this.listen = listen;
    this.mark = config.packetMark;
    this.reusePort = config.inpodPortReuse;
    this.metrics = new DnsMetrics(telemetry);
    this.log = logging.logger('dns');
    this.#registry = registry;
    this.#random = random;
    this.#maxDescriptors = Math.max(MIN_DESCRIPTORS, Math.floor(sockets.limit / SHARE_OF_SOCKETS));
    this.resolvers = parseResolvConf(node.resolvConf ?? readResolvConf(), inPods);
    this.nameserverPort = node.nameserverPort ?? DNS_PORT;
    for (const problem of this.resolvers.problems)
      this.log.warn('the resolver configuration cannot be used as it is', { file: RESOLV_CONF, problem });
    const clusterDomain = config.clusterDomain.toLowerCase();
    this.#options = {
      clusterDomain,
      // A proxy of one workload has that workload's own file; of other pods Kubernetes' habits are assumed.
      search: inPods ? undefined : this.resolvers.search,
      preferredNamespace: listen.preferredNamespace,
      ipv6: config.ipv6,
    };
    this.log.info('DNS proxy is on', {
      addresses: listen.addresses.join(','),
      port: listen.port,
      nameservers: this.resolvers.nameservers.join(','),
    });
  }

  /** Serves a pod. `networkNamespace` undefined: the process's own. Throws a `SystemError` when the namespace is gone or the port is taken. */
  open(host: DnsHost, networkNamespace: number | undefined): PodDns {
    const dns = new PodDns(this, host, networkNamespace);
    dns.start();
    return dns;
  }

  resolve(client: Workload, name: string, type: AddressType): NameResult {
    return resolveName(this.#registry, client, name, type, this.#options, this.#random);
  }

  /** One more descriptor, to be given back; false when there are no more for DNS. */
  take(): boolean {
    if (this.#descriptors >= this.#maxDescriptors) return false;
    this.#descriptors++;
    return true;
  }

  giveBack(): void {
    this.#descriptors--;
  }
}

function readResolvConf(): string {
  try {
    return fs.readFileSync(RESOLV_CONF, 'utf8');
  } catch {
    return ''; // without the file there is no nameserver, which is reported
  }
}
