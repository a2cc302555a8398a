/** Waits until no connection of a pod goes through the proxy any more. */
import { setTimeout } from 'node:timers/promises';
import { countEstablished } from '../platform/linux/index.ts';
import { INBOUND_HBONE_PORT, INBOUND_PLAINTEXT_PORT, OUTBOUND_PORT } from './rules.ts';

/** How long connections in flight may go on after a pod left the mesh. */
export const DEFAULT_DRAIN_LIMIT_MS = 60_000;
/** Peers still open tunnels for a moment after the annotation is gone: only quiet for this long counts. */
const QUIET_MS = 1_000;
/** One look costs some 13 ms, as the kernel walks the socket table of the whole machine for it: look less often the longer it takes. */
const POLL_MIN_MS = 200;
const POLL_MAX_MS = 2_000;

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
  let pause = POLL_MIN_MS;
  for (;;) {
    if (options.signal.aborted) return undefined;
    const open = countEstablished(netns, PROXY_PORTS);
    const now = performance.now();
    if (open > 0) quietSince = Number.POSITIVE_INFINITY;
    else quietSince = Math.min(quietSince, now);
    if (now - quietSince >= (options.quietMs ?? QUIET_MS) || now >= deadline) return open;
    const left = open > 0 ? pause : (options.quietMs ?? QUIET_MS) - (now - quietSince);
    // An abort ends the pause; the loop's begin sees it.
    await setTimeout(Math.max(1, Math.min(left, deadline - now)), undefined, { signal: options.signal }).catch(() => {});
    pause = Math.min(POLL_MAX_MS, pause * 2);
  }
}
