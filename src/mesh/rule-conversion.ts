import { parseCidr, parsePort } from './ip.ts';
import { ALWAYS, isEmptyMatch, NEVER, SafeMatch } from './match.ts';
import type { Clause, Match, Rule, ServiceAccountMatch, StringMatch } from './model.ts';
import type { PolicyCondition, PolicyOperation, PolicyRule, PolicySource } from './policy-object.ts';

const L7_SOURCE = [
  'requestPrincipals',
  'notRequestPrincipals',
  'remoteIpBlocks',
  'notRemoteIpBlocks',
  'trustDomains',
  'notTrustDomains',
] as const;
const L7_OPERATION = ['hosts', 'notHosts', 'methods', 'notMethods', 'paths', 'notPaths'] as const;

type Parse<V> = (text: string) => V | undefined;
type Texts = readonly string[] | undefined;

/** `*` any value, `*x` suffix, `x*` prefix, else exact. Undefined for what nobody's name or identity is like: no text, a `*` anywhere else. */
export const parseStringMatch = (text: string): StringMatch | undefined => {
  if (text === '*') return { kind: 'presence' };
  const isSuffix = text.startsWith('*');
  const isPrefix = !isSuffix && text.endsWith('*');
  const value = isSuffix ? text.slice(1) : isPrefix ? text.slice(0, -1) : text;
  if (value === '' || value.includes('*')) return undefined;
  return { kind: isSuffix ? 'suffix' : isPrefix ? 'prefix' : 'exact', value };
};

/** Principals are written without their scheme; with it nobody has one. */
const parsePrincipal = (text: string): StringMatch | undefined => (text.includes('://') ? undefined : parseStringMatch(text));

/** Converts the rules of one policy and remembers what could not be enforced as written. */
export class RuleConverter {
  /** Paths of attributes that exist only at L7. */
  readonly unsupported: string[] = [];
  /** Values that are not what their field wants, with their paths. */
  readonly invalid: string[] = [];
  readonly #action: 'ALLOW' | 'DENY';
  readonly #namespace: string;

  constructor(action: 'ALLOW' | 'DENY', namespace: string) {
    this.#action = action;
    this.#namespace = namespace;
  }

  /** Undefined when the rule is left out: an ALLOW that needs more than L4. */
  convert({ from = [], to = [], when = [] }: PolicyRule, path: string): Rule | undefined {
    const unsupportedBefore = this.unsupported.length;
    const clauses: Clause[] = [];
    if (to.length > 0)
      clauses.push({ matches: to.map(({ operation }, i) => this.#operation(operation ?? {}, `${path}.to[${i}].operation`)) });
    if (from.length > 0) clauses.push({ matches: from.map(({ source }, i) => this.#source(source ?? {}, `${path}.from[${i}].source`)) });
    for (const [i, condition] of when.entries()) clauses.push(...this.#when(condition, `${path}.when[${i}]`));
    return this.#action === 'ALLOW' && this.unsupported.length > unsupportedBefore ? undefined : { clauses };
  }

  #source(source: PolicySource, path: string): Match {
    const safe = this.#safe(source, L7_SOURCE, path);
    const account: Parse<ServiceAccountMatch> = (text) => this.#account(text);
    return this.#finish(safe, path, {
      ...NEVER,
      principals: safe.positive(this.#read(source.principals, `${path}.principals`, parsePrincipal)),
      notPrincipals: safe.negative(this.#read(source.notPrincipals, `${path}.notPrincipals`, parsePrincipal)),
      namespaces: safe.positive(this.#read(source.namespaces, `${path}.namespaces`, parseStringMatch)),
      notNamespaces: safe.negative(this.#read(source.notNamespaces, `${path}.notNamespaces`, parseStringMatch)),
      serviceAccounts: safe.positive(this.#read(source.serviceAccounts, `${path}.serviceAccounts`, account)),
      notServiceAccounts: safe.negative(this.#read(source.notServiceAccounts, `${path}.notServiceAccounts`, account)),
      sourceIps: safe.positive(this.#read(source.ipBlocks, `${path}.ipBlocks`, parseCidr)),
      notSourceIps: safe.negative(this.#read(source.notIpBlocks, `${path}.notIpBlocks`, parseCidr)),
    });
  }

  #operation(operation: PolicyOperation, path: string): Match {
    const safe = this.#safe(operation, L7_OPERATION, path);
    return this.#finish(safe, path, {
      ...NEVER,
      destinationPorts: safe.positive(this.#read(operation.ports, `${path}.ports`, parsePort)),
      notDestinationPorts: safe.negative(this.#read(operation.notPorts, `${path}.notPorts`, parsePort)),
    });
  }

  #when({ key, values, notValues }: PolicyCondition, path: string): Clause[] {
    const safe = new SafeMatch(this.#action);
    const both = <V>(parse: Parse<V>): [V[], V[]] => [
      safe.positive(this.#read(values, `${path}.values`, parse)),
      safe.negative(this.#read(notValues, `${path}.notValues`, parse)),
    ];
    const clause = (match: Partial<Match>): Clause[] => [{ matches: [this.#finish(safe, path, { ...NEVER, ...match })] }];
    switch (key) {
      case 'source.ip': {
        const [sourceIps, notSourceIps] = both(parseCidr);
        return clause({ sourceIps, notSourceIps });
      }
      case 'source.namespace': {
        const [namespaces, notNamespaces] = both(parseStringMatch);
        return clause({ namespaces, notNamespaces });
      }
      case 'source.principal': {
        const [principals, notPrincipals] = both(parsePrincipal);
        return clause({ principals, notPrincipals });
      }
      case 'destination.ip': {
        const [destinationIps, notDestinationIps] = both(parseCidr);
        return clause({ destinationIps, notDestinationIps });
      }
      case 'destination.port': {
        const [destinationPorts, notDestinationPorts] = both(parsePort);
        return clause({ destinationPorts, notDestinationPorts });
      }
      default:
        // Left out of a DENY, which then denies more; an ALLOW rule with it is left out as a whole.
        this.unsupported.push(`${path}.key ${key}`);
        return [];
    }
  }

  #safe<K extends string>(part: { readonly [key in K]?: Texts }, fields: readonly K[], path: string): SafeMatch {
    const safe = new SafeMatch(this.#action);
    for (const field of fields) {
      if ((part[field]?.length ?? 0) === 0) continue;
      this.unsupported.push(`${path}.${field}`);
      safe.lose();
    }
    return safe;
  }

  #finish(safe: SafeMatch, path: string, match: Match): Match {
    const finished = safe.finish(match);
    if (!isEmptyMatch(finished) || safe.isNever) return finished;
    this.invalid.push(`${path}: is empty`);
    return this.#action === 'DENY' ? ALWAYS : NEVER;
  }

  #read<V>(texts: Texts, path: string, parse: Parse<V>): (V | undefined)[] {
    return (texts ?? []).map((text, i) => {
      const value = typeof text === 'string' ? parse(text) : undefined;
      if (value === undefined) this.invalid.push(`${path}[${i}] ${JSON.stringify(text)}`);
      return value;
    });
  }

  /** `namespace/account`, or an account of the policy's own namespace. There are no wildcards here. */
  #account(text: string): ServiceAccountMatch | undefined {
    const parts = text.split('/');
    if (parts.length > 2 || parts.includes('') || text.includes('*')) return undefined;
    return parts.length === 1
      ? { namespace: this.#namespace, serviceAccount: parts[0]! }
      : { namespace: parts[0]!, serviceAccount: parts[1]! };
  }
}
