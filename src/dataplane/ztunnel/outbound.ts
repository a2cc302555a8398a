/** A connection an application of a pod opens: where it goes, over which tunnel or plainly, and its life. */
import {
  type DoubleHboneRoute,
  decideRoute,
  formatHostPort,
  type HboneRoute,
  ILLEGAL_PORTS,
  NETWORK_ALLOWED,
  type NetworkDecision,
  type Route,
  resolveOutbound,
  type Workload,
  withResolvedIp,
  workloadSpiffeId,
} from '../../mesh/index.ts';
import { Dial, type DialFailure, type SocketEvents, type TcpSocket } from '../../platform/net/index.ts';
import { type HeaderList, responseBaggage } from '../../protocol/index.ts';
import { ClientBridge } from '../core/client-bridge.ts';
import { type ConnectionEnd, endOf } from '../core/end-reason.ts';
import type { ClientTunnel } from '../core/hbone-client.ts';
import type { PoolUser } from '../core/hbone-pool.ts';
import { resetEnd } from '../core/tunnel.ts';
import { type ConnectionRecord, logEarlyDeny } from './connection-record.ts';
import type { GatewayPath, GatewayUser } from './gateway-path.ts';
import { type GuardedConnection, networkEnd } from './network-guard.ts';
import { connectHeaders, newTraceparent, outboundFacts, type RemotePeer, type UsableRoute } from './outbound-facts.ts';
import { PlainDial, type PlainDialer } from './plain-dial.ts';
import type { PodProxy } from './pod-proxy.ts';
import { JOINED_STREAM, type Join } from './same-node.ts';
import { TcpRelay } from './tcp-relay.ts';

/** Replicas of a waypoint that a connection is offered to. */
const WAYPOINT_TRIES = 3;
/** Ends of a tunnel that never was: nothing of the application's has been sent. */
const UNREACHED: ReadonlySet<ConnectionEnd['reason']> = new Set(['connect-failed', 'hbone-timeout', 'tls-failure', 'http2-handshake']);

export class OutboundConnection implements SocketEvents, PoolUser, PlainDialer, GatewayUser, GuardedConnection {
  readonly #pod: PodProxy;
  readonly #socket: TcpSocket;
  readonly #source: string;
  readonly #sourceIp: string;
  readonly #sourcePort: number;
  readonly #ip: string;
  readonly #port: number;
  /** Replicas of the waypoint that were not reached. */
  #unreached: Set<string> | undefined;
  #record: ConnectionRecord | undefined;
  #route: HboneRoute | undefined;
  /** What egress rules are asked about. */
  #taken: UsableRoute | undefined;
  #workload: Workload | undefined;
  #joined: { abort(end: ConnectionEnd): void } | undefined;
  #dial: Dial | undefined;
  #gatewayRoute: DoubleHboneRoute | undefined;
  #gateway: GatewayPath | undefined;
  #isPaused = false;
  #over = false;

  constructor(pod: PodProxy, socket: TcpSocket, sourceIp: string, sourcePort: number, ip: string, port: number) {
    this.#pod = pod;
    this.#socket = socket;
    this.#sourceIp = sourceIp;
    this.#sourcePort = sourcePort;
    this.#source = formatHostPort(sourceIp, sourcePort);
    this.#ip = ip;
    this.#port = port;
  }

