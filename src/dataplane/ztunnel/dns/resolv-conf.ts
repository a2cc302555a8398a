/** The nameservers of a `resolv.conf` (resolv.conf(5)): where the proxy forwards what the mesh does not know. */
import { canonicalIp, isLoopback } from '../../../mesh/index.ts';

/** As many as the C library reads. */
const MAX_NAMESERVERS = 3;
/** Until a nameserver is given up, unless the file says otherwise. A client waits 5 s for its whole answer: two tries must fit. */
const DEFAULT_TIMEOUT_MS = 2000;
const MAX_TIMEOUT_MS = 30_000;
const DEFAULT_ATTEMPTS = 2;
const MAX_ATTEMPTS = 5;

export interface ResolvConf {
  /** Canonical addresses, in the order to be asked. */
  readonly nameservers: readonly string[];
  /** Lower case, without final dots. */
  readonly search: readonly string[];
  readonly timeoutMs: number;
  /** How often each nameserver is asked. */
  readonly attempts: number;
  /** What cannot be used, and why: for the log. */
  readonly problems: readonly string[];
}

/** `inPods`: the nameservers are asked from inside pods, where this node's loopback does not lead to them. */
export function parseResolvConf(text: string, inPods: boolean): ResolvConf {
  const nameservers: string[] = [];
  const problems: string[] = [];
  let search: string[] = [];
  let timeoutMs = DEFAULT_TIMEOUT_MS;
  let attempts = DEFAULT_ATTEMPTS;
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/);
    if (keyword === 'nameserver') addNameserver(words[0] ?? '');
    // The last of these lines counts.
    else if (keyword === 'search' || keyword === 'domain')
      search = words.map((word) => word.replace(/\.$/, '').toLowerCase()).filter((word) => word !== '');
    else if (keyword === 'options') for (const word of words) setOption(word);
  }
  if (nameservers.length === 0) problems.push('no usable nameserver: names that the mesh does not know cannot be resolved');
  return { nameservers, search, timeoutMs, attempts, problems };

  function addNameserver(word: string): void {
    const address = canonicalIp(word);
    if (address === undefined) problems.push(`nameserver "${word}" is not an address, or one of a single link`);
    else if (inPods && isLoopback(address)) problems.push(`nameserver ${address} is on loopback, which is another one in every pod`);
    else if (nameservers.length === MAX_NAMESERVERS) problems.push(`nameserver ${address} is one too many: ${MAX_NAMESERVERS} are used`);
    else if (!nameservers.includes(address)) nameservers.push(address);
  }

  function setOption(word: string): void {
    const [, name, value] = /^(timeout|attempts):(\d+)$/.exec(word) ?? [];
    if (name === 'timeout') timeoutMs = Math.min(MAX_TIMEOUT_MS, Math.max(1, Number(value)) * 1000);
    if (name === 'attempts') attempts = Math.min(MAX_ATTEMPTS, Math.max(1, Number(value)));
  }
}
