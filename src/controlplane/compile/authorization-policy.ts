import type { AuthorizationPolicy, AuthorizationRule } from '../../platform/kubernetes/index.ts';
import {
  type Authorization,
  type Cidr,
  type Clause,
  type Match,
  parseCidr,
  parsePort,
  type Rule,
  type ServiceAccountMatch,
  type StringMatch,
} from '../wire.ts';

/** What became of a policy: what node proxies enforce, if anything, and what to tell its author. */
export interface CompiledPolicy {
  readonly authorization?: Authorization;
  /** Labels of the pods it is listed on; undefined when it applies by namespace or everywhere. */
  readonly selector?: Readonly<Record<string, string>>;
  readonly condition: PolicyCondition;
}

export interface PolicyCondition {
  readonly type: 'ZtunnelAccepted' | 'WaypointAccepted';
  readonly status: 'True' | 'False';
  readonly reason: 'Accepted' | 'UnsupportedValue' | 'DryRun' | 'TargetNotFound';
  readonly message: string;
}

const EMPTY_MATCH: Match = {
  namespaces: [],
  notNamespaces: [],
  principals: [],
  notPrincipals: [],
  sourceIps: [],
  notSourceIps: [],
  destinationIps: [],
  notDestinationIps: [],
  destinationPorts: [],
  notDestinationPorts: [],
  serviceAccounts: [],
  notServiceAccounts: [],
};
/**
 * No connection goes to port 0, so this always holds. A DENY whose HTTP attributes were dropped uses it: an empty Match would
 * never match (0.1 fact 4) and the policy would silently do nothing; this way it denies more, as Istio's documentation promises.
 */
const ALWAYS: Match = { ...EMPTY_MATCH, notDestinationPorts: [0] };

type Source = NonNullable<NonNullable<AuthorizationRule['from']>[number]['source']>;
type Operation = NonNullable<NonNullable<AuthorizationRule['to']>[number]['operation']>;
type When = NonNullable<AuthorizationRule['when']>[number];

const HTTP_SOURCE = [
  'requestPrincipals',
  'notRequestPrincipals',
  'remoteIpBlocks',
  'notRemoteIpBlocks',
  'trustDomains',
  'notTrustDomains',
] as const;
const HTTP_OPERATION = ['hosts', 'notHosts', 'methods', 'notMethods', 'paths', 'notPaths'] as const;

export const DRY_RUN_ANNOTATION = 'istio.io/dry-run';

/** An AuthorizationPolicy as node proxies enforce it (3.7). */
export function compileAuthorizationPolicy(policy: AuthorizationPolicy, rootNamespace: string): CompiledPolicy {
  const spec = policy.spec ?? {};
  const namespace = policy.metadata.namespace ?? '';
  const action = spec.action ?? 'ALLOW';
  if (spec.targetRef !== undefined || (spec.targetRefs?.length ?? 0) > 0) {
    return refused('WaypointAccepted', 'TargetNotFound', 'not enforced: no waypoint serves the targets of this policy');
  }
  if (action !== 'ALLOW' && action !== 'DENY')
    return refused('ZtunnelAccepted', 'UnsupportedValue', `not enforced: ztunnel does not support the ${action} action; use ALLOW or DENY`);
  if (policy.metadata.annotations?.[DRY_RUN_ANNOTATION] === 'true')
    return refused('ZtunnelAccepted', 'DryRun', `not enforced: the annotation ${DRY_RUN_ANNOTATION} is set`);
  const reader = new RuleReader(action, namespace);
  const rules = (spec.rules ?? []).flatMap((rule, index) => reader.rule(rule, `spec.rules[${index}]`) ?? []);
  const labels = spec.selector?.matchLabels;
  const selector = labels !== undefined && Object.keys(labels).length > 0 ? labels : undefined;
  return {
    authorization: {
      name: policy.metadata.name ?? '',
      namespace,
      scope: selector !== undefined ? 'WORKLOAD_SELECTOR' : namespace === rootNamespace ? 'GLOBAL' : 'NAMESPACE',
      action,
      rules,
      dryRun: false,
    },
    ...(selector !== undefined && { selector }),
    condition: reader.condition(),
  };
}

const refused = (type: PolicyCondition['type'], reason: PolicyCondition['reason'], message: string): CompiledPolicy => ({
  condition: { type, status: 'False', reason, message },
});

/** Translates rules and remembers what could not be. */
class RuleReader {
  readonly #action: 'ALLOW' | 'DENY';
  readonly #namespace: string;
  readonly #http = new Set<string>();
  readonly #invalid = new Set<string>();
  /** In an ALLOW rule: something that limits it could not be expressed, so it must not allow anything. */
  #isUnsafe = false;

  constructor(action: 'ALLOW' | 'DENY', namespace: string) {
    this.#action = action;
    this.#namespace = namespace;
  }

