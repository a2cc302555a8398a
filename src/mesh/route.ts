import type { Failure } from './failure.ts';
import { formatHostPort } from './ip.ts';
import type { Reach } from './load-balance.ts';
import type { Service, Workload } from './model.ts';

/** Where to open a TCP connection. A `dns` target must be resolved first; then see `withResolvedIp`. */
export type DialTarget =
  | { readonly kind: 'ip'; readonly ip: string; readonly port: number }
  | { readonly kind: 'dns'; readonly hostname: string; readonly preferFamily: 4 | 6; readonly port: number };

interface Telemetry {
  /** The workload that is dialled: the destination itself, its waypoint, or the remote endpoint behind a gateway. */
  readonly destinationWorkload: Workload;
  /** The service the application addressed, if it did. */
  readonly destinationService?: Service;
}

/** One HBONE tunnel. */
export interface HboneRoute extends Telemetry {
  readonly kind: 'hbone';
  readonly via: 'direct' | 'service-waypoint' | 'workload-waypoint';
  readonly target: DialTarget;
  /** `target` as text, `ip:port`. */
  readonly address: string;
  /** `:authority` of the CONNECT. */
  readonly authority: string;
  /** SPIFFE URIs of which the server must present one, in a fixed order (2.4a). */
  readonly acceptedIdentities: readonly string[];
}

/** HBONE inside HBONE, through another network's gateway (1.8). */
export interface DoubleHboneRoute extends Telemetry {
  readonly kind: 'double-hbone';
  readonly via: 'direct' | 'service-waypoint';
  readonly target: DialTarget;
  readonly address: string;
  readonly authority: string;
  readonly acceptedIdentities: readonly string[];
  readonly gatewayWorkload: Workload;
  readonly innerAuthority: string;
  readonly innerAcceptedIdentities: readonly string[];
}

/** Plain TCP to a known workload that takes no tunnel. */
export interface TcpRoute extends Telemetry {
  readonly kind: 'tcp';
  readonly target: DialTarget;
  readonly address: string;
}

/** Plain TCP to the original destination, of which the mesh knows nothing (or a PASSTHROUGH service). */
export interface PassthroughRoute {
  readonly kind: 'passthrough';
  readonly target: DialTarget;
  readonly address: string;
  readonly destinationService?: Service;
}

export type Route = HboneRoute | DoubleHboneRoute | TcpRoute | PassthroughRoute | Failure;

export const dialTarget = (reach: Exclude<Reach, { kind: 'gateway' }>, port: number): DialTarget =>
  reach.kind === 'ip' ? { kind: 'ip', ip: reach.ip, port } : { ...reach, port };

export const targetText = (target: DialTarget): string => formatHostPort(target.kind === 'ip' ? target.ip : target.hostname, target.port);

/** The route once the name of its `dns` target is resolved; other routes are returned as they are. */
export const withResolvedIp = <R extends Exclude<Route, Failure>>(route: R, ip: string): R => {
  if (route.target.kind !== 'dns') return route;
  const { hostname, port } = route.target;
  const resolved = { ...route, target: { kind: 'ip', ip, port } as const, address: formatHostPort(ip, port) };
  if (resolved.kind === 'hbone' && resolved.via === 'direct' && resolved.authority.startsWith(`${hostname}:`)) {
    return { ...resolved, authority: formatHostPort(ip, Number(resolved.authority.slice(hostname.length + 1))) };
  }
  return resolved;
};
