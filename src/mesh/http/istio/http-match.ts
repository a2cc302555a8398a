import { canonicalIp, cidrContains, parseCidr } from '../../ip.ts';
import type { FieldCondition, HttpMatch, PathMatch } from '../plan.ts';
import type { IstioLookup, RoutedService } from './lookup.ts';
import type { Problems } from './problem.ts';
import { fieldConditions, stringCondition } from './string-match.ts';
import type { IstioHttpMatch, IstioL4Match, IstioStringMatch } from './virtual-service-object.ts';

/** Gateways that a VirtualService or a match names include the mesh; none named means the mesh alone. */
export const isForMesh = (gateways: readonly string[] | undefined): boolean =>
  gateways === undefined || gateways.length === 0 || gateways.includes('mesh');

/** A match that waypoints evaluate. */
export interface ParsedMatch {
  readonly match: HttpMatch;
  /** Service port it is for; absent: all. */
  readonly port?: number;
  readonly name?: string;
}

const SOURCE_LABELS_REASON = 'labels of the client are not known to a waypoint: the match holds for no client (Istio drops it silently)';
const SOURCE_LABELS_REMEDY = 'use sourceNamespace, or a header';

const isEmptyMap = (map: object | undefined): boolean => map === undefined || Object.keys(map).length === 0;

/**
 * One HTTPMatchRequest. Undefined: the match holds for nothing here, be it for other gateways, or because it asks for what a waypoint cannot know; the
 * latter is reported. `sourceNamespace` and `gateways` must both hold, where Istio forgets the former beside the latter.
 */
export const httpMatch = (
  problems: Problems,
  path: string,
  written: IstioHttpMatch,
  gateways: readonly string[] | undefined,
  lookup: IstioLookup,
): ParsedMatch | undefined => {
  if (!isForMesh(written.gateways?.length ? written.gateways : gateways)) return undefined;
  if (written.statPrefix) problems.unsupported(`${path}.statPrefix`, 'there are no Envoy statistics; metrics carry the name of the route');
  const cannotKnow = unknowable(problems, path, written);
  const pathMatch = uriMatch(problems, path, written, lookup);
  const one = (field: 'scheme' | 'method' | 'authority') => {
    const match = written[field];
    const condition = match === undefined ? undefined : stringCondition(problems, `${path}.${field}`, match, lookup);
    return condition === undefined || condition.kind === 'present' ? {} : { [field]: condition };
  };
  const lower = (name: string) => name.toLowerCase();
  const headers: FieldCondition[] = [
    ...fieldConditions(problems, `${path}.headers`, written.headers, lookup, lower),
    ...fieldConditions(problems, `${path}.withoutHeaders`, written.withoutHeaders, lookup, lower, true),
  ];
  const query = fieldConditions(problems, `${path}.queryParams`, written.queryParams, lookup, (name) => name);
  if (cannotKnow) return undefined;
  return {
    match: {
      ...(pathMatch !== undefined && { path: pathMatch }),
      ...one('method'),
      ...one('authority'),
      ...one('scheme'),
      ...(headers.length > 0 && { headers }),
      ...(query.length > 0 && { query }),
      ...(written.sourceNamespace && { sourceNamespace: written.sourceNamespace }),
    },
    ...(written.port && { port: written.port }),
    ...(written.name && { name: written.name }),
  };
};

const unknowable = (problems: Problems, path: string, written: IstioHttpMatch): boolean => {
  let isUnknowable = false;
  if (!isEmptyMap(written.sourceLabels)) {
    problems.unsupported(`${path}.sourceLabels`, SOURCE_LABELS_REASON, SOURCE_LABELS_REMEDY);
    isUnknowable = true;
  }
  for (const field of ['headers', 'withoutHeaders'] as const) {
    for (const name of Object.keys(written[field] ?? {})) {
      if (!name.startsWith(':') && !name.startsWith('@')) continue;
      const what = name.startsWith('@') ? 'claims of tokens cannot be matched' : 'pseudo-headers have fields of their own';
      problems.unsupported(`${path}.${field}[${name}]`, `${what}: the match holds for nothing`);
      isUnknowable = true;
    }
  }
  return isUnknowable;
};

const uriMatch = (problems: Problems, path: string, { uri, ignoreUriCase }: IstioHttpMatch, lookup: IstioLookup): PathMatch | undefined => {
  if (uri === undefined) return undefined;
  const condition = uriCondition(problems, `${path}.uri`, uri, lookup);
  if (condition === undefined || condition.kind === 'present' || condition.kind === 'suffix') return undefined;
  // Envoy ignores the flag for regular expressions, which have (?i).
  return { kind: condition.kind, value: condition.value, ...(ignoreUriCase && condition.kind !== 'regex' && { ignoreCase: true }) };
};

const uriCondition = (problems: Problems, path: string, uri: IstioStringMatch, lookup: IstioLookup) => {
  // As a path `*` is a pattern like any other, and not a valid one.
  if (uri.regex === '*') return problems.invalid(`${path}.regex`, '"*" is not a regular expression of RE2', 'write .* for any path');
  return stringCondition(problems, path, uri, lookup);
};

/** Whether a request of any path, header and client matches. */
export const isCatchAll = (match: HttpMatch): boolean => {
  const { path, ...rest } = match;
  const isAnyPath = path === undefined || (path.kind === 'prefix' && path.value === '/') || (path.kind === 'regex' && path.value === '.*');
  return isAnyPath && Object.keys(rest).length === 0;
};

/** Whether an L4MatchAttributes or TLSMatchAttributes holds for connections to `port` of `service`; what cannot be known holds for nothing. */
export const l4Matches = (
  problems: Problems,
  path: string,
  written: IstioL4Match,
  gateways: readonly string[] | undefined,
  service: RoutedService,
  port: number,
): boolean => {
  if (!isForMesh(written.gateways?.length ? written.gateways : gateways)) return false;
  const labels = !isEmptyMap(written.sourceLabels);
  if (labels) problems.unsupported(`${path}.sourceLabels`, SOURCE_LABELS_REASON, 'use sourceNamespace');
  if (written.sourceSubnet) problems.unsupported(`${path}.sourceSubnet`, 'is not evaluated (nor by Istio): the match holds for nothing');
  const subnets = subnetsHold(problems, `${path}.destinationSubnets`, written.destinationSubnets, service);
  return !labels && !written.sourceSubnet && subnets && (!written.port || written.port === port);
};

/** A waypoint's connections go to virtual addresses, so this is known before there are any. */
const subnetsHold = (problems: Problems, path: string, subnets: readonly string[] | undefined, service: RoutedService): boolean => {
  if (subnets === undefined || subnets.length === 0) return true;
  const cidrs = subnets.flatMap(
    (text, i) => parseCidr(text) ?? problems.invalid(`${path}[${i}]`, `${text} is not an address or CIDR`) ?? [],
  );
  const addresses = (service.addresses ?? []).map((address) => canonicalIp(address) ?? address);
  const inside = addresses.filter((address) => cidrs.some((cidr) => cidrContains(cidr, address)));
  if (addresses.length > 0 && inside.length === 0) return false;
  if (addresses.length > 0 && inside.length === addresses.length) return true;
  const what = addresses.length === 0 ? 'has no known address' : 'has only some of its addresses there';
  problems.unsupported(path, `${service.hostname} ${what}: the match holds for nothing`);
  return false;
};