  /** Decides where the connection goes. */
  start(): void {
    const workload = this.#pod.workload;
    if (workload !== undefined) {
      this.#resolve(workload);
      return;
    }
    this.#hold();
    this.#pod.whenKnown((known) => {
      if (this.#over) return;
      if (known !== undefined) this.#resolve(known);
      else this.#deny(endOf('unknown-source', this.#pod.describe()));
    });
  }

  /** Ends the connection for a reason of the proxy. */
  abort(end: ConnectionEnd): void {
    if (this.#over) return;
    if (this.#joined !== undefined) this.#joined.abort(end);
    else this.#fail(end);
  }

  #resolve(source: Workload): void {
    this.#workload = source;
    const route = this.#routeOf(source);
    if (route.kind === 'failure') {
      this.#deny({ reason: 'unresolved', flag: 'CONNECT', message: route.message, status: route.status });
      return;
    }
    if (route.target.kind === 'ip') {
      this.#go(route, source);
      return;
    }
    this.#hold();
    const { hostname, preferFamily } = route.target;
    this.#pod.context.hostNames.resolve(source, hostname, preferFamily, (resolution) => {
      if (this.#over) return;
      if (resolution.ok) this.#go(withResolvedIp(route, resolution.address), source);
      else this.#deny(endOf('name-not-resolved', `${hostname}: ${resolution.error}`));
    });
  }

  #routeOf(source: Workload): Route {
    const { registry, random, config } = this.#pod.context;
    return resolveOutbound(registry, source, { ip: this.#ip, port: this.#port }, random, {
      network: config.network,
      sourceIp: this.#sourceIp,
      illegalPorts: ILLEGAL_PORTS,
      ...(this.#unreached !== undefined && { without: this.#unreached }),
    });
  }

  #go(route: UsableRoute, source: Workload): void {
    if (!this.#isAllowed(route, source)) return;
    if (route.kind === 'hbone') this.#throughTunnel(route, source);
    else if (route.kind === 'double-hbone') this.#throughGateway(route, source);
    else this.#plainly(route, source);
  }

  /** Asks the source's egress rules; what they refuse is over. */
  #isAllowed(route: UsableRoute, source: Workload): boolean {
    const { network } = this.#pod;
    this.#taken = route;
    const decision = this.decideNetwork();
    if (decision.allowed) {
      network.watch(this);
      return true;
    }
    this.#record = this.#open(route, source, false);
    this.#fail(networkEnd('network-policy', decision));
    return false;
  }

  get peerIp(): string {
    return this.#taken?.target.kind === 'ip' ? this.#taken.target.ip : this.#ip;
  }

  networkRefused(decision: NetworkDecision): void {
    this.abort(networkEnd('network-policy-change', decision));
  }

  decideNetwork(): NetworkDecision {
    const source = this.#pod.workload ?? this.#workload;
    if (source === undefined || this.#taken === undefined) return NETWORK_ALLOWED;
    return decideRoute(this.#pod.context.registry, this.#taken, source, this.#sourceIp);
  }

  #open(route: UsableRoute, source: Workload, isMutualTls: boolean, remote?: RemotePeer): ConnectionRecord {
    const asked = formatHostPort(this.#ip, this.#port);
    return this.#pod.open(outboundFacts(route, source, this.#source, asked, isMutualTls, remote));
  }

  #throughTunnel(route: HboneRoute, source: Workload): void {
    this.#record = this.#open(route, source, true);
    this.#route = route;
    this.#acquire(route, source);
  }

  #acquire(route: HboneRoute, source: Workload): void {
    const { ip, port } = route.target as { ip: string; port: number };
    // Without a tunnel at hand the application must wait; with one, `onTunnel` comes before this returns.
    this.#pod.pool.acquire(
      {
        sourceIdentity: workloadSpiffeId(source),
        sourceIp: this.#sourceIp,
        ip,
        port,
        acceptedIdentities: route.acceptedIdentities,
        workload: route.destinationWorkload.uid,
      },
      this,
    );
    if (this.#joined === undefined && !this.#over) this.#hold();
  }

  onTunnel(tunnel: ClientTunnel): void {
    if (this.#over) return;
    const { sameNode, config } = this.#pod.context;
    if (sameNode === undefined) {
      this.#openStream(tunnel);
      return;
    }
    const { via, destinationWorkload } = this.#route!;
    const isNear = via === 'direct' && destinationWorkload.node === config.nodeName;
    let isAtOnce = true;
    sameNode.find(tunnel, isNear, (server, isLost) => {
      if (this.#over) return;
      // What a stream of it would have met.
      if (isLost) this.#fail(resetEnd(tunnel, -1, true));
      else if (server !== undefined) this.#join(sameNode.join(tunnel, server));
      else if (isAtOnce) this.#openStream(tunnel);
      // Others were waiting for the same, and the tunnel has not room for all.
      else this.#acquire(this.#route!, this.#workload!);
    });
    isAtOnce = false;
    if (this.#joined === undefined) this.#hold();
  }

  /** Past the tunnel, which stays for its proof. */
  #join(join: Join): void {
    const record = this.#record!;
    record.isJoined = true;
    const bridge = new ClientBridge(join, JOINED_STREAM, record.counts, true, (end) => this.#end(end));
    this.#joined = bridge;
    bridge.attachSocket(this.#socket);
    join.connect(this.#connectHeaders(this.#route!));
    if (this.#isPaused && !this.#over) this.#socket.resume();
  }

  #openStream(tunnel: ClientTunnel): void {
    const route = this.#route!;
    const streamId = tunnel.http2.request(this.#connectHeaders(route), false);
    if (streamId === undefined) {
      this.#fail(endOf('pool-exhausted'));
      return;
    }
    const record = this.#record!;
    const bridge = new ClientBridge(tunnel, streamId, record.counts, true, (end) => this.#end(end));
    this.#joined = bridge;
    bridge.attachSocket(this.#socket);
    if (this.#isPaused) this.#socket.resume();
  }

  onNoTunnel(end: ConnectionEnd): void {
    if (!this.#over && !this.#triesOther(end)) this.#fail(end);
  }

  /** A waypoint's replica that died is known to be gone a moment later than its clients notice; the others do the same. */
  #triesOther(end: ConnectionEnd): boolean {
    const route = this.#route!;
    if (route.via === 'direct' || !UNREACHED.has(end.reason)) return false;
    this.#unreached ??= new Set();
    this.#unreached.add(route.destinationWorkload.uid);
    if (this.#unreached.size === WAYPOINT_TRIES) return false;
    const source = this.#workload!;
    const other = this.#routeOf(source);
    if (other.kind !== 'hbone' || other.target.kind !== 'ip') return false;
    this.#record!.end(end);
    if (this.#isAllowed(other, source)) this.#throughTunnel(other, source);
    return true;
  }

  #connectHeaders(route: HboneRoute | DoubleHboneRoute, traceparent?: string, network?: string): HeaderList {
    return connectHeaders(this.#workload!, this.#sourceIp, this.#sourcePort, route, traceparent, network);
  }

  /** The connection waits for the peer behind the gateway: whom it reached, and so what is counted, only that one's answer tells. */
  #throughGateway(route: DoubleHboneRoute, source: Workload): void {
    this.#gatewayRoute = route;
    this.#hold();
    import('./gateway-path.ts').then(({ GatewayPath }) => {
      if (this.#over) return;
      const traceparent = newTraceparent();
      const request = {
        route,
        source,
        sourceIp: this.#sourceIp,
        outerHeaders: this.#connectHeaders(route, traceparent),
        innerHeaders: this.#connectHeaders(route, traceparent, this.#pod.context.config.network),
      };
      // Its descriptors count against what this process can hold.
      this.#pod.sockets.opened();
      this.#gateway = new GatewayPath(this.#pod.gatewayServices(), request, this);
      this.#gateway.start();
    });
  }

  /** The peer behind the gateway has accepted the connection. */
  gatewayReached(tunnel: ClientTunnel, streamId: number, headers: HeaderList, endStream: boolean): void {
    const remote = { identity: tunnel.peerIdentity, baggage: responseBaggage(headers) };
    this.#record = this.#open(this.#gatewayRoute!, this.#workload!, true, remote);
    const bridge = new ClientBridge(tunnel, streamId, this.#record.counts, true, (end) => this.#end(end));
    this.#joined = bridge;
    bridge.onTunnelHeaders(headers, endStream);
    bridge.attachSocket(this.#socket);
    this.#socket.resume();
  }

  gatewayFailed(end: ConnectionEnd): void {
    if (this.#over) return;
    this.#record = this.#open(this.#gatewayRoute!, this.#workload!, true);
    this.#fail(end);
  }

  #plainly(route: UsableRoute, source: Workload): void {
    this.#record = this.#open(route, source, false);
    this.#hold();
    const { ip, port } = route.target as { ip: string; port: number };
    this.#dial = new Dial({ ...this.#pod.dialOptions(), address: ip, port }, new PlainDial(this));
  }

  /** The plain connection to the destination is up. */
  plainConnected(upstream: TcpSocket): void {
    if (this.#over) {
      upstream.terminate();
      return;
    }
    this.#joined = new TcpRelay(this.#socket, upstream, this.#record!.counts, (end) => this.#end(end));
    this.#socket.resume();
  }

  plainFailed(failure: DialFailure): void {
    if (!this.#over) this.#fail(endOf(failure.code === 'ETIMEDOUT' ? 'connect-timeout' : 'connect-failed', failure.message));
  }

  // Events of the application's socket until a bridge or relay takes them over.

  // The socket is paused unless one has: nothing comes but its end by force.

  onData(): void {}

  onEnd(): void {}

  onDrain(): void {}

  onClose(): void {
    if (this.#over) return;
    this.#pod.pool.abandon(this);
    this.#dial?.cancel();
    if (this.#gatewayRoute !== undefined) this.#record ??= this.#open(this.#gatewayRoute, this.#workload!, true);
    this.#end(endOf('io', 'the application closed the connection before it was established'));
  }

  #hold(): void {
    if (this.#isPaused || this.#over) return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  /** Before there is a record: only a log line. */
  #deny(end: ConnectionEnd): void {
    this.#over = true;
    this.#pod.network.release(this);
    logEarlyDeny(this.#pod.context.access, 'outbound', this.#source, formatHostPort(this.#ip, this.#port), end.message);
    this.#socket.terminate();
    this.#pod.outboundEnded(this);
  }

  #fail(end: ConnectionEnd): void {
    this.#dial?.cancel();
    // Terminating calls `onClose` at once, which must find the connection over.
    this.#end(end);
    this.#socket.terminate();
  }

  #end(end: ConnectionEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#pod.network.release(this);
    if (this.#gateway !== undefined) {
      this.#gateway.close();
      this.#pod.sockets.closed();
    }
    this.#record?.end(end);
    this.#pod.outboundEnded(this);
  }
}