  rule(rule: AuthorizationRule, at: string): Rule | undefined {
    this.#isUnsafe = false;
    const clauses: Clause[] = [];
    const to = rule.to ?? [];
    const from = rule.from ?? [];
    if (to.length > 0)
      clauses.push({ matches: to.map((item, index) => this.#operation(item.operation ?? {}, `${at}.to[${index}].operation`)) });
    if (from.length > 0)
      clauses.push({ matches: from.map((item, index) => this.#source(item.source ?? {}, `${at}.from[${index}].source`)) });
    for (const [index, when] of (rule.when ?? []).entries()) {
      const match = this.#when(when, `${at}.when[${index}]`);
      if (match !== undefined) clauses.push({ matches: [match] });
    }
    return this.#isUnsafe && this.#action === 'ALLOW' ? undefined : { clauses };
  }

  condition(): PolicyCondition {
    if (this.#http.size === 0 && this.#invalid.size === 0)
      return { type: 'ZtunnelAccepted', status: 'True', reason: 'Accepted', message: 'attached to ztunnel' };
    const parts: string[] = [];
    if (this.#http.size > 0) {
      const effect =
        this.#action === 'ALLOW'
          ? 'Rules with them were omitted, so less is allowed'
          : 'They were left out of their rules, so more is denied';
      parts.push(
        `ztunnel does not support HTTP attributes (found: ${[...this.#http].join(', ')}). ${effect}. Use a waypoint proxy to enforce them`,
      );
    }
    if (this.#invalid.size > 0)
      parts.push(
        `values that cannot be read were ignored, with the rule where it would otherwise allow more: ${[...this.#invalid].join(', ')}`,
      );
    return { type: 'ZtunnelAccepted', status: 'True', reason: 'UnsupportedValue', message: parts.join('; ') };
  }

  #source(source: Source, at: string): Match {
    this.#noteHttp(source, HTTP_SOURCE);
    return this.#finish({
      ...EMPTY_MATCH,
      principals: strings(source.principals),
      notPrincipals: strings(source.notPrincipals),
      namespaces: strings(source.namespaces),
      notNamespaces: strings(source.notNamespaces),
      serviceAccounts: this.#accounts(source.serviceAccounts),
      notServiceAccounts: this.#accounts(source.notServiceAccounts),
      sourceIps: this.#cidrs(source.ipBlocks, `${at}.ipBlocks`, true),
      notSourceIps: this.#cidrs(source.notIpBlocks, `${at}.notIpBlocks`, false),
    });
  }

  #operation(operation: Operation, at: string): Match {
    this.#noteHttp(operation, HTTP_OPERATION);
    return this.#finish({
      ...EMPTY_MATCH,
      destinationPorts: this.#ports(operation.ports, `${at}.ports`, true),
      notDestinationPorts: this.#ports(operation.notPorts, `${at}.notPorts`, false),
    });
  }

  #when(when: When, at: string): Match | undefined {
    const values = when.values ?? [];
    const notValues = when.notValues ?? [];
    switch (when.key) {
      case 'source.ip':
        return this.#finish({
          ...EMPTY_MATCH,
          sourceIps: this.#cidrs(values, `${at}.values`, true),
          notSourceIps: this.#cidrs(notValues, `${at}.notValues`, false),
        });
      case 'source.namespace':
        return this.#finish({ ...EMPTY_MATCH, namespaces: strings(values), notNamespaces: strings(notValues) });
      case 'source.principal':
        return this.#finish({ ...EMPTY_MATCH, principals: strings(values), notPrincipals: strings(notValues) });
      case 'destination.ip':
        return this.#finish({
          ...EMPTY_MATCH,
          destinationIps: this.#cidrs(values, `${at}.values`, true),
          notDestinationIps: this.#cidrs(notValues, `${at}.notValues`, false),
        });
      case 'destination.port':
        return this.#finish({
          ...EMPTY_MATCH,
          destinationPorts: this.#ports(values, `${at}.values`, true),
          notDestinationPorts: this.#ports(notValues, `${at}.notValues`, false),
        });
      default:
        this.#http.add(when.key);
        this.#isUnsafe = true;
        return undefined; // in a DENY the condition is left out, which denies more
    }
  }

  #noteHttp<K extends string>(part: { readonly [key in K]?: readonly string[] }, fields: readonly K[]): void {
    for (const field of fields) {
      if ((part[field]?.length ?? 0) === 0) continue;
      this.#http.add(field);
      this.#isUnsafe = true;
    }
  }

  /** An empty Match never matches: right for an ALLOW, the opposite of fail-safe for a DENY. */
  #finish(match: Match): Match {
    const isEmpty = Object.values(match).every((list: readonly unknown[]) => list.length === 0);
    return isEmpty && this.#action === 'DENY' ? ALWAYS : match;
  }

  #cidrs(texts: readonly string[] | undefined, at: string, isPositive: boolean): Cidr[] {
    return this.#parsed(texts, at, isPositive, parseCidr);
  }
  #ports(texts: readonly string[] | undefined, at: string, isPositive: boolean): number[] {
    return this.#parsed(texts, at, isPositive, parsePort);
  }

  /** Values that do not parse are dropped; where that would widen an ALLOW, the rule goes too. */
  #parsed<T>(texts: readonly string[] | undefined, at: string, isPositive: boolean, parse: (text: string) => T | undefined): T[] {
    const values: T[] = [];
    for (const text of texts ?? []) {
      const value = parse(text);
      if (value !== undefined) values.push(value);
      else this.#invalid.add(`${at}: ${JSON.stringify(text)}`);
    }
    const dropped = (texts?.length ?? 0) - values.length;
    if (dropped > 0 && (!isPositive || values.length === 0)) this.#isUnsafe = true;
    return values;
  }

  #accounts(texts: readonly string[] | undefined): ServiceAccountMatch[] {
    return (texts ?? []).map((text) => {
      const slash = text.indexOf('/');
      return slash < 0
        ? { namespace: this.#namespace, serviceAccount: text }
        : { namespace: text.slice(0, slash), serviceAccount: text.slice(slash + 1) };
    });
  }
}

/** `*` any value, `*x` suffix, `x*` prefix, else exact. */
const strings = (texts: readonly string[] | undefined): StringMatch[] => (texts ?? []).map(stringMatch);

export function stringMatch(text: string): StringMatch {
  if (text === '*') return { kind: 'presence' };
  if (text.startsWith('*')) return { kind: 'suffix', value: text.slice(1) };
  if (text.endsWith('*')) return { kind: 'prefix', value: text.slice(0, -1) };
  return { kind: 'exact', value: text };
}
