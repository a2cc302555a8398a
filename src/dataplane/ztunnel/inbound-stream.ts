/** One CONNECT on an inbound tunnel: checks in the order of the ambient contract (1.4, 2.6), the connection to the application, and its life. */
import {
  type Connection,
  type FailureReason,
  formatHostPort,
  HBONE_PORT,
  type Identity,
  type InboundRoute,
  inboundService,
  type NetworkDecision,
  rejectionMessage,
  resolveInbound,
  type Service,
  type Workload,
  workloadSpiffeId,
} from '../../mesh/index.ts';
import { Dial, type DialEvents, type DialFailure, type TcpSocket } from '../../platform/net/index.ts';
import {
  buildConnectResponse,
  type ConnectRequest,
  ErrorCode,
  encodeProxyHeader,
  type HeaderList,
  parseConnectRequest,
} from '../../protocol/index.ts';
import { type ConnectionEnd, type EndReason, endOf } from '../core/end-reason.ts';
import type { StreamHost } from '../core/tunnel.ts';
import { TunnelBridge } from '../core/tunnel-bridge.ts';
import { baggageHeader } from '../core/workload-baggage.ts';
import { type ConnectionRecord, logEarlyDeny } from './connection-record.ts';
import { type GuardedConnection, networkEnd } from './network-guard.ts';
import type { PodProxy } from './pod-proxy.ts';
import type { EnforcedConnection } from './policy-guard.ts';

/** What a stream comes on, and who sent it. */
export interface InboundHost extends StreamHost {
  readonly pod: PodProxy;
  /** As the client's certificate says. */
  readonly identity: Identity;
  readonly identityUri: string;
  readonly sourceIp: string;
  /** `ip:port`. */
  readonly source: string;
  readonly destinationIp: string;
  /** Both pods are served by this process, and the bytes pass by the tunnel. */
  readonly isJoined: boolean;
  /** Answers a stream that was never accepted. */
  refuse(streamId: number, status: number): void;
}

export class InboundStream implements EnforcedConnection, GuardedConnection, DialEvents {
  readonly #tunnel: InboundHost;
  readonly #streamId: number;
  #bridge: TunnelBridge | undefined;
  #record: ConnectionRecord | undefined;
  #dial: Dial | undefined;
  #isAnswered = false;
  #local: Workload | undefined;
  #proxyHeader: Uint8Array | undefined;
  connection!: Connection;

  constructor(tunnel: InboundHost, streamId: number) {
    this.#tunnel = tunnel;
    this.#streamId = streamId;
  }

  start(headers: HeaderList, endStream: boolean): void {
    const request = parseConnectRequest(headers);
    if (!request.ok) {
      this.#refuse(request.error.rule, request.error.status, request.error.reason);
      return;
    }
    const { pod, destinationIp } = this.#tunnel;
    const local = pod.workload;
    if (local === undefined) {
      this.#refuse('unknown-source', 503, endOf('unknown-source', pod.describe()).message);
      return;
    }
    const { refusal } = pod.sockets;
    if (refusal !== undefined) {
      this.#refuse(refusal.reason, 503, refusal.message);
      return;
    }
    const { authority } = request.value;
    const host = authority.kind === 'ip' ? authority.address : authority.hostname;
    const route = resolveInbound(pod.context.registry, local, destinationIp, { host, port: authority.port });
    if (route.kind === 'failure') {
      this.#refuse(route.reason, route.status, route.message);
      return;
    }
    this.#accept(local, request.value, route, formatHostPort(host, authority.port), endStream);
  }

