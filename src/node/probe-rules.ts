/**
 * The rule in the node's own namespace that gives kubelet probes of enrolled pods a source address the pods' rules let through:
 * a kubelet has no mesh identity, so its probes must pass a STRICT policy around the proxy. Pure text, plus the shell below it.
 */
import { runNft } from '../platform/linux/index.ts';
import { PROBE_SNAT_IPV4, PROBE_SNAT_IPV6 } from './rules.ts';

export const HOST_TABLE = 'istio-ambient-host';

export interface ProbeRuleOptions {
  readonly ipv4: string;
  readonly ipv6: string;
  /** Only this user's sockets are probes: the kubelet's. */
  readonly kubeletUid: number;
}

export const DEFAULT_PROBE_RULES: ProbeRuleOptions = { ipv4: PROBE_SNAT_IPV4, ipv6: PROBE_SNAT_IPV6, kubeletUid: 0 };

const elements = (set: string, ips: readonly string[]): string =>
  ips.length === 0 ? '' : `add element inet ${HOST_TABLE} ${set} { ${ips.join(', ')} }\n`;

/** The whole table with these pods' addresses, in one transaction: a running pod's address is never missing in between. */
export function hostProbeScript(podIps: Iterable<string>, options: ProbeRuleOptions = DEFAULT_PROBE_RULES): string {
  const all = [...new Set(podIps)].sort();
  const v4 = all.filter((ip) => !ip.includes(':'));
  const v6 = all.filter((ip) => ip.includes(':'));
  const from = `meta l4proto tcp meta skuid ${options.kubeletUid}`;
  return `table inet ${HOST_TABLE} {}
delete table inet ${HOST_TABLE}
table inet ${HOST_TABLE} {
  set probes-v4 { type ipv4_addr; }
  set probes-v6 { type ipv6_addr; }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip daddr @probes-v4 ${from} snat ip to ${options.ipv4}
    ip6 daddr @probes-v6 ${from} snat ip6 to ${options.ipv6}
  }
}
${elements('probes-v4', v4)}${elements('probes-v6', v6)}`;
}

/** Keeps the node's table equal to the set of enrolled addresses; changes made while one is written are written together. */
export class HostProbeRules {
  readonly #options: ProbeRuleOptions;
  readonly #netns: number | undefined;
  readonly #byPod = new Map<string, readonly string[]>();
  #written: string | undefined;
  #running: Promise<void> | undefined;

  /** `netns`: the node's namespace, default the process's own. */
  constructor(options: ProbeRuleOptions, netns?: number) {
    this.#options = options;
    this.#netns = netns;
  }

  /** What is known before the first write, which replaces what an earlier agent left. */
  preload(pods: Iterable<readonly [uid: string, ips: readonly string[]]>): void {
    for (const [uid, ips] of pods) this.#byPod.set(uid, ips);
  }

  /** Addresses of an enrolled pod; empty when it left. Resolves when the rules are in force. */
  async set(uid: string, ips: readonly string[]): Promise<void> {
    if (ips.length === 0) this.#byPod.delete(uid);
    else this.#byPod.set(uid, ips);
    await this.sync();
  }

  /** Writes the table if it differs from what was written last. */
  async sync(): Promise<void> {
    while (this.#running) await this.#running.catch(() => {}); // its own caller gets the error
    const script = hostProbeScript([...this.#byPod.values()].flat(), this.#options);
    if (script === this.#written) return;
    this.#running = runNft(script, this.#netns).then(() => {
      this.#written = script;
    });
    try {
      await this.#running;
    } finally {
      this.#running = undefined;
    }
  }
}
