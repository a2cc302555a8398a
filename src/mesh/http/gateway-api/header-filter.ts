/** RequestHeaderModifier and ResponseHeaderModifier. */
import type { HeaderEdit } from '../plan.ts';
import { TOKEN } from './http-match.ts';
import type { HeaderModifier, NamedValue } from './objects.ts';
import type { RouteProblems } from './problems.ts';

/** They delimit the message or belong to one connection: whoever edits them edits the framing. */
const FRAMING: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

/** Control characters end fields, and what is beyond ASCII has no agreed form in a field. */
const NOT_IN_VALUE = /[^\t -~]/;

/** `host:port`: nothing that ends an authority or would begin another. */
const AUTHORITY = /^[A-Za-z0-9._~%!$&'()*+;=:[\]-]+$/;

export interface CompiledHeaderFilter {
  readonly edit?: HeaderEdit;
  /** Of a request: `host` was set, which is a rewrite. */
  readonly host?: string;
}

/**
 * Names in lower case; the first of several entries for a name counts. A name in two of the lists refuses the route ("only one action for a given
 * header name is permitted").
 */
export const compileHeaderFilter = (
  { set = [], add = [], remove = [] }: HeaderModifier,
  field: string,
  side: 'request' | 'response',
  problems: RouteProblems,
): CompiledHeaderFilter => {
  const seen = new Map<string, string>();
  const isTaken = (name: string, list: string, at: string): boolean => {
    const other = seen.get(name);
    if (other !== undefined) {
      if (other !== list) problems.refuse(at, `"${name}" is also in ${other}; only one action for a header is possible`);
      return true;
    }
    seen.set(name, list);
    if (!TOKEN.test(name)) problems.refuse(at, `"${name}" is not a header name`);
    else if (FRAMING.has(name)) problems.refuse(at, `"${name}" belongs to the connection and cannot be changed`);
    else if (name === 'host' && side === 'request' && list !== 'set') problems.refuse(at, '"host" can only be set');
    return false;
  };
  const pairs = (list: 'set' | 'add', entries: readonly NamedValue[]): (readonly [string, string])[] =>
    entries.flatMap(({ name: written, value }, i) => {
      const name = written.toLowerCase();
      if (isTaken(name, list, `${field}.${list}[${i}].name`)) return [];
      if (NOT_IN_VALUE.test(value)) problems.refuse(`${field}.${list}[${i}].value`, 'must be printable ASCII');
      else if (name === 'host' && side === 'request' && !AUTHORITY.test(value)) {
        problems.refuse(`${field}.${list}[${i}].value`, `"${value}" is not a host`);
      }
      return [[name, value] as const];
    });
  const allSet = pairs('set', set);
  const edit: HeaderEdit = {
    set: allSet.filter(([name]) => side === 'response' || name !== 'host'),
    add: pairs('add', add),
    remove: remove.map((name) => name.toLowerCase()).filter((name, i) => !isTaken(name, 'remove', `${field}.remove[${i}]`)),
  };
  const host = side === 'request' ? allSet.find(([name]) => name === 'host')?.[1] : undefined;
  const isEmpty = edit.set.length + edit.add.length + edit.remove.length === 0;
  return { ...(!isEmpty && { edit }), ...(host !== undefined && { host }) };
};
