/** What a network namespace looks like from inside: its addresses, its IPv6 switch, its established connections. */
import fs from 'node:fs';
import os from 'node:os';
import { inNetworkNamespace } from './netns.ts';

const TCP_ESTABLISHED = 1;

/** The addresses of all interfaces that are up, loopback included, without scope; IPv6 as the kernel prints it. */
export function namespaceAddresses(netns: number): string[] {
  return inNetworkNamespace(netns, () =>
    Object.values(os.networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address.split('%')[0]!)),
  );
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
    // thread-self: `/proc/net` would show the namespace of the process's first thread.
    let count = 0;
    for (const file of ['/proc/thread-self/net/tcp', '/proc/thread-self/net/tcp6']) {
      let text: string;
      try {
        text = fs.readFileSync(file, 'utf8');
      } catch {
        continue; // no IPv6
      }
      for (const line of text.split('\n').slice(1)) {
        const [, local = '', , state = ''] = line.trim().split(/\s+/);
        if (Number.parseInt(state, 16) === TCP_ESTABLISHED && ports.has(Number.parseInt(local.split(':')[1] ?? '', 16))) count++;
      }
    }
    return count;
  });
}
