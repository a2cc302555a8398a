/** Finding a workload behind an address: services by load balancing, gateways by name or address (sections 2.3 step 2 and 2.5). */
import { workloadSpiffeId } from './identity.ts';
import { networkIpKey } from './ip.ts';
import { type Random, type Reach, type ResolutionMode, reachWorkload, selectEndpoint, targetPort } from './load-balance.ts';
import type { GatewayAddress, Service, Workload } from './model.ts';
import type { Destination, MeshRegistry } from './registry.ts';
import type { Trace } from './trace.ts';

/** A chosen workload with the port to reach it at. */
export interface Upstream {
  readonly kind: 'upstream';
  readonly workload: Workload;
  readonly service?: Service;
  readonly port: number;
  readonly reach: Reach;
}

/** Why there is none: nothing known there, PASSTHROUGH, no endpoint, no port, or no way to reach the one chosen. */
export interface NoUpstream {
  readonly kind: 'none';
  readonly why: 'unknown' | 'passthrough' | 'no-endpoint' | 'no-port' | 'unreachable';
  readonly service?: Service;
  readonly workload?: Workload;
}

export interface ResolutionContext {
  readonly registry: MeshRegistry;
  readonly source: Workload;
  readonly random: Random;
  readonly trace?: Trace | undefined;
  /** Uids of workloads that may not be chosen: they were just found to be unreachable. */
  readonly without?: ReadonlySet<string> | undefined;
  /** Other endpoints may not be chosen. */
  readonly allows?: ((workload: Workload) => boolean) | undefined;
}

/** The endpoint of a looked-up destination, for a client that asked for `requestedIp:port`. */
export const upstreamOf = (
  { registry, source, random, trace, without, allows }: ResolutionContext,
  found: Destination | undefined,
  requestedIp: string,
  port: number,
  mode: ResolutionMode,
): Upstream | NoUpstream => {
  if (found === undefined) return { kind: 'none', why: 'unknown' };
  if (found.kind === 'workload') {
    if (without?.has(found.workload.uid)) return { kind: 'none', why: 'no-endpoint', workload: found.workload };
    const reach = reachWorkload(found.workload, undefined, requestedIp);
    return reach === undefined
      ? { kind: 'none', why: 'unreachable', workload: found.workload }
      : { kind: 'upstream', workload: found.workload, port, reach };
  }
  const { service } = found;
  if (service.loadBalancing?.mode === 'PASSTHROUGH') return { kind: 'none', why: 'passthrough', service };
  const all = registry.endpoints(`${service.namespace}/${service.hostname}`);
  const endpoints =
    without === undefined && allows === undefined
      ? all
      : all.filter(({ workload }) => without?.has(workload.uid) !== true && allows?.(workload) !== false);
  const endpoint = selectEndpoint(service, endpoints, source, port, mode, random, trace);
  if (endpoint === undefined) return { kind: 'none', why: 'no-endpoint', service };
  const target = targetPort(service, endpoint, port);
  if (target === undefined) return { kind: 'none', why: 'no-port', service, workload: endpoint.workload };
  const reach = reachWorkload(endpoint.workload, service, requestedIp);
  if (reach === undefined) return { kind: 'none', why: 'unreachable', service, workload: endpoint.workload };
  return { kind: 'upstream', workload: endpoint.workload, service, port: target, reach };
};

/** `ns/hostname` or `network/ip`, for messages. */
export const describeGateway = ({ destination }: GatewayAddress): string =>
  destination.kind === 'hostname'
    ? `${destination.value.namespace}/${destination.value.hostname}`
    : networkIpKey(destination.value.network, destination.value.address);

/** The service or workload a gateway address names. A hostname is a service first. */
export const findGateway = (
  registry: MeshRegistry,
  { destination }: GatewayAddress,
  namespace: string | undefined,
): Destination | undefined => {
  if (destination.kind === 'address') {
    return registry.findUpstream(destination.value.network, destination.value.address, namespace);
  }
  const service = registry.service(`${destination.value.namespace}/${destination.value.hostname}`);
  if (service !== undefined) return { kind: 'service', service };
  const workload = registry.workloadByHostname(destination.value.hostname, destination.value.namespace);
  return workload && { kind: 'workload', workload };
};

/** One workload of a gateway. An address keeps its own IP family; a hostname adapts to the request's. */
export const resolveGateway = (
  context: ResolutionContext,
  gateway: GatewayAddress,
  requestedIp: string,
  mode: ResolutionMode,
): Upstream | NoUpstream => {
  const found = findGateway(context.registry, gateway, context.source.namespace);
  const ip = gateway.destination.kind === 'address' ? gateway.destination.value.address : requestedIp;
  return upstreamOf(context, found, ip, gateway.hboneMtlsPort, mode);
};

/** Whether a workload is behind a gateway address: an endpoint of its service, or the workload that owns `ip`. */
export const isBehindGateway = (registry: MeshRegistry, gateway: GatewayAddress, workload: Workload, ip: string): boolean => {
  const found = findGateway(registry, gateway, undefined);
  if (found === undefined) return false;
  if (found.kind === 'workload') return found.workload.addresses.includes(ip);
  return registry.endpoint(`${found.service.namespace}/${found.service.hostname}`, workload.uid) !== undefined;
};

/** Every workload behind a gateway address. */
export const gatewayWorkloads = (registry: MeshRegistry, gateway: GatewayAddress, namespace: string): Workload[] => {
  const found = findGateway(registry, gateway, namespace);
  if (found === undefined) return [];
  if (found.kind === 'workload') return [found.workload];
  return [...registry.members(`${found.service.namespace}/${found.service.hostname}`)].map(({ workload }) => workload);
};

/** SANs of the service, then the workload's own identity, each once (2.4a). */
export const expectedIdentities = ({ workload, service }: Pick<Upstream, 'workload' | 'service'>): readonly string[] => {
  const own = workloadSpiffeId(workload);
  if (service === undefined || service.subjectAltNames.length === 0) return [own];
  return [...new Set([...service.subjectAltNames, own])];
};
