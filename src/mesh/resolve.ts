/** Where an outbound connection goes: section 2.3 of the ambient contract as one pure function. */
import { failure, unresolvablePort } from './failure.ts';
import {
  describeGateway,
  expectedIdentities,
  gatewayWorkloads,
  type NoUpstream,
  type ResolutionContext,
  resolveGateway,
  type Upstream,
  upstreamOf,
} from './gateway.ts';
import { sameIdentity, workloadIdentity } from './identity.ts';
import { formatHostPort, isLoopback } from './ip.ts';
import type { Random } from './load-balance.ts';
import type { GatewayAddress, Service, Workload } from './model.ts';
import type { MeshRegistry } from './registry.ts';
import { type DialTarget, dialTarget, type Route, targetText } from './route.ts';
import type { Trace } from './trace.ts';

export const HBONE_PORT = 15_008;
/** Ports of the proxy's own listeners inside a pod; nobody may be sent there (1.1). Add 15080 when SOCKS5 is on. */
export const ILLEGAL_PORTS: readonly number[] = [15_001, 15_006, HBONE_PORT];

export interface SocketDestination {
  /** Canonical text. */
  readonly ip: string;
  readonly port: number;
}

export interface OutboundOptions {
  /** The proxy's own `NETWORK`; default: the source's. */
  readonly network?: string;
  /** The connecting IP; default: any of the source's addresses. */
  readonly sourceIp?: string;
  readonly illegalPorts?: readonly number[];
  /** Uids of workloads not to choose. */
  readonly without?: ReadonlySet<string>;
  /** Filled with the steps taken. */
  readonly trace?: Trace;
}

export const resolveOutbound = (
  registry: MeshRegistry,
  source: Workload,
  destination: SocketDestination,
  random: Random,
  options: OutboundOptions = {},
): Route => {
  const { ip, port } = destination;
  const { trace } = options;
  const original = formatHostPort(ip, port);
  const context: ResolutionContext = { registry, source, random, trace, without: options.without };

  if (isLoopback(ip) && (options.illegalPorts ?? ILLEGAL_PORTS).includes(port)) {
    trace?.push({ rule: '2.2', text: `${original} is the proxy itself` });
    return failure('self-call');
  }

  // 1. Service waypoint. Workload addresses come before VIPs here, VIPs first in step 2.
  const addressed = registry.findAddress(options.network ?? source.network, ip, source.namespace);
  trace?.push({ rule: '2.3.1', text: `${original} ${describeAddressed(addressed)}` });
  if (addressed?.kind === 'service') {
    const waypoint = serviceWaypoint(addressed.service, random);
    if (waypoint !== undefined) return throughServiceWaypoint(context, addressed.service, waypoint, destination);
  }

  // 2. Endpoint.
  const upstream = upstreamOf(context, registry.findUpstream(source.network, ip, source.namespace), ip, port, 'standard');
  if (upstream.kind === 'none') return withoutUpstream(upstream, destination, trace);
  const { workload, service } = upstream;
  trace?.push({ rule: '2.3.2', text: `endpoint ${workload.namespace}/${workload.name}, port ${upstream.port}` });

  // 3. Other network.
  if (workload.network !== source.network) {
    trace?.push({ rule: '2.3.3', text: `it is in network "${workload.network}", the source in "${source.network}"` });
    return throughNetworkGateway(context, upstream, service, destination, 'direct');
  }
  if (upstream.reach.kind === 'gateway') return failure('no-routing-destination', workload.name);

  // 4 and 5. Workload waypoint, unless the source is that waypoint.
  if (workload.waypoint !== undefined && addressed?.kind !== 'service') {
    if (!isFromWaypoint(registry, source, workload, options.sourceIp)) {
      return throughWorkloadWaypoint(context, workload.waypoint, upstream, destination);
    }
    trace?.push({ rule: '2.3.4', text: 'the source is the waypoint of the destination' });
  }

  // 6. Direct.
  const withService = service === undefined ? {} : { destinationService: service };
  if (workload.tunnelProtocol === 'NONE') {
    const target = dialTarget(upstream.reach, upstream.port);
    trace?.push({ rule: '2.3.6', text: `plain TCP to ${targetText(target)}: the workload takes no tunnel` });
    return { kind: 'tcp', target, address: targetText(target), destinationWorkload: workload, ...withService };
  }
  const target = dialTarget(upstream.reach, HBONE_PORT);
  const authority = targetText({ ...target, port: upstream.port });
  trace?.push({ rule: '2.3.6', text: `HBONE to ${targetText(target)}, authority ${authority}` });
  return hbone('direct', target, authority, upstream, workload, service);
};

