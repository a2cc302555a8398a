/** One route object → what it adds to the plans of its parent services. */
import type { Condition } from '../../object.ts';
import { GATEWAY_GROUP, serviceKind } from './backend-ref.ts';
import type { CompiledParent, CompiledRoute, RouteAttachment, RouteFragment, RouteIdentity } from './compiled-route.ts';
import { compileGrpcRules, compileHttpRules } from './http-route.ts';
import { compileTcpRules, compileTlsRules } from './l4-route.ts';
import { type RouteLookup, type RouteTarget, recordLookup, type ServiceKind } from './lookup.ts';
import type { ParentReference, RouteKind, RouteObjects } from './objects.ts';
import { findObstacle } from './obstacle.ts';
import { describeProblems, RouteProblems } from './problems.ts';
import type { RouteScope } from './rule-scope.ts';

/** The kind with its object: TypeScript then knows the rules. */
type KindedRoute = { readonly [K in RouteKind]: { readonly kind: K; readonly object: RouteObjects[K] } }[RouteKind];

interface Rules {
  readonly fragment: RouteFragment;
  readonly problems: RouteProblems;
}

const compileRules = (route: KindedRoute, scope: RouteScope): RouteFragment => {
  switch (route.kind) {
    case 'HTTPRoute':
      return compileHttpRules(route.object.spec?.rules, scope);
    case 'GRPCRoute':
      return compileGrpcRules(route.object.spec?.rules, scope);
    case 'TLSRoute':
      return compileTlsRules(route.object.spec?.rules, route.object.spec?.hostnames, scope);
    case 'TCPRoute':
      return compileTcpRules(route.object.spec?.rules, scope);
  }
};

const accepted = (message: string): Condition => ({ type: 'Accepted', status: 'True', reason: 'Accepted', message });
const notAccepted = (reason: string, message: string): Condition => ({ type: 'Accepted', status: 'False', reason, message });

const referencesCondition = ({ unresolvedReferences }: RouteProblems): Condition => {
  const first = unresolvedReferences[0];
  return first === undefined
    ? { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message: 'every reference resolves' }
    : { type: 'ResolvedRefs', status: 'False', reason: first.reason, message: describeProblems(unresolvedReferences) };
};

/** Of rules that answer 500 because they cannot do what they say. The specification has its own condition for a mixture. */
const acceptanceConditions = (problems: RouteProblems, ruleCount: number, message: string): Condition[] => {
  if (problems.broken.length === 0) return [accepted(message)];
  const text = describeProblems(problems.broken);
  if (problems.brokenRuleCount >= ruleCount) return [notAccepted('UnsupportedValue', text)];
  return [accepted(message), { type: 'PartiallyInvalid', status: 'True', reason: 'UnsupportedValue', message: `Dropped Rule(s): ${text}` }];
};

const acceptedMessage = ({ kind, object }: KindedRoute, consumer: string | undefined): string => {
  const hosts =
    kind !== 'TLSRoute' && (object.spec?.hostnames ?? []).length > 0 ? '; hostnames have no meaning with a Service as parent' : '';
  return (consumer === undefined ? 'attached' : `attached for clients in namespace ${consumer}`) + hosts;
};

/** Ports a parentRef selects: undefined for "all". */
const selectsPort = ({ port, sectionName }: ParentReference) =>
  port === undefined && (sectionName === undefined || sectionName === '')
    ? undefined
    : (some: RouteTarget['ports'][number]) => (port ?? some.port) === some.port && (sectionName || some.name) === some.name;

/**
 * Compiles a route against the services it names. The outcome depends on nothing but the object and what `lookup` answered, which `dependencies`
 * lists: it can be kept until one of them changes.
 *
 * Parents that are services are compiled, those that are Gateways are left to whoever runs them and get no status. A value that cannot be served
 * refuses the whole route (`refused`, `Accepted: False` with the field), because half of a route is a different route. A reference that does not
 * resolve does not: its share of the traffic fails, and `ResolvedRefs` says why.
 */
export const compileRoute = <K extends RouteKind>(kind: K, object: RouteObjects[K], lookup: RouteLookup): CompiledRoute => {
  const route = { kind, object } as KindedRoute; // the pair is what the signature says; the compiler does not distribute K over the union
  const { name = '', namespace = '', creationTimestamp = '' } = object.metadata;
  const identity: RouteIdentity = { kind, namespace, name, creationTimestamp };
  const recorded = recordLookup(lookup);
  // Grants depend on the parent's namespace, nothing else does on the parent.
  const byNamespace = new Map<string, Rules>();
  const rulesFor = (parentNamespace: string): Rules => {
    let rules = byNamespace.get(parentNamespace);
    if (rules === undefined) {
      const problems = new RouteProblems();
      rules = { problems, fragment: compileRules(route, { kind, namespace, name, parentNamespace, lookup: recorded.lookup, problems }) };
      byNamespace.set(parentNamespace, rules);
    }
    return rules;
  };
  const parents = (object.spec?.parentRefs ?? []).flatMap((parentRef): CompiledParent[] => {
    const known = serviceKind(parentRef.group ?? GATEWAY_GROUP, parentRef.kind ?? 'Gateway');
    if (known === undefined || known === 'Hostname') return [];
    return [compileParent(route, identity, parentRef, known, recorded.lookup, rulesFor)];
  });
  const refused = [...byNamespace.values()].map(({ problems }) => problems.refusals).find((refusals) => refusals.length > 0);
  return {
    route: identity,
    controllerName: lookup.controllerName,
    parents,
    ...(refused !== undefined && { refused }),
    dependencies: recorded.dependencies(),
  };
};

const compileParent = (
  route: KindedRoute,
  identity: RouteIdentity,
  parentRef: ParentReference,
  kind: ServiceKind,
  lookup: RouteLookup,
  rulesFor: (parentNamespace: string) => Rules,
): CompiledParent => {
  const namespace = parentRef.namespace ?? identity.namespace;
  const title = `${kind} ${namespace}/${parentRef.name}`;
  const { problems, fragment } = rulesFor(namespace);
  const none = (condition: Condition): CompiledParent => ({
    parentRef,
    conditions: [condition, referencesCondition(problems)],
    attachments: [],
  });
  const refusal = problems.refusals[0];
  if (refusal !== undefined) return none(notAccepted(refusal.reason, describeProblems(problems.refusals)));
  const services = lookup.services(kind, namespace, parentRef.name);
  if (services.length === 0) return none(notAccepted('NoMatchingParent', `${title} does not exist`));
  const isSelected = selectsPort(parentRef);
  const selected = services.flatMap((service) =>
    isSelected === undefined ? [{ service, port: 0 }] : service.ports.filter(isSelected).map(({ port }) => ({ service, port })),
  );
  if (selected.length === 0) {
    const wanted = [parentRef.port ?? [], parentRef.sectionName === undefined ? [] : `"${parentRef.sectionName}"`].flat().join(' named ');
    return none(notAccepted('NoMatchingParent', `${title} has no port ${wanted}`));
  }
  const consumer = namespace === identity.namespace ? undefined : identity.namespace;
  const obstacle = findObstacle(fragment.kind, selected);
  const attachments = selected.map(
    ({ service, port }): RouteAttachment => ({ service: service.key, port, ...(consumer !== undefined && { consumer }), fragment }),
  );
  return {
    parentRef,
    conditions: [
      ...acceptanceConditions(problems, Math.max(1, route.object.spec?.rules?.length ?? 0), acceptedMessage(route, consumer)),
      referencesCondition(problems),
    ],
    attachments,
    ...(obstacle !== undefined && { obstacle }),
  };
};
