/** Where a route sends traffic: `backendRefs`, mirrors. */
import type { Backend } from '../plan.ts';
import type { RouteTarget, ServiceKind } from './lookup.ts';
import type { BackendReference } from './objects.ts';
import type { RuleScope } from './rule-scope.ts';

export const GATEWAY_GROUP = 'gateway.networking.k8s.io';
export const ISTIO_GROUP = 'networking.istio.io';

export interface ResolvedBackend extends Backend {
  readonly invalid?: string;
}

export const serviceKind = (group: string, kind: string): ServiceKind | undefined => {
  if (group === '' && kind === 'Service') return 'Service';
  if (group === ISTIO_GROUP && (kind === 'ServiceEntry' || kind === 'Hostname')) return kind;
  return undefined;
};

/** The Service a cluster-local host stands for: `reviews.prod.svc.cluster.local`. */
const serviceOfHost = (service: RouteTarget | undefined): { namespace: string; name: string } | undefined => {
  const [namespace, host = ''] = service?.key.split('/') ?? [];
  const [name, home, svc] = host.split('.');
  return namespace !== undefined && name !== undefined && home === namespace && svc === 'svc' ? { namespace, name } : undefined;
};

const isGranted = (scope: RuleScope, group: string, kind: string, namespace: string, name: string): boolean => {
  if (namespace === scope.namespace || namespace === scope.parentNamespace) return true;
  return scope.lookup
    .grants(namespace)
    .some(
      ({ spec }) =>
        spec?.from.some((from) => from.group === GATEWAY_GROUP && from.kind === scope.kind && from.namespace === scope.namespace) ===
          true &&
        spec.to.some((to) => to.group === group && to.kind === kind && (to.name === undefined || to.name === '' || to.name === name)),
    );
};

/**
 * What a reference means. One that does not resolve is reported and comes back `invalid`: requests for it fail, those for its neighbours do not.
 * Another namespace needs a ReferenceGrant, but for that of the parent: whoever may ask for the parent's service reaches it anyway (GEP-1294).
 */
export const resolveBackend = (reference: BackendReference, field: string, scope: RuleScope): ResolvedBackend => {
  const { group = '', kind = 'Service', name, port } = reference;
  const namespace = reference.namespace ?? scope.namespace;
  const title = `${kind} ${namespace}/${name}`;
  const invalid = (reason: string, message: string): ResolvedBackend => {
    scope.problems.unresolved(field, reason, message);
    return { service: `${namespace}/${name}`, port: port ?? 0, invalid: message };
  };
  const known = serviceKind(group, kind);
  if (known === undefined)
    return invalid(
      'InvalidKind',
      `${group === '' ? kind : `${group}/${kind}`} is no kind of backend; use Service, ServiceEntry or Hostname`,
    );
  if (port === undefined) {
    scope.problems.refuse(`${field}.port`, `is required for a ${kind}`);
    return { service: `${namespace}/${name}`, port: 0, invalid: `no port for ${title}` };
  }
  if (known === 'Hostname' && reference.namespace !== undefined)
    scope.problems.refuse(`${field}.namespace`, 'cannot be given for a Hostname');
  const refused = `${title} is in another namespace and no ReferenceGrant there admits ${scope.kind} of ${scope.namespace}`;
  if (known !== 'Hostname' && !isGranted(scope, group, kind, namespace, name)) return invalid('RefNotPermitted', refused);
  const service = scope.lookup.services(known, namespace, name)[0];
  const behindHost = known === 'Hostname' ? serviceOfHost(service) : undefined;
  if (behindHost !== undefined && !isGranted(scope, '', 'Service', behindHost.namespace, behindHost.name))
    return invalid('RefNotPermitted', refused);
  if (service === undefined) return invalid('BackendNotFound', `${title} does not exist`);
  if (!service.ports.some((some) => some.port === port)) return invalid('BackendNotFound', `${title} has no port ${port}`);
  return { service: service.key, port };
};
