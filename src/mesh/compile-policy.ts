/** Authorizations compiled once into tests over a prepared connection (section 3.2). */
import { principalOf } from './identity.ts';
import { type CidrTest, cidrTestHolds, compileCidr, type IpWords, parseIp } from './ip.ts';
import { policyKey } from './keys.ts';
import type { Authorization, Cidr, Identity, Match, StringMatch } from './model.ts';

/** What a policy sees of a connection. `destinationPort` is the final target port; no identity means plain text. */
export interface Connection {
  readonly sourceIp: string;
  readonly destinationIp: string;
  readonly destinationPort: number;
  readonly identity?: Identity | undefined;
}

/** A connection with what the tests need computed once for all policies. */
export interface PreparedConnection {
  readonly source: IpWords | undefined;
  readonly destination: IpWords | undefined;
  readonly port: number;
  /** `td/ns/x/sa/y`, undefined without identity. */
  readonly principal: string | undefined;
  readonly namespace: string;
  readonly serviceAccount: string | undefined;
}

export const prepareConnection = ({ sourceIp, destinationIp, destinationPort, identity }: Connection): PreparedConnection => ({
  source: parseIp(sourceIp),
  destination: parseIp(destinationIp),
  port: destinationPort,
  principal: identity && principalOf(identity),
  namespace: identity?.namespace ?? '',
  serviceAccount: identity?.serviceAccount,
});

type Test = (connection: PreparedConnection) => boolean;

export interface CompiledPolicy {
  readonly key: string;
  readonly policy: Authorization;
  readonly matches: Test;
}

const always: Test = () => true;

const stringHits = (match: StringMatch, value: string): boolean => {
  switch (match.kind) {
    case 'exact':
      return value === match.value;
    case 'prefix':
      return value.startsWith(match.value);
    case 'suffix':
      return value.endsWith(match.value);
    case 'presence':
      return value !== '';
  }
};

const anyString = (matches: readonly StringMatch[], value: string): boolean => {
  for (const match of matches) if (stringHits(match, value)) return true;
  return false;
};

const anyCidr = (tests: readonly CidrTest[], ip: IpWords | undefined): boolean => {
  if (ip !== undefined) for (const test of tests) if (cidrTestHolds(test, ip)) return true;
  return false;
};

/** A CIDR that cannot be decoded hits nothing; its list keeps constraining, because the length of the model's list decides that. */
const compileCidrs = (cidrs: readonly Cidr[]): CidrTest[] => cidrs.flatMap((cidr) => compileCidr(cidr) ?? []);

/** `(positive empty OR any positive hits) AND (negative empty OR no negative hits)`, or undefined when both lists are empty. */
const kind = <T>(
  positive: readonly T[],
  negative: readonly T[],
  hits: (list: readonly T[], connection: PreparedConnection) => boolean,
): Test[] => {
  const tests: Test[] = [];
  if (positive.length > 0) tests.push((connection) => hits(positive, connection));
  if (negative.length > 0) tests.push((connection) => !hits(negative, connection));
  return tests;
};

const compileCidrKind = (
  positive: readonly Cidr[],
  negative: readonly Cidr[],
  ipOf: (connection: PreparedConnection) => IpWords | undefined,
): Test[] => {
  const hit = compileCidrs(positive);
  const miss = compileCidrs(negative);
  const tests: Test[] = [];
  if (positive.length > 0) tests.push((connection) => anyCidr(hit, ipOf(connection)));
  if (negative.length > 0) tests.push((connection) => !anyCidr(miss, ipOf(connection)));
  return tests;
};

/** All six kinds of one match; undefined when all twelve lists are empty, which never matches. */
export const compileMatch = (match: Match): Test | undefined => {
  const tests = [
    ...kind(match.destinationPorts, match.notDestinationPorts, (ports, { port }) => ports.includes(port)),
    ...kind(match.principals, match.notPrincipals, (list, { principal }) => principal !== undefined && anyString(list, principal)),
    ...kind(match.namespaces, match.notNamespaces, (list, { namespace }) => anyString(list, namespace)),
    ...kind(match.serviceAccounts, match.notServiceAccounts, (list, { namespace, serviceAccount }) =>
      list.some((wanted) => serviceAccount !== undefined && wanted.serviceAccount === serviceAccount && wanted.namespace === namespace),
    ),
    ...compileCidrKind(match.sourceIps, match.notSourceIps, ({ source }) => source),
    ...compileCidrKind(match.destinationIps, match.notDestinationIps, ({ destination }) => destination),
  ];
  return tests.length === 0 ? undefined : (connection) => tests.every((test) => test(connection));
};

const compile = (policy: Authorization): CompiledPolicy => {
  const rules = policy.rules.map((rule): Test => {
    const clauses = rule.clauses.map(({ matches }): Test => {
      if (matches.length === 0) return always;
      const tests = matches.flatMap((match) => compileMatch(match) ?? []);
      return (connection) => tests.some((test) => test(connection));
    });
    return (connection) => clauses.every((clause) => clause(connection));
  });
  return { key: policyKey(policy), policy, matches: (connection) => rules.some((rule) => rule(connection)) };
};

const compiled = new WeakMap<Authorization, CompiledPolicy>();

/** Compiles a policy, once per object. */
export const compilePolicy = (policy: Authorization): CompiledPolicy => {
  let result = compiled.get(policy);
  if (result === undefined) {
    result = compile(policy);
    compiled.set(policy, result);
  }
  return result;
};
