/** Waits until no connection of a pod goes through the proxy any more. */
import { countEstablished } from '../platform/linux/index.ts';
import { INBOUND_HBONE_PORT, INBOUND_PLAINTEXT_PORT, OUTBOUND_PORT } from './rules.ts';

/** How long connections in flight may go on after a pod left the mesh. */
export const DEFAULT_DRAIN_LIMIT_MS = 60_000;
/** Peers still open tunnels for a moment after the annotation is gone: only quiet for this long counts. */
const QUIET_MS = 1_000;
const POLL_MS = 200;

const PROXY_PORTS: ReadonlySet<number> = new Set([OUTBOUND_PORT, INBOUND_PLAINTEXT_PORT, INBOUND_HBONE_PORT]);

export interface DrainOptions {
  readonly limitMs?: number;
  readonly quietMs?: number;
  readonly signal: AbortSignal;
}

/** Connections left when the wait ended: 0 when the pod was quiet, more at the limit; `undefined` when aborted. */
export async function waitForDrain(netns: number, options: DrainOptions): Promise<number | undefined> {
  const deadline = performance.now() + (options.limitMs ?? DEFAULT_DRAIN_LIMIT_MS);
  let quietSince = Number.POSITIVE_INFINITY;
  for (;;) {
    if (options.signal.aborted) return undefined;
    const open = countEstablished(netns, PROXY_PORTS);
    const now = performance.now();
    if (open > 0) quietSince = Number.POSITIVE_INFINITY;
    else quietSince = Math.min(quietSince, now);
    if (now - quietSince >= (options.quietMs ?? QUIET_MS) || now >= deadline) return open;
    await Bun.sleep(POLL_MS);
  }
}
