/** What compiling a route looks up beside the route itself. */
import type { AppProtocol } from '../../model.ts';
import type { ReferenceGrantObject } from './objects.ts';

export interface RoutedPort {
  readonly port: number;
  readonly name?: string | undefined;
  /** What the waypoint takes its traffic for; absent and `UNKNOWN`: it looks at each connection. */
  readonly protocol?: AppProtocol | undefined;
}

/** A service as routes see it: a Service, or one host of a ServiceEntry. */
export interface RouteTarget {
  /** `namespace/hostname`, the key of the WDS Service. */
  readonly key: string;
  readonly ports: readonly RoutedPort[];
  /** Whether a waypoint serves it; routes of a service without one do nothing, and their status says so. */
  readonly isBoundToWaypoint: boolean;
}

/** What a route may refer to: `Service` is of the core group, `ServiceEntry` and `Hostname` (whose name is the host) of `networking.istio.io`. */
export type ServiceKind = 'Service' | 'ServiceEntry' | 'Hostname';

export interface RouteLookup {
  /** Written into the status: who says so. */
  readonly controllerName: string;
  /** Empty when there is none. One for a Service, one per host for a ServiceEntry; for a Hostname the one visible in `namespace`. */
  services(kind: ServiceKind, namespace: string, name: string): readonly RouteTarget[];
  /** The ReferenceGrants of a namespace. */
  grants(namespace: string): readonly ReferenceGrantObject[];
  /** Undefined when the pattern is valid RE2, else what is wrong with it. */
  checkRegex(pattern: string): string | undefined;
}

/** What a compiled route was made of: a change of any of these asks for compiling it again. Sorted. */
export interface RouteDependencies {
  /** `kind/namespace/name`, of services that exist and of those that do not. */
  readonly services: readonly string[];
  /** Namespaces whose ReferenceGrants were read. */
  readonly grants: readonly string[];
}

/** The same lookup, remembering what was asked. */
export const recordLookup = (lookup: RouteLookup): { readonly lookup: RouteLookup; dependencies(): RouteDependencies } => {
  const services = new Set<string>();
  const grants = new Set<string>();
  return {
    lookup: {
      controllerName: lookup.controllerName,
      services: (kind, namespace, name) => {
        services.add(`${kind}/${namespace}/${name}`);
        return lookup.services(kind, namespace, name);
      },
      grants: (namespace) => {
        grants.add(namespace);
        return lookup.grants(namespace);
      },
      checkRegex: (pattern) => lookup.checkRegex(pattern),
    },
    dependencies: () => ({ services: [...services].sort(), grants: [...grants].sort() }),
  };
};
