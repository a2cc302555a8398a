/** `istio.security.Authorization` → model. Values that cannot be read fail closed and are reported; a list never stops constraining. */
import { Action, AuthorizationTable, decodeMessage, type Plain, Scope } from '../protocol/index.ts';
import type {
  AuthorizationAddress,
  Authorization as AuthorizationMessage,
  Match as MatchMessage,
  StringMatch as StringMatchMessage,
} from '../protocol/messages/index.ts';
import { ipFromBytes, makeCidr } from './ip.ts';
import { SafeMatch } from './match.ts';
import type { Authorization, Cidr, Match, PolicyScope, StringMatch } from './model.ts';
import { fail, ok, type Result } from './result.ts';

export interface DecodedPolicy {
  readonly policy: Authorization;
  /** Values that were not understood, for the log. The policy is stricter than written because of them. */
  readonly warnings: readonly string[];
}

const decodeString = ({ matchType }: Plain<StringMatchMessage>): StringMatch | undefined => {
  if (matchType.case === undefined) return undefined;
  return matchType.case === 'presence' ? { kind: 'presence' } : { kind: matchType.case, value: matchType.value };
};

const decodeCidr = ({ address, length }: Plain<AuthorizationAddress>): Cidr | undefined => {
  const ip = ipFromBytes(address);
  return ip && makeCidr(ip, length, address.length === 4 ? 4 : 6);
};

const decodePort = (port: number): number | undefined => (port <= 65_535 ? port : undefined);

const decodeMatch = (action: Authorization['action'], message: Plain<MatchMessage>, path: string, warnings: string[]): Match => {
  const safe = new SafeMatch(action);
  const each = <M, V>(field: string, values: readonly M[], decode: (value: M) => V | undefined): (V | undefined)[] =>
    values.map((value, i) => {
      const decoded = decode(value);
      if (decoded === undefined) warnings.push(`${path}.${field}[${i}]: not understood`);
      return decoded;
    });
  return safe.finish({
    namespaces: safe.positive(each('namespaces', message.namespaces, decodeString)),
    notNamespaces: safe.negative(each('not_namespaces', message.notNamespaces, decodeString)),
    principals: safe.positive(each('principals', message.principals, decodeString)),
    notPrincipals: safe.negative(each('not_principals', message.notPrincipals, decodeString)),
    sourceIps: safe.positive(each('source_ips', message.sourceIps, decodeCidr)),
    notSourceIps: safe.negative(each('not_source_ips', message.notSourceIps, decodeCidr)),
    destinationIps: safe.positive(each('destination_ips', message.destinationIps, decodeCidr)),
    notDestinationIps: safe.negative(each('not_destination_ips', message.notDestinationIps, decodeCidr)),
    destinationPorts: safe.positive(each('destination_ports', message.destinationPorts, decodePort)),
    notDestinationPorts: safe.negative(each('not_destination_ports', message.notDestinationPorts, decodePort)),
    serviceAccounts: message.serviceAccounts.map(({ namespace, serviceAccount }) => ({ namespace, serviceAccount })),
    notServiceAccounts: message.notServiceAccounts.map(({ namespace, serviceAccount }) => ({ namespace, serviceAccount })),
  });
};

export const policyFromMessage = (message: Plain<AuthorizationMessage>): Result<DecodedPolicy, string[]> => {
  const problems: string[] = [];
  if (message.name === '') problems.push('name: must not be empty');
  const scope = Scope[message.scope];
  if (scope === undefined) problems.push(`scope: unknown value ${message.scope}`);
  if (message.action !== Action.ALLOW && message.action !== Action.DENY) problems.push(`action: unknown value ${message.action}`);
  if (problems.length > 0) return fail(problems);
  const action = message.action === Action.DENY ? 'DENY' : 'ALLOW';
  const warnings: string[] = [];
  const rules = message.rules.map(({ clauses }, r) => ({
    clauses: clauses.map(({ matches }, c) => ({
      matches: matches.map((match, m) => decodeMatch(action, match, `rules[${r}].clauses[${c}].matches[${m}]`, warnings)),
    })),
  }));
  const policy = {
    name: message.name,
    namespace: message.namespace,
    scope: scope as PolicyScope,
    action,
    rules,
    dryRun: message.dryRun,
  } as const;
  return ok({ policy, warnings });
};

/** Decodes an `istio.security.Authorization`. The problems are the reason part of a NACK. */
export const decodeAuthorization = (bytes: Uint8Array): Result<DecodedPolicy, string[]> => {
  const decoded = decodeMessage(AuthorizationTable, bytes);
  return decoded.ok ? policyFromMessage(decoded.value) : fail([decoded.error]);
};
