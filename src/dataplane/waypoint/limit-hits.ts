/** `lateen_limit_hit`: how often a limit held something back. One closed list. */
import type { CounterHandle, Registry } from '../../platform/telemetry/index.ts';

/** Those of `connectionPool` by its fields; requests and connections past them are refused, but for `max_connections` of HTTP, where requests wait. */
const NAMES = [
  'active_requests',
  'max_connections',
  'max_connection_duration',
  'max_pending_requests',
  'max_requests',
  'max_retries',
  'replay_buffer',
] as const;

export type LimitName = (typeof NAMES)[number];

export class LimitHits {
  readonly #handles: Readonly<Record<LimitName, CounterHandle>>;

  constructor(telemetry: Registry) {
    const family = telemetry.counter('lateen_limit_hit', 'Requests and connections that a limit held back, by limit (unstable)', ['limit']);
    // The names are those of the list, each once.
    this.#handles = Object.fromEntries(NAMES.map((limit) => [limit, family.labels({ limit })])) as Record<LimitName, CounterHandle>;
  }

  hit(limit: LimitName): void {
    this.#handles[limit].value++;
  }
}
