/**
 * Which rule of a table takes a request: the first that matches, found without looking at the others. Rules are indexed by host, then by the literal
 * of their path (a radix tree), then, where many share both, by the value of a header; what an index cannot tell is tested rule by rule. Regular
 * expressions are indexed by the literal they begin with. The path is compared without its query, octet by octet; `normalizePath` has
 * been there before.
 */
import { CompiledRule, type RouteMatch } from './compiled-rule.ts';
import { lowerAscii } from './condition.ts';
import { PathTrie } from './path-trie.ts';
import type { HttpTable, PathMatch, RequestView } from './plan.ts';
import { literalPrefix } from './regex.ts';
import { headerValue, hostOf, pathEnd } from './request-field.ts';
import { RuleList } from './rule-list.ts';

/** The search for one request: keeps the first rule found so far, so that any order of looking gives the first of all. */
class Search {
  request: RequestView | undefined = undefined;
  sourceNamespace: string | undefined = undefined;
  pathLength = 0;
  best: CompiledRule | undefined = undefined;

  visit(list: RuleList): void {
    this.#scan(list.plain);
    const groups = list.groups;
    if (groups === undefined) return;
    for (let i = 0; i < groups.length; i++) {
      const { name, byValue } = groups[i]!;
      const { headers } = this.request!;
      let count = 0;
      for (let at = 0; at < headers.length; at++) {
        if (headers[at]![0] !== name) continue;
        count++;
        this.#scan(byValue.get(headers[at]![1]));
      }
      if (count > 1) this.#scan(byValue.get(headerValue(headers, name)!));
    }
  }

  #scan(rules: readonly CompiledRule[] | undefined): void {
    if (rules === undefined) return;
    for (let i = 0; i < rules.length; i++) {
      const rule = rules[i]!;
      if (this.best !== undefined && rule.order >= this.best.order) return;
      if (rule.holds(this.request!, this.sourceNamespace, this.pathLength)) {
        this.best = rule;
        return;
      }
    }
  }
}

/** Where a path condition stands in the tree. A `segments` value may end with `/`, which says nothing more. */
const place = ({ kind, value }: PathMatch): { literal: string; slot: 'exact' | 'segments' | 'prefix' } => {
  if (kind === 'regex') return { literal: literalPrefix(value), slot: 'prefix' };
  return { literal: kind === 'segments' && value.endsWith('/') ? value.slice(0, -1) : value, slot: kind };
};

/** The rules of one host, by path. */
class PathIndex {
  readonly #anyPath = new RuleList();
  #exactCase: PathTrie<RuleList> | undefined = undefined;
  #anyCase: PathTrie<RuleList> | undefined = undefined;

  add(rule: CompiledRule, path: PathMatch | undefined): void {
    if (path === undefined) {
      this.#anyPath.add(rule);
      return;
    }
    const { literal, slot } = place(path);
    if (literal === '' && slot === 'prefix') {
      this.#anyPath.add(rule);
      return;
    }
    if (path.ignoreCase) this.#anyCase ??= new PathTrie(true);
    else this.#exactCase ??= new PathTrie(false);
    const node = path.ignoreCase ? this.#anyCase!.at(lowerAscii(literal)) : this.#exactCase!.at(literal);
    node[slot] ??= new RuleList();
    node[slot].add(rule);
  }

  finish(rules: HttpTable['rules']): void {
    const finish = (list: RuleList): void => list.finish(rules);
    finish(this.#anyPath);
    this.#exactCase?.forEach(finish);
    this.#anyCase?.forEach(finish);
  }

  search(search: Search): void {
    if (this.#exactCase !== undefined) this.#exactCase.walk(search.request!.path, search.pathLength, search);
    if (this.#anyCase !== undefined) this.#anyCase.walk(search.request!.path, search.pathLength, search);
    search.visit(this.#anyPath);
  }
}

export class RouteTable {
  readonly table: HttpTable;
  /** Set when every request takes the first rule. */
  readonly #always: RouteMatch | undefined;
  readonly #anyHost = new PathIndex();
  readonly #byHost = new Map<string, PathIndex>();
  /** By what follows `*`, with its dot. */
  readonly #bySuffix = new Map<string, PathIndex>();
  /** One for all requests: a search never waits. */
  readonly #search = new Search();

  constructor(table: HttpTable) {
    this.table = table;
    const first = table.rules[0];
    const firstAction = first && table.actions[first.action];
    const isUnconditional = first !== undefined && Object.values(first.match).every((condition) => condition === undefined);
    this.#always = isUnconditional && firstAction ? { action: firstAction, rule: 0, path: undefined } : undefined;
    for (const [order, rule] of table.rules.entries()) {
      const action = table.actions[rule.action];
      if (action === undefined) continue;
      const compiled = new CompiledRule(rule, order, action);
      for (const index of this.#indexesFor(rule.match.hosts)) index.add(compiled, rule.match.path);
    }
    for (const index of [this.#anyHost, ...this.#byHost.values(), ...this.#bySuffix.values()]) index.finish(table.rules);
  }

  /** The first rule that takes the request; undefined: none does. */
  match(request: RequestView, sourceNamespace: string | undefined): RouteMatch | undefined {
    if (this.#always !== undefined) return this.#always;
    const search = this.#search;
    search.request = request;
    search.sourceNamespace = sourceNamespace;
    search.pathLength = pathEnd(request.path);
    search.best = undefined;
    this.#anyHost.search(search);
    if (this.#byHost.size > 0 || this.#bySuffix.size > 0) this.#searchHost(search, hostOf(request.authority));
    search.request = undefined;
    return search.best === undefined ? undefined : (search.best as CompiledRule).result;
  }

  #searchHost(search: Search, host: string): void {
    this.#byHost.get(host)?.search(search);
    if (this.#bySuffix.size === 0) return;
    // From 1: `*.` stands for one label at least, so the dot is never the first character.
    for (let dot = host.indexOf('.', 1); dot >= 0; dot = host.indexOf('.', dot + 1)) this.#bySuffix.get(host.slice(dot))?.search(search);
  }

  #indexesFor(hosts: readonly string[] | undefined): Iterable<PathIndex> {
    if (hosts === undefined || hosts.length === 0) return [this.#anyHost];
    const indexes = new Set<PathIndex>();
    for (const host of hosts) {
      if (host === '*') return [this.#anyHost];
      const isSuffix = host.startsWith('*.');
      const map = isSuffix ? this.#bySuffix : this.#byHost;
      const key = isSuffix ? host.slice(1) : host;
      const index = map.get(key) ?? new PathIndex();
      map.set(key, index);
      indexes.add(index);
    }
    return indexes;
  }
}

/** To be done once per version of a table. A rule that names no action of the table is left out. */
export const compileHttpTable = (table: HttpTable): RouteTable => new RouteTable(table);
