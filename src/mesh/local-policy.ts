import { parseCidr } from './ip.ts';
import { type LocalValue, TaggedValue } from './local-reader.ts';
import { NEVER } from './match.ts';
import type { Authorization, Cidr, Match, ServiceAccountMatch, StringMatch } from './model.ts';

const MATCH_KEYS = [
  'namespaces',
  'notNamespaces',
  'principals',
  'notPrincipals',
  'sourceIps',
  'notSourceIps',
  'destinationIps',
  'notDestinationIps',
  'destinationPorts',
  'notDestinationPorts',
  'serviceAccounts',
  'notServiceAccounts',
] as const;

const readString = (value: LocalValue): StringMatch => {
  const tagged = value.value;
  if (tagged instanceof TaggedValue) {
    if (tagged.tag === 'Presence') return { kind: 'presence' };
    const kind = { Exact: 'exact', Prefix: 'prefix', Suffix: 'suffix' } as const;
    if (Object.hasOwn(kind, tagged.tag) && typeof tagged.value === 'string') {
      return { kind: kind[tagged.tag as keyof typeof kind], value: tagged.value }; // hasOwn has checked the key
    }
  }
  value.reject('must be a tagged value: !Exact x, !Prefix x, !Suffix x or !Presence');
  return { kind: 'presence' };
};

const readCidr = (value: LocalValue): Cidr => {
  const cidr = parseCidr(value.text());
  if (cidr === undefined) value.reject('must be an address range such as 10.0.0.0/8');
  return cidr ?? { address: '', length: 0 };
};

const readPort = (value: LocalValue): number => value.integer(0, 65_535);

const readAccount = (value: LocalValue): ServiceAccountMatch => {
  const { namespace, serviceAccount } = value.fields(['namespace', 'serviceAccount']);
  return { namespace: namespace.required(), serviceAccount: serviceAccount.required() };
};

const readMatch = (value: LocalValue): Match => {
  const m = value.fields(MATCH_KEYS);
  return {
    ...NEVER,
    namespaces: m.namespaces.items().map(readString),
    notNamespaces: m.notNamespaces.items().map(readString),
    principals: m.principals.items().map(readString),
    notPrincipals: m.notPrincipals.items().map(readString),
    sourceIps: m.sourceIps.items().map(readCidr),
    notSourceIps: m.notSourceIps.items().map(readCidr),
    destinationIps: m.destinationIps.items().map(readCidr),
    notDestinationIps: m.notDestinationIps.items().map(readCidr),
    destinationPorts: m.destinationPorts.items().map(readPort),
    notDestinationPorts: m.notDestinationPorts.items().map(readPort),
    serviceAccounts: m.serviceAccounts.items().map(readAccount),
    notServiceAccounts: m.notServiceAccounts.items().map(readAccount),
  };
};

/** One policy of a local file: `rules` is a list of rules, each a list of clauses, each a list of matches. */
export const localPolicy = (value: LocalValue): Authorization => {
  const p = value.fields(['name', 'namespace', 'scope', 'action', 'rules', 'dryRun']);
  for (const field of [p.scope, p.action, p.rules, p.dryRun]) if (field.isAbsent) field.reject('is required');
  return {
    name: p.name.required(),
    namespace: p.namespace.text(),
    scope: p.scope.oneOf<Authorization['scope']>(
      { Global: 'GLOBAL', Namespace: 'NAMESPACE', WorkloadSelector: 'WORKLOAD_SELECTOR' },
      'GLOBAL',
    ),
    action: p.action.oneOf<Authorization['action']>({ Allow: 'ALLOW', Deny: 'DENY' }, 'DENY'),
    rules: p.rules.items().map((rule) => ({ clauses: rule.items().map((clause) => ({ matches: clause.items().map(readMatch) })) })),
    dryRun: p.dryRun.boolean(false),
  };
};
