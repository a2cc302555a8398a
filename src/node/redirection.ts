/** Puts redirect rules into a pod's network namespace, checks them and takes them out. Every step may be repeated. */
import fs from 'node:fs';
import { CommandError, deleteTracked, hasIpv6, inNetworkNamespace, runCommand, runNft, summarizeRuleset } from '../platform/linux/index.ts';
import { POD_TABLES, type PodRuleOptions, podRules, removePodRulesScript, returnRoute } from './rules.ts';
import { belongsToProxy, passedAround } from './tracked.ts';

/** In force as asked / ours but different (another version, options or damaged) / nothing of ours. */
export type RedirectionState = 'current' | 'different' | 'none';

export async function inspectRedirection(netns: number, options: PodRuleOptions): Promise<RedirectionState> {
  const found = await summarizeRuleset(netns);
  const wanted = podRules(options);
  if (!POD_TABLES.some((name) => found.has(`inet ${name}`))) return 'none';
  const whole = POD_TABLES.every((name) => (found.get(`inet ${name}`)?.rules ?? 0) === wanted.ruleCounts[name]);
  const marked = found.get('inet istio-ambient-mangle')?.chains.has(wanted.marker) ?? false;
  return whole && marked && (await hasReturnRule(netns)) ? 'current' : 'different';
}

/**
 * Applies the rules unless exactly these are in force, and reads them back. Then nothing that begins passes around them; connections that are
 * open go on, those through the proxy and those not.
 */
export async function applyRedirection(netns: number, options: PodRuleOptions): Promise<void> {
  if ((await inspectRedirection(netns, options)) === 'current') return;
  for (const family of families(netns)) await ip(returnRoute('add', family), netns, 'File exists');
  handOverQueuedConnections(netns);
  const { script, confirmation } = podRules(options);
  await runNft(script, netns);
  translateOutsideWindow(netns);
  if (!options.draining) await deleteTracked(netns, (connection) => passedAround(connection, options));
  await runNft(confirmation, netns);
  const state = await inspectRedirection(netns, options);
  if (state !== 'current')
    throw new Error(
      `redirect rules were written but reading them back shows "${state}": does another program manage nftables in this pod?`,
    );
}

/** Removes everything {@link applyRedirection} made. */
export async function removeRedirection(netns: number): Promise<void> {
  await runNft(removePodRulesScript(), netns);
  for (const family of families(netns)) {
    await ip(returnRoute('del', family), netns, 'No such', 'does not exist', 'FIB table does not exist');
  }
  await deleteTracked(netns, belongsToProxy);
}

/**
 * When a proxy stops listening while its successor listens already, the kernel gives it what waits to be accepted, instead of resetting that
 * (Linux 5.14 and later). Without it an upgrade of the proxy resets the few connections that are just being made. Stays when the rules go: it is about shared
 * ports only.
 */
const handOverQueuedConnections = (netns: number): void => setKernel(netns, 'net/ipv4/tcp_migrate_req');

/**
 * Connection tracking does not translate a packet that it finds outside the window: the packet goes to the original destination, which knows no such connection
 * and resets it. Now it only refuses resets for that; the window is checked by the ends, as for every connection that is not translated.
 */
const translateOutsideWindow = (netns: number): void => setKernel(netns, 'net/netfilter/nf_conntrack_tcp_be_liberal');

/** Turns a setting of the pod's kernel on. Where the file system of settings is read-only it stays as it was. */
function setKernel(netns: number, setting: string): void {
  inNetworkNamespace(netns, () => {
    try {
      fs.writeFileSync(`/proc/sys/${setting}`, '1');
    } catch {
      // Each is an improvement that redirection works without.
    }
  });
}

const families = (netns: number): readonly (4 | 6)[] => (hasIpv6(netns) ? [4, 6] : [4]);

async function ip(steps: readonly (readonly string[])[], netns: number, ...harmless: string[]): Promise<void> {
  for (const step of steps) {
    try {
      await runCommand(['ip', ...step], { netns });
    } catch (error) {
      if (error instanceof CommandError && harmless.some((text) => error.message.includes(text))) continue;
      throw error;
    }
  }
}

async function hasReturnRule(netns: number): Promise<boolean> {
  for (const family of families(netns)) {
    const listed = await runCommand(['ip', `-${family}`, 'rule', 'list'], { netns });
    if (!/^32764:.*fwmark 0x111\/0xfff lookup 100\s*$/m.test(listed)) return false;
  }
  return true;
}
