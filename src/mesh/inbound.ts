/** Which port of the pod an inbound tunnel reaches, and whether it may (section 2.6, steps 3 and 4). */
import { type Failure, failure, unresolvablePort } from './failure.ts';
import { isBehindGateway } from './gateway.ts';
import { canonicalIp } from './ip.ts';
import type { Service, Workload } from './model.ts';
import type { MeshRegistry } from './registry.ts';
import { ILLEGAL_PORTS } from './resolve.ts';
import type { Trace } from './trace.ts';
import { waypointsOf } from './waypoint-target.ts';

/** An accepted stream: connect to `ip:port`, which is also what authorisation sees. */
export interface InboundRoute {
  readonly kind: 'inbound';
  readonly ip: string;
  readonly port: number;
  /** Set when the application takes traffic through its own tunnel: `PROXY` wants a PROXY v2 header first. */
  readonly applicationTunnel?: 'NONE' | 'PROXY';
  /** The service of a hostname authority. */
  readonly service?: Service;
}

export interface InboundOptions {
  readonly illegalPorts?: readonly number[];
  readonly trace?: Trace;
}

export interface Authority {
  /** An address (without brackets) or a hostname. */
  readonly host: string;
  readonly port: number;
}

/** `local` is the workload whose listener took the connection; `connectionIp` the address it was sent to (canonical text). */
export const resolveInbound = (
  registry: MeshRegistry,
  local: Workload,
  connectionIp: string,
  authority: Authority,
  options: InboundOptions = {},
): InboundRoute | Failure => {
  const { trace } = options;
  const ip = canonicalIp(authority.host);
  if (ip !== undefined && !isForMe(registry, local, connectionIp, ip)) {
    trace?.push({ rule: '2.6.3', text: `${ip} is neither this pod nor something this pod is the waypoint of` });
    return failure('ip-mismatch', `${connectionIp} != ${ip}`);
  }
  let port = authority.port;
  let service: Service | undefined;
  if (ip === undefined) {
    service = registry.serviceByHostname(authority.host, local.namespace);
    if (service === undefined) return failure('unknown-hostname', authority.host);
    const mapped = inboundPort(registry, local, service, authority.port);
    if (mapped === undefined) return unresolvablePort(authority.host, authority.port);
    trace?.push({ rule: '2.6.4', text: `${authority.host}:${port} is port ${mapped} of this pod` });
    port = mapped;
  }
  if ((options.illegalPorts ?? ILLEGAL_PORTS).includes(port)) {
    trace?.push({ rule: '2.6.4', text: `port ${port} belongs to the proxy` });
    return failure('self-call');
  }
  const tunnel = local.applicationTunnel;
  if (tunnel !== undefined && tunnel.port !== 0) {
    trace?.push({ rule: '2.6.4', text: `application tunnel: port ${tunnel.port} instead of ${port}` });
    port = tunnel.port;
  }
  return {
    kind: 'inbound',
    ip: connectionIp,
    port,
    ...(tunnel === undefined ? {} : { applicationTunnel: tunnel.protocol }),
    ...(service === undefined ? {} : { service }),
  };
};

const inboundPort = (registry: MeshRegistry, local: Workload, service: Service, servicePort: number): number | undefined => {
  const own = registry.endpoint(`${service.namespace}/${service.hostname}`, local.uid)?.ports;
  const ported = own?.find((port) => port.servicePort === servicePort) ?? service.ports.find((port) => port.servicePort === servicePort);
  return ported?.targetPort || undefined;
};

const isForMe = (registry: MeshRegistry, local: Workload, connectionIp: string, authorityIp: string): boolean => {
  if (authorityIp === connectionIp || local.applicationTunnel !== undefined) return true;
  const found = registry.findAddress(local.network, authorityIp, undefined);
  if (found === undefined) return false;
  return waypointsOf(found.kind === 'service' ? found.service : found.workload).some((gateway) =>
    isBehindGateway(registry, gateway, local, connectionIp),
  );
};

/**
 * The service to name in telemetry for an accepted connection: the one the client says it meant (`Forwarded: host=`), if this workload
 * belongs to it, else the first of its services with this target port. Never used for routing or authorisation.
 */
export const inboundService = (registry: MeshRegistry, local: Workload, port: number, forwardedHost?: string): Service | undefined => {
  const services = registry.servicesOf(local);
  return (
    services.find((service) => service.hostname === forwardedHost) ??
    services.find((service) => service.ports.some(({ servicePort }) => inboundPort(registry, local, service, servicePort) === port))
  );
};
