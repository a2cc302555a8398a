import type { Service as KubeService } from '../../platform/kubernetes/index.ts';
import type { WaypointBinding } from '../wire.ts';

/** What routing needs to know of the mesh's services; the mesh compiler knows it. */
export interface MeshServices {
  readonly rootNamespace: string;
  readonly clusterDomain: string;
  /** Not those of type ExternalName. */
  service(namespace: string, name: string): KubeService | undefined;
  services(): Iterable<KubeService>;
  /** Of `namespace/name`; undefined when it asks for no waypoint. */
  binding(key: string): WaypointBinding | undefined;
  /** Pods that are its endpoints, ready or not. */
  membersOf(service: KubeService): readonly { readonly uid: string; readonly labels?: Readonly<Record<string, string>> }[];
}

export interface ServiceName {
  readonly namespace: string;
  readonly name: string;
}

/** `namespace/hostname` → the Kubernetes Service; undefined for any other host. */
export function serviceNameOf(key: string, clusterDomain: string): ServiceName | undefined {
  return nameOfHost(key.slice(key.indexOf('/') + 1), clusterDomain);
}

/** `name.namespace.svc.<domain>` → the Service it names. */
export function nameOfHost(hostname: string, clusterDomain: string): ServiceName | undefined {
  const suffix = `.svc.${clusterDomain}`;
  if (!hostname.endsWith(suffix)) return undefined;
  const [name = '', namespace = '', ...rest] = hostname.slice(0, -suffix.length).split('.');
  return name === '' || namespace === '' || rest.length > 0 ? undefined : { namespace, name };
}

export const hostnameOf = ({ namespace, name }: ServiceName, clusterDomain: string): string => `${name}.${namespace}.svc.${clusterDomain}`;