const hbone = (
  via: 'direct' | 'service-waypoint' | 'workload-waypoint',
  target: DialTarget,
  authority: string,
  peer: Upstream,
  destinationWorkload: Workload,
  destinationService: Service | undefined,
): Route => ({
  kind: 'hbone',
  via,
  target,
  address: targetText(target),
  authority,
  acceptedIdentities: expectedIdentities(peer),
  destinationWorkload,
  ...(destinationService === undefined ? {} : { destinationService }),
});

const describeAddressed = (found: ReturnType<MeshRegistry['findAddress']>): string => {
  if (found === undefined) return 'is unknown to the mesh';
  return found.kind === 'workload'
    ? `is the address of workload ${found.workload.namespace}/${found.workload.name}`
    : `is a VIP of service ${found.service.namespace}/${found.service.hostname}`;
};

/** The waypoint for one connection: by weight if there are weights, else the plain one. */
export const serviceWaypoint = (service: Service, random: Random): GatewayAddress | undefined => {
  let total = 0;
  for (const { weight } of service.weightedWaypoints) total += weight;
  if (total === 0) return service.waypoint;
  let point = random() * total;
  for (const { destination, weight } of service.weightedWaypoints) {
    point -= weight;
    if (point < 0) return destination;
  }
  return service.weightedWaypoints.findLast(({ weight }) => weight > 0)?.destination;
};

const withoutUpstream = (none: NoUpstream, { ip, port }: SocketDestination, trace: Trace | undefined): Route => {
  const address = formatHostPort(ip, port);
  switch (none.why) {
    case 'unknown':
    case 'passthrough':
      trace?.push({
        rule: '2.3.2',
        text: none.why === 'unknown' ? 'no service or workload: plain TCP' : 'PASSTHROUGH service: plain TCP to the original address',
      });
      return {
        kind: 'passthrough',
        target: { kind: 'ip', ip, port },
        address,
        ...(none.service === undefined ? {} : { destinationService: none.service }),
      };
    case 'no-endpoint':
      return failure('no-healthy-upstream', address);
    case 'no-port':
      return unresolvablePort(none.service?.hostname ?? ip, port);
    case 'unreachable':
      return failure('no-routing-destination', none.workload?.name ?? address);
  }
};

export const gatewayProblem = (gateway: GatewayAddress, { why }: NoUpstream): string => {
  const reasons = {
    unknown: '',
    passthrough: ' is a PASSTHROUGH service',
    'no-endpoint': ` has no healthy endpoint for port ${gateway.hboneMtlsPort}`,
    'no-port': ` has no target port for port ${gateway.hboneMtlsPort}`,
    unreachable: ' has no usable address',
  };
  return describeGateway(gateway) + reasons[why];
};