  #accept(local: Workload, request: ConnectRequest, route: InboundRoute, authority: string, endStream: boolean): void {
    const tunnel = this.#tunnel;
    const { pod } = tunnel;
    this.#local = local;
    const { registry, config } = pod.context;
    // Through another network's gateway the address is the gateway's: who the client is, only its certificate and its own words tell.
    const isLocal = request.network === undefined || request.network.toLowerCase() === config.network.toLowerCase();
    const source = isLocal ? registry.workloadByAddress(config.network, tunnel.sourceIp) : undefined;
    const service: Service | undefined = route.service ?? inboundService(registry, local, route.port, request.forwardedHost);
    this.connection = { sourceIp: tunnel.sourceIp, destinationIp: route.ip, destinationPort: route.port, identity: tunnel.identity };
    const record = pod.open({
      direction: 'inbound',
      sourceAddress: tunnel.source,
      source,
      sourceBaggage: config.responseBaggage ? request.baggage : undefined,
      sourceIdentity: tunnel.identityUri,
      destinationAddress: formatHostPort(tunnel.destinationIp, HBONE_PORT),
      hboneAddress: authority,
      destination: local,
      destinationIdentity: workloadSpiffeId(local),
      service,
      isMutualTls: true,
      protocol: 'HBONE',
      originalDestination: formatHostPort(route.ip, route.port),
    });
    record.isJoined = tunnel.isJoined;
    this.#record = record;
    const decision = pod.policies.decide(local, this.connection);
    if (!decision.allowed) {
      tunnel.refuse(this.#streamId, 401);
      record.end({ ...endOf('policy-rejection'), message: rejectionMessage(decision) });
      return;
    }
    const network = pod.network.admit(local, this.connection);
    const mayWait = !network.allowed && !pod.network.isKnown(tunnel.sourceIp);
    if (!network.allowed && !mayWait) {
      tunnel.refuse(this.#streamId, 401);
      record.end(networkEnd('network-policy', network));
      return;
    }
    this.#bridge = new TunnelBridge(tunnel, this.#streamId, record.counts, false, (end) => this.#ended(end));
    pod.policies.enforce(this);
    pod.sockets.opened();
    if (endStream) this.#bridge.onTunnelData(new Uint8Array(0), true);
    const connect = (): void => {
      if (this.#record === undefined) return;
      pod.network.watch(this);
      this.#connect(route, authority);
    };
    if (!mayWait) {
      connect();
      return;
    }
    // The client is in the mesh, or it had no certificate: who it is will be known in a moment.
    const decide = (): void => {
      if (this.#record === undefined) return;
      const decision = this.decideNetwork();
      if (decision.allowed) connect();
      else this.close(networkEnd('network-policy', decision));
    };
    if (!pod.network.whenKnown(tunnel.sourceIp, decide)) decide();
  }

  get peerIp(): string {
    return this.#tunnel.sourceIp;
  }

  networkRefused(decision: NetworkDecision): void {
    this.close(networkEnd('network-policy-change', decision));
  }

  decideNetwork(): NetworkDecision {
    const { pod } = this.#tunnel;
    return pod.network.admit(pod.workload ?? this.#local!, this.connection);
  }

  #connect(route: InboundRoute, authority: string): void {
    const { pod, sourceIp, source, identityUri } = this.#tunnel;
    const { config } = pod.context;
    const throughTunnel = route.applicationTunnel !== undefined;
    let address = route.ip;
    if (throughTunnel && config.localhostAppTunnel) address = route.ip.includes(':') ? '::1' : '127.0.0.1';
    if (route.applicationTunnel === 'PROXY') {
      const asked = splitHostPort(authority);
      this.#proxyHeader = encodeProxyHeader({
        source: splitHostPort(source),
        destination: asked.address.match(/^[0-9.]+$|:/)
          ? asked
          : { address: serviceVip(route, config.network) ?? route.ip, port: asked.port },
        identity: identityUri,
      });
    }
    // The application sees its client's address, except where that would be its own, or another address family.
    const sameFamily = sourceIp.includes(':') === address.includes(':');
    const spoof = config.originalSource !== false && address === route.ip && sourceIp !== route.ip && sameFamily;
    this.#dial = new Dial(
      {
        ...pod.localDialOptions,
        address,
        port: route.port,
        source: spoof ? sourceIp : undefined,
        sourceRequired: config.originalSource === true,
      },
      this,
    );
  }

  // The application's connection.

  onConnected(socket: TcpSocket): void {
    const bridge = this.#bridge!;
    if (this.#record === undefined) {
      socket.terminate();
      return;
    }
    this.#isAnswered = true;
    const { pod, http2 } = this.#tunnel;
    const baggage = pod.context.config.responseBaggage ? baggageHeader(this.#local!) : '';
    http2.sendHeaders(this.#streamId, buildConnectResponse(baggage), false);
    if (this.#proxyHeader !== undefined) socket.write(this.#proxyHeader);
    bridge.attachSocket(socket);
  }

  onDialFailed(failure: DialFailure): void {
    const end = endOf(failure.code === 'ETIMEDOUT' ? 'connect-timeout' : 'connect-failed', failure.message);
    this.close(end);
  }

  onData(): void {}
  onEnd(): void {}
  onDrain(): void {}
  onClose(): void {}

  /** Ends the stream, with a status while there is none yet. */
  close(end: ConnectionEnd): void {
    if (this.#record === undefined) return;
    if (!this.#isAnswered) this.#tunnel.http2.sendHeaders(this.#streamId, [[':status', String(end.status)]], true);
    this.#bridge?.abort(end, this.#isAnswered ? ErrorCode.CANCEL : ErrorCode.NO_ERROR);
  }

  #ended(end: ConnectionEnd): void {
    const record = this.#record;
    this.#record = undefined;
    this.#tunnel.pod.sockets.closed();
    if (!this.#isAnswered) this.#dial?.cancel();
    this.#tunnel.pod.policies.release(this);
    this.#tunnel.pod.network.release(this);
    record?.end(end);
  }

  #refuse(reason: EndReason | FailureReason, status: number, message: string): void {
    this.#tunnel.refuse(this.#streamId, status);
    this.#tunnel.pod.refused('inbound', reason);
    const { source, destinationIp, pod } = this.#tunnel;
    logEarlyDeny(pod.context.access, 'inbound', source, formatHostPort(destinationIp, HBONE_PORT), message);
  }
}

const splitHostPort = (text: string): { address: string; port: number } => {
  const colon = text.lastIndexOf(':');
  return { address: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
};

/** The address a PROXY header names for a host name: a VIP of its service, of this network and IPv4 where there is a choice. */
const serviceVip = (route: InboundRoute, network: string): string | undefined => {
  const vips = route.service?.vips ?? [];
  const near = vips.filter((vip) => vip.network === network);
  return (near.find((vip) => !vip.address.includes(':')) ?? near[0] ?? vips[0])?.address;
};
