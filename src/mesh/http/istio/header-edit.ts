import type { HeaderEdit } from '../plan.ts';
import type { Problems } from './problem.ts';
import type { IstioHeaderOperations, IstioHeaders } from './virtual-service-object.ts';

export interface HeaderEdits {
  readonly request?: HeaderEdit;
  readonly response?: HeaderEdit;
  /** What `:authority` or `host` is set to; Istio makes it a rewrite of the host. */
  readonly host?: string;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// Envoy replaces such words by facts about the request.
const COMMAND = /%[A-Z][A-Z0-9_]*(\([^)]*\))?(:[0-9]+)?%/;
// Header values may not hold control characters other than tab (RFC 9110, 5.5).
const FORBIDDEN_VALUE = /[\0-\x08\x0a-\x1f\x7f]/;

const isHost = (name: string): boolean => name === ':authority' || name === 'host';

/** Headers.HeaderOperations of request and response (`path` is that of the Headers message). */
export const headerEdits = (problems: Problems, path: string, headers: IstioHeaders | undefined): HeaderEdits => {
  const { request, response } = headers ?? {};
  const requestEdit = editOf(problems, `${path}.request`, request, true);
  const responseEdit = editOf(problems, `${path}.response`, response, false);
  const host = hostOf(request?.set) ?? hostOf(request?.add);
  return {
    ...(requestEdit !== undefined && { request: requestEdit }),
    ...(responseEdit !== undefined && { response: responseEdit }),
    ...(host !== undefined && { host }),
  };
};

const hostOf = (headers: Readonly<Record<string, string>> | undefined): string | undefined =>
  Object.entries(headers ?? {}).find(([name, value]) => isHost(name.toLowerCase()) && value !== '')?.[1];

const editOf = (
  problems: Problems,
  path: string,
  operations: IstioHeaderOperations | undefined,
  isRequest: boolean,
): HeaderEdit | undefined => {
  const remove = (operations?.remove ?? [])
    .map((name) => name.toLowerCase())
    .filter((name, i) => nameIsFine(problems, `${path}.remove[${i}]`, name));
  const values = (kind: 'set' | 'add'): (readonly [string, string])[] =>
    Object.entries(operations?.[kind] ?? {})
      .flatMap(([written, value]) => {
        const name = written.toLowerCase();
        const at = `${path}.${kind}[${written}]`;
        if ((isRequest && isHost(name)) || !nameIsFine(problems, at, name)) return [];
        const text = headerValue(problems, at, value);
        if (text !== undefined) return [[name, text] as const];
        // What the client sent must not pass for the value that was to replace it.
        if (kind === 'set') remove.push(name);
        return [];
      })
      .sort(([a], [b]) => (a < b ? -1 : 1));
  const [set, add] = [values('set'), values('add')];
  return remove.length + set.length + add.length > 0 ? { remove, set, add } : undefined;
};

const nameIsFine = (problems: Problems, path: string, name: string): boolean => {
  if (name.startsWith(':') || name === 'host') {
    problems.unsupported(path, `${name} cannot be changed here`, 'only the authority of requests can be set, or use rewrite');
    return false;
  }
  if (TOKEN.test(name)) return true;
  problems.invalid(path, `${JSON.stringify(name)} is not the name of a header`);
  return false;
};

const headerValue = (problems: Problems, path: string, value: string): string | undefined => {
  if (FORBIDDEN_VALUE.test(value)) return problems.invalid(path, 'has control characters in its value');
  const literal = value.replaceAll('%%', '');
  if (COMMAND.test(literal))
    return problems.unsupported(
      path,
      `${value} uses Envoy's variables, which a waypoint does not replace: the header is left out, and taken away where it was to be set`,
    );
  return value.replaceAll('%%', '%');
};
