/** What a network namespace looks like from inside: its addresses, its IPv6 switch, its established connections. */
import fs from 'node:fs';
import { inNetworkNamespace } from './netns.ts';

const TCP_ESTABLISHED = 1;

/**
 * The addresses of the namespace, loopback included; IPv6 without abbreviations is possible. Read from the kernel's tables: `getifaddrs` as the
 * runtime offers it leaves out interfaces whose carrier is not up yet, which is just how a pod's look when it was made a moment ago.
 */
export function namespaceAddresses(netns: number): string[] {
  return inNetworkNamespace(netns, () => {
    // thread-self: `/proc/net` would show the namespace of the process's first thread.
    const v4 = localIpv4(readIfThere('/proc/thread-self/net/fib_trie'));
    const v6 = [...readIfThere('/proc/thread-self/net/if_inet6').matchAll(/^([0-9a-f]{32}) /gm)].map(([, hex = '']) =>
      hex.match(/.{4}/g)!.join(':'),
    );
    return [...v4, ...v6];
  });
}

/** Host addresses of the kernel's routing trie: a leaf `|-- 10.0.0.1` with `/32 host LOCAL` below it. */
export function localIpv4(fibTrie: string): string[] {
  const found = new Set<string>();
  for (const [, address = ''] of fibTrie.matchAll(/\|-- ([\d.]+)\n\s+\/32 host LOCAL/g)) found.add(address);
  return [...found];
}

/** `CurrEstab` of the namespace, both address families together; `undefined` when the file has another form. */
function established(snmp: string): number | undefined {
  const [names, values] = snmp
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  const at = names?.indexOf('CurrEstab') ?? -1;
  return at < 0 ? undefined : Number(values?.[at]);
}

function readIfThere(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return ''; // the kernel has no such protocol
  }
}

/** Whether IPv6 can be used in the namespace. */
export function hasIpv6(netns: number): boolean {
  return inNetworkNamespace(netns, () => {
    try {
      return fs.readFileSync('/proc/sys/net/ipv6/conf/lo/disable_ipv6', 'utf8').trim() === '0';
    } catch {
      return false; // the kernel has no IPv6
    }
  });
}

/** Established TCP connections whose local port is one of `ports`. */
export function countEstablished(netns: number, ports: ReadonlySet<number>): number {
  return inNetworkNamespace(netns, () => {
    // The counter is cheap; reading the table makes the kernel walk the sockets of the whole machine.
    if (established(readIfThere('/proc/thread-self/net/snmp')) === 0) return 0;
    let count = 0;
    for (const file of ['/proc/thread-self/net/tcp', '/proc/thread-self/net/tcp6']) {
      for (const line of readIfThere(file).split('\n').slice(1)) {
        const [, local = '', , state = ''] = line.trim().split(/\s+/);
        if (Number.parseInt(state, 16) === TCP_ESTABLISHED && ports.has(Number.parseInt(local.split(':')[1] ?? '', 16))) count++;
      }
    }
    return count;
  });
}
