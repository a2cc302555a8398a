/** What an outbound connection says of itself: to metrics and log, and to the peer that accepts it. */
import { type DoubleHboneRoute, type HboneRoute, type Route, type Workload, workloadSpiffeId } from '../../mesh/index.ts';
import { type Baggage, buildConnectRequest, encodeForwarded, type HeaderList } from '../../protocol/index.ts';
import { baggageHeader } from '../core/workload-baggage.ts';
import type { ConnectionFacts } from './connection-record.ts';

export type UsableRoute = Exclude<Route, { kind: 'failure' }>;

/** Who answered behind a gateway. */
export interface RemotePeer {
  readonly identity: string;
  readonly baggage: Baggage | undefined;
}

/** Addresses are `ip:port`, as the application has them. */
export function outboundFacts(
  route: UsableRoute,
  source: Workload,
  sourceAddress: string,
  originalDestination: string,
  isMutualTls: boolean,
  remote: RemotePeer | undefined,
): ConnectionFacts {
  const destination =
    route.kind === 'passthrough' ? undefined : route.kind === 'double-hbone' ? route.gatewayWorkload : route.destinationWorkload;
  const isTunnelled = route.kind === 'hbone' || route.kind === 'double-hbone';
  return {
    direction: 'outbound',
    sourceAddress,
    source,
    sourceIdentity: isMutualTls ? workloadSpiffeId(source) : undefined,
    destinationAddress: route.address,
    hboneAddress: isTunnelled ? route.authority : undefined,
    destination,
    destinationBaggage: remote?.baggage,
    destinationIdentity: remote?.identity ?? (isMutualTls && destination ? workloadSpiffeId(destination) : undefined),
    service: route.destinationService,
    isMutualTls,
    protocol: route.kind === 'hbone' ? 'HBONE' : route.kind === 'double-hbone' ? 'DOUBLEHBONE' : 'TCP',
    originalDestination,
  };
}

/** The head of its CONNECT. `network`: the one it comes from, where the peer is in another. */
export function connectHeaders(
  source: Workload,
  sourceIp: string,
  sourcePort: number,
  route: HboneRoute | DoubleHboneRoute,
  traceparent = newTraceparent(),
  network?: string,
): HeaderList {
  return buildConnectRequest({
    authority: route.authority,
    baggage: baggageHeader(source),
    forwarded: encodeForwarded(sourceIp, sourcePort, route.destinationService?.hostname),
    traceparent,
    ...(network !== undefined && { network }),
  });
}

/** Random octets of a trace and a span, drawn for many connections at once. */
const RANDOM_OCTETS = 24;
const randomPool = Buffer.allocUnsafeSlow(RANDOM_OCTETS * 128);
let randomAt = randomPool.length;

export function newTraceparent(): string {
  if (randomAt === randomPool.length) {
    crypto.getRandomValues(randomPool);
    randomAt = 0;
  }
  const hex = randomPool.toString('hex', randomAt, randomAt + RANDOM_OCTETS);
  randomAt += RANDOM_OCTETS;
  return `00-${hex.slice(0, 32)}-${hex.slice(32)}-00`;
}
