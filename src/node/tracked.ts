/**
 * Which entries of the kernel's connection table must go when a pod's rules change. Pure.
 *
 * Translation is decided once, by a connection's first packet, and kept in its entry. A SYN that meets an entry of an earlier connection with the
 * same addresses and ports does not ask the rules again (until TIME_WAIT), so an entry from before the rules would let a new connection pass
 * around the proxy. While no rule needs it the kernel does not even look: entries of closed connections then stay for days.
 */
import { Protocol, type TrackedConnection } from '../platform/linux/index.ts';
import { DNS_PORT, DNS_ZONE, INBOUND_PLAINTEXT_PORT, isReturnMark, OUTBOUND_PORT, type PodRuleOptions } from './rules.ts';

const CAPTURE_PORTS: ReadonlySet<number> = new Set([OUTBOUND_PORT, INBOUND_PLAINTEXT_PORT, DNS_PORT]);

/**
 * When rules have come into force: what passed around them. An open connection loses nothing: its next packet makes a new entry, and only SYN
 * packets are redirected. Entries with a translation stay, ours (the connection would break) and the pod's own (the same).
 */
export function passedAround(connection: TrackedConnection, options: Pick<PodRuleOptions, 'captureDns'>): boolean {
  if (connection.isSourceTranslated || connection.isDestinationTranslated || isReturnMark(connection.mark)) return false;
  if (connection.protocol === Protocol.TCP) return true;
  // A resolver that keeps its port would keep its entry, too.
  return options.captureDns && connection.protocol === Protocol.UDP && connection.destinationPort === 53 && connection.zone !== DNS_ZONE;
}

/** When the rules have been removed: what only they gave a meaning. */
export const belongsToProxy = (connection: TrackedConnection): boolean =>
  isReturnMark(connection.mark) || (connection.isDestinationTranslated && CAPTURE_PORTS.has(connection.translatedPort));
