import type { HttpContext, NamedHttpRoute } from './http-route.ts';
import { isExportedTo } from './lookup.ts';
import type {
  IstioHttpMatch,
  IstioHttpRoute,
  IstioStringMatch,
  IstioStringMatches,
  VirtualServiceObject,
} from './virtual-service-object.ts';

/**
 * Puts the routes of delegates in the place of those that delegate, merged as Istio merges them: each match of the delegate must lie inside one of the
 * root's, what the delegate leaves unset comes from the root. What does not fit is left out, and reported (Istio is silent).
 * `delegates` collects `namespace/name` of those asked for.
 */
export const withDelegates = (context: HttpContext, routes: readonly IstioHttpRoute[], delegates: Set<string>): NamedHttpRoute[] =>
  routes.flatMap((route, i) => {
    const path = `spec.http[${i}]`;
    const name = `${context.sourceName}/${route.name || i}`;
    return route.delegate === undefined ? [{ path, name, route }] : delegated(context, path, name, route, delegates);
  });

const delegated = (context: HttpContext, path: string, name: string, root: IstioHttpRoute, delegates: Set<string>): NamedHttpRoute[] => {
  const { problems, lookup } = context;
  for (const field of ['route', 'redirect', 'directResponse'] as const) {
    if (root[field] !== undefined) problems.invalid(`${path}.${field}`, 'does not go with delegate');
  }
  const namespace = root.delegate?.namespace || context.namespace;
  const delegateName = root.delegate?.name ?? '';
  const key = `${namespace}/${delegateName}`;
  if (delegateName === '') return problems.invalid(`${path}.delegate.name`, 'is empty') ?? [];
  delegates.add(key);
  const delegate = lookup.virtualService(namespace, delegateName);
  const unfit = delegate === undefined ? 'does not exist' : whyUnfit(delegate, namespace, context.namespace);
  if (delegate === undefined || unfit !== undefined) {
    problems.unresolved(`${path}.delegate`, `VirtualService ${key} ${unfit}: this route is left out`);
    return [];
  }
  return (delegate.spec?.http ?? []).flatMap((leaf, j) => {
    const leafPath = `${path}.delegate(${key}).http[${j}]`;
    if (leaf.delegate !== undefined) return problems.invalid(`${leafPath}.delegate`, 'a delegate cannot delegate') ?? [];
    const match = mergeMatches(root.match ?? [], leaf.match ?? []);
    if (match === undefined) {
      problems.unsupported(
        `${leafPath}.match`,
        'does not lie inside the matches of the route that delegates: this route is left out',
        'a match may narrow an exact or prefix match of the root, regular expressions cannot be combined',
      );
      return [];
    }
    return [{ path: leafPath, name: `${name}/${leaf.name || j}`, route: inherit(root, leaf, match) }];
  });
};

const whyUnfit = ({ spec }: VirtualServiceObject, owner: string, namespace: string): string | undefined => {
  if ((spec?.hosts?.length ?? 0) > 0) return 'has hosts, which a delegate must not';
  if ((spec?.gateways?.length ?? 0) > 0) return 'has gateways, which a delegate must not';
  if ((spec?.tcp?.length ?? 0) + (spec?.tls?.length ?? 0) > 0) return 'has tcp or tls routes, which a delegate must not';
  return isExportedTo(spec?.exportTo, owner, namespace) ? undefined : `is not exported to ${namespace}`;
};

const INHERITED = [
  'rewrite',
  'timeout',
  'retries',
  'fault',
  'mirror',
  'mirrors',
  'mirrorPercent',
  'mirror_percent',
  'mirrorPercentage',
  'corsPolicy',
  'headers',
] as const;

const inherit = (root: IstioHttpRoute, leaf: IstioHttpRoute, match: readonly IstioHttpMatch[]): IstioHttpRoute => {
  const inherited = Object.fromEntries(INHERITED.flatMap((field) => (root[field] === undefined ? [] : [[field, root[field]]])));
  // One of the two ways to mirror replaces the other.
  if (leaf.mirror !== undefined) delete inherited['mirrors'];
  if (leaf.mirrors !== undefined) delete inherited['mirror'];
  const own = Object.fromEntries(Object.entries(leaf).filter(([, value]) => value !== undefined));
  return { ...inherited, ...own, match };
};

/** Undefined when one of the delegate's matches fits into none of the root's. */
const mergeMatches = (root: readonly IstioHttpMatch[], leaf: readonly IstioHttpMatch[]): IstioHttpMatch[] | undefined => {
  if (root.length === 0) return [...leaf];
  if (leaf.length === 0) return [...root];
  const merged = leaf.map((inner) => root.flatMap((outer) => mergeMatch(outer, inner) ?? []));
  return merged.some((fits) => fits.length === 0) ? undefined : merged.flat();
};

const mergeMatch = (root: IstioHttpMatch, leaf: IstioHttpMatch): IstioHttpMatch | undefined => {
  const fields = ['uri', 'scheme', 'method', 'authority'] as const;
  if (fields.some((field) => !liesInside(root[field], leaf[field]))) return undefined;
  if (!mapLiesInside(root.headers, leaf.headers) || !mapLiesInside(root.queryParams, leaf.queryParams)) return undefined;
  if (!mapLiesInside(root.withoutHeaders, leaf.withoutHeaders)) return undefined;
  if ((root.ignoreUriCase ?? false) !== (leaf.ignoreUriCase ?? false)) return undefined;
  if (root.port && leaf.port && root.port !== leaf.port) return undefined;
  if (root.sourceNamespace && leaf.sourceNamespace && root.sourceNamespace !== leaf.sourceNamespace) return undefined;
  const name = [root.name, leaf.name].filter(Boolean).join('-');
  const set = (match: IstioHttpMatch) =>
    Object.fromEntries(Object.entries(match).filter(([, value]) => value !== undefined && value !== ''));
  return {
    ...set(root),
    ...set(leaf),
    ...(name !== '' && { name }),
    headers: { ...root.headers, ...leaf.headers },
    // The wider exclusion is the one that excludes both.
    withoutHeaders: { ...leaf.withoutHeaders, ...root.withoutHeaders },
    queryParams: { ...root.queryParams, ...leaf.queryParams },
    sourceLabels: { ...root.sourceLabels, ...leaf.sourceLabels },
    port: leaf.port || root.port,
  };
};

const mapLiesInside = (root: IstioStringMatches, leaf: IstioStringMatches): boolean =>
  Object.entries(leaf ?? {}).every(([name, inner]) => root?.[name] === undefined || liesInside(root[name] ?? {}, inner ?? {}));

/** Whether all that `leaf` matches, `root` matches too, as far as Istio tells: with patterns, and with conditions of presence, it says no. */
const liesInside = (root: IstioStringMatch | undefined, leaf: IstioStringMatch | undefined): boolean => {
  if (root === undefined || leaf === undefined) return true;
  if (root.regex || leaf.regex) return false;
  if (root.exact) return !leaf.prefix && leaf.exact === root.exact;
  if (root.prefix) return (leaf.prefix || leaf.exact || '').startsWith(root.prefix);
  return false;
};