/** HBONE to a waypoint of the service; its failure is final, traffic never goes around a waypoint. */
const throughServiceWaypoint = (
  context: ResolutionContext,
  service: Service,
  gateway: GatewayAddress,
  destination: SocketDestination,
): Route => {
  const { source, trace } = context;
  const waypoint = resolveGateway(context, gateway, destination.ip, 'waypoint');
  trace?.push({
    rule: '2.3.1',
    text: `service waypoint ${describeGateway(gateway)}: ${waypoint.kind === 'none' ? waypoint.why : waypoint.workload.name}`,
  });
  if (waypoint.kind === 'none') return failure('unknown-waypoint', gatewayProblem(gateway, waypoint));
  if (waypoint.workload.network !== source.network)
    return throughNetworkGateway(context, waypoint, service, destination, 'service-waypoint');
  if (waypoint.reach.kind === 'gateway') return failure('no-routing-destination', waypoint.workload.name);
  const target = dialTarget(waypoint.reach, waypoint.port);
  return hbone('service-waypoint', target, formatHostPort(destination.ip, destination.port), waypoint, waypoint.workload, service);
};

const throughWorkloadWaypoint = (
  context: ResolutionContext,
  gateway: GatewayAddress,
  upstream: Upstream,
  destination: SocketDestination,
): Route => {
  const waypoint = resolveGateway(context, gateway, destination.ip, 'waypoint');
  context.trace?.push({
    rule: '2.3.5',
    text: `workload waypoint ${describeGateway(gateway)}: ${waypoint.kind === 'none' ? waypoint.why : waypoint.workload.name}`,
  });
  if (waypoint.kind === 'none') return failure('unknown-waypoint', gatewayProblem(gateway, waypoint));
  if (waypoint.reach.kind === 'gateway') return failure('no-routing-destination', waypoint.workload.name);
  const target = dialTarget(waypoint.reach, waypoint.port);
  return hbone(
    'workload-waypoint',
    target,
    formatHostPort(destination.ip, destination.port),
    waypoint,
    waypoint.workload,
    upstream.service,
  );
};

/**
 * Double HBONE (1.8) to `remote` (an endpoint, or a waypoint in another network). Both authorities name the addressed service; the inner
 * server must present a SAN of the remote's own service, nothing else is accepted.
 */
const throughNetworkGateway = (
  context: ResolutionContext,
  remote: Upstream,
  service: Service | undefined,
  destination: SocketDestination,
  via: 'direct' | 'service-waypoint',
): Route => {
  const { workload } = remote;
  if (service === undefined)
    return failure('no-routing-destination', `${workload.name}: another network is reached only through a service`);
  if (workload.networkGateway === undefined) {
    return failure('unknown-network-gateway', `workload ${workload.uid} of network "${workload.network}" has none`);
  }
  const gateway: Upstream | NoUpstream = resolveGateway(context, workload.networkGateway, destination.ip, 'standard');
  if (gateway.kind === 'none') return failure('unknown-network-gateway', gatewayProblem(workload.networkGateway, gateway));
  if (gateway.reach.kind === 'gateway')
    return failure('unknown-network-gateway', `${describeGateway(workload.networkGateway)} has no address`);
  const target = dialTarget(gateway.reach, gateway.port);
  const authority = `${service.hostname}:${destination.port}`;
  context.trace?.push({ rule: '1.8', text: `double HBONE through ${targetText(target)}, authority ${authority}` });
  return {
    kind: 'double-hbone',
    via,
    target,
    address: targetText(target),
    authority,
    acceptedIdentities: expectedIdentities(gateway),
    gatewayWorkload: gateway.workload,
    innerAuthority: authority,
    innerAcceptedIdentities: remote.service?.subjectAltNames ?? [],
    destinationWorkload: workload,
    destinationService: service,
  };
};

/** Step 4: the source has the identity and the address of a workload behind the destination's waypoint. */
export const isFromWaypoint = (registry: MeshRegistry, source: Workload, destination: Workload, sourceIp?: string): boolean => {
  if (destination.waypoint === undefined) return false;
  const identity = workloadIdentity(source);
  const from = sourceIp === undefined ? source.addresses : [sourceIp];
  return gatewayWorkloads(registry, destination.waypoint, source.namespace).some(
    (waypoint) => sameIdentity(workloadIdentity(waypoint), identity) && waypoint.addresses.some((ip) => from.includes(ip)),
  );
};
