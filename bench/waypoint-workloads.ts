/** What the waypoint's measurement sends, by family: the workloads of a family run on the same arms, started together. */
import type { Workload } from './arm.ts';
import { directArm, envoyArm, type MakeArm, type Speaks } from './arms.ts';
import { type CallShape, grpcClient, httpClient, type StreamShape, sseClient } from './clients.ts';
import { istioEnvoyArm, lateenEnvoyArm, lateenWaypointArm, routesArm } from './waypoint-arms.ts';
import { type Kind, ROUTE_COUNTS, routesArmName } from './waypoint-result.ts';

export interface WaypointWorkload extends Workload {
  /** What `--workload` takes. */
  readonly id: string;
  readonly kind: Kind;
  /** Events of a stream, messages of a call, calls of a chain. */
  readonly parts?: number;
}

export interface Family {
  readonly workloads: readonly WaypointWorkload[];
  readonly arms: readonly (readonly [string, MakeArm])[];
}

const CHAIN_CALLS = 20;
const STREAM: StreamShape = { streams: 32, events: 50, bytes: 200, every: 20_000 };
const UNARY: CallShape = { connections: 16, calls: 4, messages: 1, bytes: 1024, asked: 1024 };
const STREAMING: CallShape = { connections: 8, calls: 4, messages: 50, bytes: 200, asked: 64 };

const http = (id: string, kind: Kind, connections: number, rate: number): WaypointWorkload => ({
  id,
  kind,
  name: `${rate === 0 ? 'closed loop' : `${rate} rps open loop`}, ${connections} connections`,
  connections,
  rate,
  fresh: false,
});

const HTTP: readonly WaypointWorkload[] = [
  http('closed', 'peak', 64, 0),
  http('rate-250', 'rate', 64, 250),
  http('rate-500', 'rate', 64, 500),
  http('rate-1000', 'rate', 64, 1000),
  http('rate-500-4', 'rate', 4, 500),
  {
    id: 'chain',
    kind: 'chain',
    name: `chains of ${CHAIN_CALLS} calls, one after the other`,
    connections: 1,
    rate: 0,
    fresh: false,
    client: httpClient({ connections: 1, rate: 0, fresh: false, calls: CHAIN_CALLS }),
    parts: CHAIN_CALLS,
  },
  {
    id: 'sse',
    kind: 'sse',
    name: `${STREAM.streams} event streams at once, ${STREAM.events} events of ${STREAM.bytes} octets, one each ${STREAM.every / 1000} ms`,
    connections: STREAM.streams,
    rate: 0,
    fresh: false,
    client: sseClient(STREAM),
    parts: STREAM.events,
  },
];

const GRPC: readonly WaypointWorkload[] = [
  {
    id: 'grpc-unary',
    kind: 'grpc',
    name: `gRPC unary, ${UNARY.bytes} octets each way, ${UNARY.connections} connections with ${UNARY.calls} calls each`,
    connections: UNARY.connections,
    rate: 0,
    fresh: false,
    client: grpcClient(UNARY),
    parts: 1,
  },
  {
    id: 'grpc-stream',
    kind: 'grpc',
    name: `gRPC server streaming, ${STREAMING.messages} messages of ${STREAMING.bytes} octets, ${STREAMING.connections} connections with ${STREAMING.calls} calls each`,
    connections: STREAMING.connections,
    rate: 0,
    fresh: false,
    client: grpcClient(STREAMING),
    parts: STREAMING.messages,
  },
];

const armsThatSpeak = (speaks: Speaks): Family['arms'] => [
  ['direct', directArm(speaks)],
  ['lateen', lateenWaypointArm(speaks)],
  ...(istioEnvoyArm ? [['ztunnel+envoy', istioEnvoyArm(speaks)] as const] : []),
  ['lateen+envoy', lateenEnvoyArm(speaks)],
  ['envoy-http', envoyArm('http', speaks)],
];

export const FAMILIES: readonly Family[] = [
  { workloads: HTTP, arms: armsThatSpeak('http1') },
  { workloads: GRPC, arms: armsThatSpeak('grpc') },
  {
    workloads: [http('routes', 'routes', 64, 0)],
    arms: ROUTE_COUNTS.flatMap((routes) =>
      (['lateen', 'envoy'] as const).map((waypoint) => [routesArmName(waypoint, routes), routesArm(waypoint, routes)] as const),
    ),
  },
];
