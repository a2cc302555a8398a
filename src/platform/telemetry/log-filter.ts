/** RUST_LOG-style filters: `info,access=off,proxy=debug`. The longest target that is a prefix of a logger's target decides. */

export const LEVELS = ['off', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type Level = Exclude<(typeof LEVELS)[number], 'off'>;

/** Directives one filter may hold. */
export const MAX_DIRECTIVES = 64;

/** How much a target says: 0 is nothing, 5 is everything. */
export const severity = (level: (typeof LEVELS)[number]): number => LEVELS.indexOf(level);

export interface LogFilter {
  readonly text: string;
  readonly base: number;
  readonly targets: readonly { readonly target: string; readonly level: number }[];
}

const TARGET = /^[\w:.\-/]+$/;

/** A filter, or the reason why the text is none. `ztunnel::proxy` and `proxy` name the same target. */
export function parseFilter(
  text: string,
): { readonly ok: true; readonly value: LogFilter } | { readonly ok: false; readonly error: string } {
  const parts = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (parts.length > MAX_DIRECTIVES)
    return { ok: false, error: `log filter has ${parts.length} directives, the limit is ${MAX_DIRECTIVES}` };
  // As in Rust's EnvFilter: without a bare level, targets that are not named only say errors.
  let base = severity('error');
  const targets = new Map<string, number>();
  for (const part of parts) {
    const at = part.indexOf('=');
    const word = (at < 0 ? part : part.slice(at + 1)).trim().toLowerCase();
    const level = LEVELS.indexOf((word === 'warning' ? 'warn' : word) as (typeof LEVELS)[number]);
    if (at < 0) {
      if (level >= 0) base = level;
      else if (TARGET.test(part)) targets.set(plain(part), severity('trace'));
      else return { ok: false, error: `log filter "${text}": "${part}" is neither a level nor a target` };
      continue;
    }
    const target = plain(part.slice(0, at).trim());
    if (level < 0) return { ok: false, error: `log filter "${text}": "${word}" is not a level; use ${LEVELS.join(', ')}` };
    if (!TARGET.test(target)) return { ok: false, error: `log filter "${text}": "${target}" is not a target name` };
    targets.set(target, level);
  }
  if (parts.length === 0) base = severity('info');
  const list = [...targets].map(([target, level]) => ({ target, level })).sort((a, b) => b.target.length - a.target.length);
  return { ok: true, value: { text: parts.join(',') || 'info', base, targets: list } };
}

const plain = (target: string): string => (target.startsWith('ztunnel::') ? target.slice(9) : target);

/** How much loggers of `target` say. A directive matches its target and everything below it (`proxy` matches `proxy::inbound`). */
export function levelOf(filter: LogFilter, target: string): number {
  for (const directive of filter.targets) {
    const name = directive.target;
    if (target === name || (target.startsWith(name) && /^(::|[.:/])/.test(target.slice(name.length)))) return directive.level;
  }
  return filter.base;
}
