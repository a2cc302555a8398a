import type { ObjectMeta } from '../../object.ts';
import type { VirtualServiceObject } from './virtual-service-object.ts';

/** A Service, or one host of a ServiceEntry, as routing sees it. */
export interface RoutedService {
  /** `namespace/hostname`. */
  readonly key: string;
  readonly namespace: string;
  readonly hostname: string;
  /** Service ports. */
  readonly ports: readonly number[];
  /** Virtual addresses, canonical; absent: not known. */
  readonly addresses?: readonly string[] | undefined;
  /** Namespace of the waypoint it is bound to; absent: none. */
  readonly waypointNamespace?: string | undefined;
}

/** What a compiler asks about the rest of the mesh. Answers are of one moment; what was asked for is in the result's `dependsOn`. */
export interface IstioLookup {
  readonly rootNamespace: string;
  /** `cluster.local`. */
  readonly clusterDomain: string;
  /** Services whose hostname matches a full name or a wildcard (`hostMatches`). Several for one name when namespaces define it, the preferred first. */
  readonly servicesOf: (host: string) => readonly RoutedService[];
  /** For delegates. */
  readonly virtualService: (namespace: string, name: string) => VirtualServiceObject | undefined;
  /** Whether the DestinationRule in force for that service (its key) defines the subset. */
  readonly hasSubset: (service: string, subset: string) => boolean;
  readonly workloadsOf: (
    service: string,
  ) => readonly { readonly uid: string; readonly labels?: Readonly<Record<string, string>> | undefined }[];
  /** What is wrong with an RE2 pattern, or undefined. */
  readonly checkRegex: (pattern: string) => string | undefined;
}

/** The object something was compiled from. */
export interface IstioSource {
  readonly kind: 'VirtualService' | 'DestinationRule';
  readonly namespace: string;
  readonly name: string;
  readonly creationTimestamp: string;
}

export const sourceOf = (kind: IstioSource['kind'], metadata: ObjectMeta): IstioSource => ({
  kind,
  namespace: metadata.namespace ?? '',
  name: metadata.name ?? '',
  creationTimestamp: metadata.creationTimestamp ?? '',
});

/** `VirtualService/default/reviews`. */
export const sourceText = ({ kind, namespace, name }: IstioSource): string => `${kind}/${namespace}/${name}`;

/** Older objects first, then by name and namespace: Istio's order of merging. */
export const compareSources = (a: IstioSource, b: IstioSource): number => {
  const [x, y] = [a, b].map(({ creationTimestamp, name, namespace, kind }) => `${creationTimestamp} ${name} ${namespace} ${kind}`) as [
    string,
    string,
  ]; // two in, two out
  return x < y ? -1 : x > y ? 1 : 0;
};

/** The full name of a host written in an object of `namespace`. As in Istio, only a name without a dot is short. */
export const fullHost = (host: string, namespace: string, clusterDomain: string): string =>
  host === '*' || host.includes('.') || host.includes(':') ? host.toLowerCase() : `${host.toLowerCase()}.${namespace}.svc.${clusterDomain}`;

/** Whether a hostname is `pattern`, or ends in what follows the `*` of `*.example.com`; `*` alone matches all. */
export const hostMatches = (pattern: string, hostname: string): boolean =>
  pattern.startsWith('*') ? hostname.length > pattern.length - 1 && hostname.endsWith(pattern.slice(1)) : pattern === hostname;

/** Orders patterns that match one hostname: the most specific first (a full name, then the longest wildcard). */
export const compareHosts = (a: string, b: string): number => {
  const wildcards = Number(a.startsWith('*')) - Number(b.startsWith('*'));
  return wildcards !== 0 ? wildcards : b.length - a.length;
};

/** `exportTo` of an object in `owner`: empty or `*` everywhere, `.` its own namespace, `~` nowhere. */
export const isExportedTo = (exportTo: readonly string[] | undefined, owner: string, namespace: string): boolean =>
  exportTo === undefined ||
  exportTo.length === 0 ||
  exportTo.some((entry) => entry === '*' || entry === namespace || (entry === '.' && owner === namespace));
