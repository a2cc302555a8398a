/**
 * Finds the network namespace of a running pod. There is no interface to ask, so all processes are looked at: a namespace that is not the
 * node's own and has one of the pod's addresses is the pod's. A process whose cgroup or environment names the pod's uid decides between
 * several (other clusters may use the same addresses on this machine).
 */
import fs from 'node:fs';
import { namespaceAddresses, namespaceInode } from '../platform/linux/index.ts';

/** Descriptors opened during one scan at most; further namespaces are left for the next scan. */
const MAX_NAMESPACES = 8_192;
/** A scan younger than this is used again: many pods are looked for at once when a namespace is labelled. */
const SCAN_AGE_MS = 250;

export interface FoundNamespace {
  /** Open; belongs to the caller. */
  readonly fd: number;
  readonly inode: number;
}

export type FindResult = { readonly ok: true; readonly value: FoundNamespace } | { readonly ok: false; readonly error: string };

interface Candidate {
  readonly inode: number;
  readonly pids: number[];
}

/** Opens `path` if it is a network namespace, not the node's own, with one of `ips`. */
export function openVerified(path: string, ips: readonly string[]): FindResult {
  let fd: number;
  try {
    fd = fs.openSync(path, 'r');
  } catch (error) {
    return { ok: false, error: `${path} cannot be opened: ${(error as Error).message}` };
  }
  const problem = verify(fd, path, ips);
  if (problem === undefined) return { ok: true, value: { fd, inode: namespaceInode(fd) } };
  fs.closeSync(fd);
  return { ok: false, error: problem };
}

function verify(fd: number, path: string, ips: readonly string[]): string | undefined {
  if (namespaceInode(fd) === fs.statSync('/proc/self/ns/net').ino) return `${path} is the network namespace of the node itself`;
  try {
    const owned = new Set(namespaceAddresses(fd).map(canonicalAddress));
    if (ips.some((ip) => owned.has(canonicalAddress(ip)))) return undefined;
    return `${path} has none of the pod's addresses ${ips.join(', ')}`;
  } catch (error) {
    return `${path} is no network namespace that can be entered: ${(error as Error).message}`;
  }
}

/** One spelling per address: the kernel's and the API server's differ for IPv6. */
export function canonicalAddress(ip: string): string {
  return ip.includes(':') ? new URL(`http://[${ip}]`).hostname : ip;
}

export class NetnsFinder {
  readonly #proc: string;
  #byAddress = new Map<string, Candidate[]>();
  #scannedAt = Number.NEGATIVE_INFINITY;

  constructor(proc = '/proc') {
    this.#proc = proc;
  }

  find(uid: string, ips: readonly string[]): FindResult {
    if (ips.length === 0) return { ok: false, error: 'the pod has no address yet' };
    const fresh = performance.now() - this.#scannedAt < SCAN_AGE_MS;
    const first = this.#look(uid, ips);
    if (first.ok || fresh) return first;
    this.#scan();
    return this.#look(uid, ips);
  }

  #look(uid: string, ips: readonly string[]): FindResult {
    const candidates = [...new Set(ips.flatMap((ip) => this.#byAddress.get(canonicalAddress(ip)) ?? []))];
    if (candidates.length === 0)
      return { ok: false, error: `no process of this node is in a network namespace with the address ${ips.join(' or ')}` };
    const named = candidates.filter((candidate) => candidate.pids.some((pid) => this.#names(pid, uid)));
    const chosen = named.length > 0 ? named : candidates;
    if (chosen.length > 1)
      return { ok: false, error: `${chosen.length} network namespaces of this node have the address ${ips.join(' or ')}` };
    let problem = '';
    for (const pid of chosen[0]!.pids) {
      const opened = openVerified(`${this.#proc}/${pid}/ns/net`, ips);
      if (opened.ok) return opened;
      problem = opened.error;
    }
    return { ok: false, error: problem };
  }

  /** Whether a process belongs to the pod by name: Kubernetes puts the uid into the cgroup's path (with `_` for `-` under systemd). */
  #names(pid: number, uid: string): boolean {
    for (const file of ['cgroup', 'environ']) {
      try {
        const text = fs.readFileSync(`${this.#proc}/${pid}/${file}`, 'latin1');
        if (text.includes(uid) || text.includes(uid.replaceAll('-', '_'))) return true;
      } catch {
        // The process has gone, or its environment may not be read.
      }
    }
    return false;
  }

  #scan(): void {
    const own = fs.statSync('/proc/self/ns/net').ino;
    const byInode = new Map<number, Candidate>();
    for (const entry of fs.readdirSync(this.#proc)) {
      const pid = Number(entry);
      if (!Number.isInteger(pid)) continue;
      try {
        const inode = Number(/^net:\[(\d+)\]$/.exec(fs.readlinkSync(`${this.#proc}/${entry}/ns/net`))?.[1]);
        if (!Number.isInteger(inode) || inode === own) continue;
        const known = byInode.get(inode);
        if (known) known.pids.push(pid);
        else if (byInode.size < MAX_NAMESPACES) byInode.set(inode, { inode, pids: [pid] });
      } catch {
        // The process has gone.
      }
    }
    this.#byAddress = new Map();
    for (const candidate of byInode.values()) this.#index(candidate);
    this.#scannedAt = performance.now();
  }

  #index(candidate: Candidate): void {
    let fd: number;
    try {
      fd = fs.openSync(`${this.#proc}/${candidate.pids[0]}/ns/net`, 'r');
    } catch {
      return; // The process has gone.
    }
    try {
      for (const address of namespaceAddresses(fd)) {
        if (address === '127.0.0.1' || address === '::1') continue;
        const key = canonicalAddress(address);
        const list = this.#byAddress.get(key);
        if (list) list.push(candidate);
        else this.#byAddress.set(key, [candidate]);
      }
    } catch {
      // Not ours to enter (another user namespace): no pod of this node.
    } finally {
      fs.closeSync(fd);
    }
  }
}
