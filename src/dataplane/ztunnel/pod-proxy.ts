/** The part of the proxy that serves one pod: its listeners inside the pod's network namespace, its tunnels and its open connections. */
import {
  type Authorization,
  authorize,
  type Connection,
  DEFAULT_TRUST_DOMAIN,
  type Decision,
  type FailureReason,
  formatHostPort,
  formatIdentity,
  type Identity,
  ILLEGAL_PORTS,
  POLICY_CHANGE_MESSAGE,
  policiesFor,
  policyKey,
  type RegistryChange,
  type Workload,
  workloadIdentity,
} from '../../mesh/index.ts';
import { originalDestination, peerEndpoint, type SocketEndpoint, type TcpOptions } from '../../platform/linux/index.ts';
import { type DialOptions, plainAddress, type SocketEvents, TcpListener, type TcpSocket } from '../../platform/net/index.ts';
import { CLIENT_SETTINGS, type Http2CloseReason, type Http2Settings, SERVER_SETTINGS } from '../../protocol/index.ts';
import type { WorkloadCertificate } from '../core/certificate.ts';
import { type ConnectionEnd, type EndReason, endOf } from '../core/end-reason.ts';
import { ClientTunnel } from '../core/hbone-client.ts';
import { HbonePool, type PoolDestination } from '../core/hbone-pool.ts';
import { type HandshakeHost, ServerHandshake } from '../core/server-handshake.ts';
import type { SocketSide } from '../core/traffic-metrics.ts';
import type { WorkloadInfo } from './config.ts';
import { type ConnectionFacts, ConnectionRecord, ConnectionTable, logEarlyDeny } from './connection-record.ts';
import type { ProxyContext } from './context.ts';
import type { PodDns } from './dns/index.ts';
import type { GatewayServices } from './gateway-path.ts';
import { InboundPlain } from './inbound-plain.ts';
import { InboundTunnel } from './inbound-tunnel.ts';
import { NetworkGuard } from './network-guard.ts';
import { OutboundConnection } from './outbound.ts';

export const OUTBOUND_PORT = 15_001;
export const INBOUND_PLAIN_PORT = 15_006;
export const INBOUND_HBONE_PORT = 15_008;

/** To connect to an application or another proxy. */
const CONNECT_TIMEOUT_MS = 10_000;
/** How long a new pod's connections wait for the control plane to know it. */
const WORKLOAD_WAIT_MS = 5000;

/** An accepted inbound connection that policies keep applying to. */
export interface EnforcedConnection {
  readonly connection: Connection;
  close(end: ConnectionEnd): void;
}

export class PodProxy implements HandshakeHost {
  readonly context: ProxyContext;
  readonly info: WorkloadInfo;
  readonly pool: HbonePool;
  readonly serverSettings: Http2Settings;
  readonly inbound = new ConnectionTable();
  readonly outbound = new ConnectionTable();
  readonly network: NetworkGuard;
  readonly #clientSettings: Http2Settings;
  readonly #networkNamespace: number | undefined;
  readonly #listeners: TcpListener[] = [];
  readonly #outboundConnections = new Set<OutboundConnection>();
  readonly #tunnels = new Set<InboundTunnel>();
  readonly #enforced = new Set<EnforcedConnection>();
  #hbone: TcpListener | undefined;
  #dns: PodDns | undefined;
  #unwatch: (() => void) | undefined;
  #identity = '';
  #knownAt = -1;
  #workload: Workload | undefined;
  #policiesAt = -1;
  #policies: readonly Authorization[] = [];
  #closed = false;
  readonly #dialOptions: Omit<DialOptions, 'address' | 'port'>;
  /** For connections within the pod: a peer of the same kernel does not vanish unnoticed, so they need no keepalive. */
  readonly localDialOptions: Omit<DialOptions, 'address' | 'port'>;

  /** `networkNamespace` undefined: the process's own. Does not take over the descriptor. */
  constructor(context: ProxyContext, info: WorkloadInfo, networkNamespace: number | undefined) {
    this.context = context;
    this.info = info;
    this.#networkNamespace = networkNamespace;
    const { streamWindow, connectionWindow, frameSize: maxFrameSize, poolMaxStreams, poolRelease } = context.config;
    const windows = { streamWindow, connectionWindow, maxFrameSize };
    this.serverSettings = { ...SERVER_SETTINGS, ...windows };
    this.#clientSettings = { ...CLIENT_SETTINGS, ...windows, assumedMaxConcurrentStreams: poolMaxStreams };
    this.#dialOptions = { ...this.#socketOptions(), networkNamespace, timeout: CONNECT_TIMEOUT_MS };
    this.network = new NetworkGuard(context.registry, context.config.network);
    this.localDialOptions = { ...this.#dialOptions, keepalive: undefined };
    this.pool = new HbonePool({
      maxStreams: poolMaxStreams,
      releaseAfter: poolRelease,
      dial: (to, pool) => this.#dialTunnel(to, pool),
      closed: (to, reason, detail) => this.#outboundTunnelClosed(to, reason, detail),
    });
  }

  /** Opens the listeners. Throws a `SystemError` when the namespace is gone or a port is taken, and then holds nothing. */
  start(): void {
    try {
      this.#listen(OUTBOUND_PORT, (socket) => this.#acceptOutbound(socket)).serve();
      this.#listen(INBOUND_PLAIN_PORT, (socket) => this.#acceptPlain(socket)).serve();
      this.#hbone = this.#listen(INBOUND_HBONE_PORT, (socket) => this.#acceptTunnel(socket));
      this.#dns = this.context.dns?.open(this, this.#networkNamespace);
      this.registryChanged();
    } catch (error) {
      this.#stopListening();
      this.pool.close(endOf('pod-removed'));
      throw error;
    }
  }

  /** Opens the listener for tunnels only, for a workload nothing is redirected to. Throws as {@link start} does. */
  startTunnels(): void {
    try {
      this.#hbone = this.#listen(INBOUND_HBONE_PORT, (socket) => this.#acceptTunnel(socket));
      this.registryChanged();
    } catch (error) {
      this.#stopListening();
      throw error;
    }
  }

  /** The pod as the mesh knows it; undefined while the control plane does not. */
  get workload(): Workload | undefined {
    const { registry, config } = this.context;
    if (this.#knownAt !== registry.version) {
      this.#knownAt = registry.version;
      this.#workload = registry.workloadByInfo(this.info.name, this.info.namespace, this.info.serviceAccount, config.clusterId);
    }
    return this.#workload;
  }

  get trustDomain(): string {
    return this.workload?.trustDomain || this.context.config.trustDomain || DEFAULT_TRUST_DOMAIN;
  }

  describe(): string {
    return `${this.info.namespace}/${this.info.name} with service account ${this.info.serviceAccount} is not known`;
  }

  /** Calls back when the pod is known, or with undefined when it still is not after a while. */
  whenKnown(then: (workload: Workload | undefined) => void): void {
    const { registry } = this.context;
    const stop = registry.onChange(() => {
      const { workload } = this;
      if (workload === undefined) return;
      finish(workload);
    });
    const timer = setTimeout(() => finish(undefined), WORKLOAD_WAIT_MS);
    const finish = (workload: Workload | undefined) => {
      stop();
      clearTimeout(timer);
      then(workload);
    };
  }

  policies(workload: Workload): readonly Authorization[] {
    const { registry, log } = this.context;
    if (this.#policiesAt !== registry.version) {
      this.#policiesAt = registry.version;
      const { policies, missing } = policiesFor(registry, workload);
      this.#policies = policies;
      if (missing.length > 0)
        log.warn('policies of a workload have not arrived and are not enforced', { workload: workload.uid, policies: missing.join(', ') });
    }
    return this.#policies;
  }

  /** What the operator asked to see of decisions. */
  decided(decision: Decision, connection: Connection): void {
    const { config, log } = this.context;
    for (const { policy, action, matched } of decision.dryRun)
      log.info('dry-run policy', { policy, action, matched, source: connection.sourceIp, port: connection.destinationPort });
    const text = decision.allowed ? 'policy allows' : 'policy denies';
    const fields = {
      policy: decision.policy,
      reason: decision.reason || undefined,
      source: connection.sourceIp,
      port: connection.destinationPort,
    };
    if (config.authzInfoLogging) log.info(text, fields);
    else if (log.enabled('debug')) log.debug(text, fields);
  }

  open(facts: ConnectionFacts): ConnectionRecord {
    return new ConnectionRecord(
      facts,
      this.context.metrics,
      this.context.access,
      facts.direction === 'inbound' ? this.inbound : this.outbound,
    );
  }

  enforce(connection: EnforcedConnection): void {
    this.#enforced.add(connection);
  }

  release(connection: EnforcedConnection): void {
    this.#enforced.delete(connection);
  }

  /** The mesh has changed: policies may no longer allow what is open, the identity may be another, destinations may have left. Without a change: at start. */
  registryChanged(change?: RegistryChange): void {
    const { workload } = this;
    if (workload !== undefined) this.#useIdentity(formatIdentity(workloadIdentity(workload)));
    if (workload === undefined) return;
    // A workload's own change can be a change of its list of policies.
    const isOwnTouched = change === undefined || change.workloads.has(workload.uid);
    if (change !== undefined) this.network.changed(change, isOwnTouched || touchesServices(workload, change));
    if (!isOwnTouched && change.policies.size === 0) return;
    const policies = this.policies(workload);
    for (const enforced of this.#enforced)
      if (!authorize(policies, enforced.connection).allowed) enforced.close({ ...endOf('policy-change'), message: POLICY_CHANGE_MESSAGE });
  }

  /** The keys of policies that apply to the pod now. */
  policyKeys(): string[] {
    return this.workload === undefined ? [] : this.policies(this.workload).map(policyKey);
  }

  /** Everything a connection made for this pod needs: its namespace, its mark. */
  dialOptions(): Omit<DialOptions, 'address' | 'port'> {
    return this.#dialOptions;
  }

  /** What connections into other networks need. */
  gatewayServices(): GatewayServices {
    return { pool: this.pool, certificates: this.context.certificates, clientSettings: this.#clientSettings };
  }

  outboundEnded(connection: OutboundConnection): void {
    this.#outboundConnections.delete(connection);
    this.context.metrics.socketClosed('source');
  }

  handshakeDone(socket: TcpSocket, identity: Identity, sourceIp: string, destinationIp: string): void {
    const tunnel = new InboundTunnel(this, identity, sourceIp, socket.remotePort, destinationIp);
    if (this.#closed) tunnel.fail('the workload is leaving');
    else this.#tunnels.add(tunnel);
    tunnel.start(socket);
    if (tunnel.isOpen) this.context.sameNode?.add(tunnel, socket);
  }

  handshakeFailed({ reason, message }: ConnectionEnd, source: string, destinationIp: string): void {
    this.refused('inbound', reason);
    logEarlyDeny(this.context.access, 'inbound', source, formatHostPort(destinationIp, INBOUND_HBONE_PORT), message);
    this.socketClosed('destination');
  }

  inboundTunnelClosed(tunnel: InboundTunnel, reason: Http2CloseReason, detail: string): void {
    this.#tunnels.delete(tunnel);
    this.context.sameNode?.remove(tunnel);
    this.socketClosed('destination');
    this.#tunnelClosed('inbound', { source: tunnel.source, identity: tunnel.identityUri }, reason, detail);
  }

  #outboundTunnelClosed(to: PoolDestination, reason: Http2CloseReason, detail: string): void {
    const ends = { source: to.sourceIp, destination: formatHostPort(to.ip, to.port), workload: to.workload };
    this.#tunnelClosed('outbound', ends, reason, detail);
  }

  #tunnelClosed(direction: 'inbound' | 'outbound', ends: Record<string, string>, reason: Http2CloseReason, detail: string): void {
    const { log } = this.context;
    const isOrderly = reason === 'graceful' || reason === 'peer-goaway' || reason === 'transport-closed';
    if (!isOrderly) {
      this.refused(direction, reason);
      log.warn('tunnel closed for a fault of the peer', { direction, ...ends, reason, detail });
    } else if (log.enabled('debug')) log.debug('tunnel closed', { direction, ...ends, reason, detail });
  }

  socketClosed(reporter: SocketSide): void {
    this.context.metrics.socketClosed(reporter);
  }

  /** Counts what was turned away before it was a connection. */
  refused(direction: 'inbound' | 'outbound', reason: EndReason | FailureReason | Http2CloseReason): void {
    this.context.refusals.labels({ direction, reason }).inc();
  }

  /** With DNS queries that are not answered yet. */
  get openConnections(): number {
    return this.inbound.open.size + this.outbound.open.size + (this.#dns?.pending ?? 0);
  }

  /** Takes no new connections; open ones may finish. Peers are told to open no more streams. */
  drain(): void {
    this.#stopListening();
    this.#dns?.drain();
    for (const tunnel of [...this.#tunnels]) tunnel.http2.shutdown('graceful');
  }

  /** Ends everything now. */
  close(reason: 'drained' | 'pod-removed'): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopListening();
    this.#dns?.close();
    this.network.close();
    const end = endOf(reason);
    for (const connection of [...this.#outboundConnections]) connection.abort(end);
    for (const enforced of [...this.#enforced]) enforced.close(end);
    for (const tunnel of [...this.#tunnels]) tunnel.fail(end.message);
    this.pool.close(end);
  }

  #stopListening(): void {
    this.#unwatch?.();
    this.#unwatch = undefined;
    for (const listener of this.#listeners.splice(0)) listener.close();
    this.#hbone = undefined;
  }

  #socketOptions(): TcpOptions {
    const { packetMark, keepalive, userTimeout } = this.context.config;
    return { mark: packetMark, keepalive, userTimeout };
  }

  #listen(port: number, accept: (socket: TcpSocket) => SocketEvents | undefined): TcpListener {
    const { ipv6, inpodPortReuse } = this.context.config;
    const options = { ...this.#socketOptions(), port, networkNamespace: this.#networkNamespace, reusePort: inpodPortReuse };
    let listener: TcpListener;
    try {
      listener = new TcpListener({ ...options, address: ipv6 ? '::' : '0.0.0.0' }, accept);
    } catch (error) {
      // A kernel or pod without IPv6 is no reason not to serve it.
      if (!ipv6 || (error as { code?: string }).code === 'EADDRINUSE') throw error;
      listener = new TcpListener({ ...options, address: '0.0.0.0' }, accept);
    }
    this.#listeners.push(listener);
    return listener;
  }

  /** The certificate of this identity serves tunnels from its first arrival on; until then clients wait in the kernel's queue. */
  #useIdentity(identity: string): void {
    if (identity === this.#identity || this.#hbone === undefined) return;
    this.#unwatch?.();
    this.#identity = identity;
    const { certificates } = this.context;
    const serve = (certificate: WorkloadCertificate | undefined): void => {
      try {
        this.#hbone?.serve(certificate?.serverTls);
      } catch (error) {
        this.context.log.error('certificate not usable for tunnels', { identity, error: (error as Error).message });
      }
    };
    this.#unwatch = certificates.watch(identity, serve);
    const current = certificates.current(identity);
    if (current !== undefined) serve(current);
    else certificates.prefetch(identity);
  }

  /** Refuses a connection while there are too many: the ones there are go on. */
  #isFull(socket: TcpSocket, direction: 'inbound' | 'outbound'): boolean {
    const { metrics, maxSockets, access } = this.context;
    if (metrics.openSockets < maxSockets) return false;
    this.refused(direction, 'too-many-connections');
    const source = formatHostPort(plainAddress(socket.remoteAddress), socket.remotePort);
    const destination = formatHostPort(plainAddress(socket.localAddress), socket.localPort);
    logEarlyDeny(access, direction, source, destination, endOf('too-many-connections', `${maxSockets} sockets`).message);
    return true;
  }

  #acceptOutbound(socket: TcpSocket): SocketEvents | undefined {
    if (this.#isFull(socket, 'outbound')) return undefined;
    const { source, destination } = endsOf(socket);
    this.context.metrics.socketOpened('source');
    const connection = new OutboundConnection(this, socket, source.address, source.port, destination.address, destination.port);
    this.#outboundConnections.add(connection);
    socket.data = connection;
    connection.start();
    return socket.data;
  }

  #acceptPlain(socket: TcpSocket): SocketEvents | undefined {
    if (this.#isFull(socket, 'inbound')) return undefined;
    const { source, destination } = endsOf(socket);
    this.context.metrics.socketOpened('destination');
    const connection = new InboundPlain(this, socket, source.address, source.port, destination.address, destination.port);
    socket.data = connection;
    connection.start(ILLEGAL_PORTS);
    return socket.data;
  }

  #acceptTunnel(socket: TcpSocket): SocketEvents | undefined {
    if (this.#isFull(socket, 'inbound')) return undefined;
    const sourceIp = plainAddress(socket.remoteAddress);
    const destinationIp = plainAddress(socket.localAddress);
    if (this.context.certificates.current(this.#identity) === undefined) {
      const error = endOf('identity-error', `no certificate for ${this.#identity}`).message;
      logEarlyDeny(
        this.context.access,
        'inbound',
        formatHostPort(sourceIp, socket.remotePort),
        formatHostPort(destinationIp, INBOUND_HBONE_PORT),
        error,
      );
      return undefined;
    }
    this.context.metrics.socketOpened('destination');
    return new ServerHandshake(this, socket, sourceIp, destinationIp);
  }

  #dialTunnel(to: PoolDestination, pool: HbonePool): ClientTunnel {
    const tunnel = new ClientTunnel(this.#clientSettings, to.acceptedIdentities, pool);
    const { certificates } = this.context;
    const start = (certificate: WorkloadCertificate): void =>
      tunnel.dial({ ...this.dialOptions(), address: to.ip, port: to.port, tls: certificate.clientTls });
    const certificate = certificates.current(to.sourceIdentity);
    if (certificate !== undefined) start(certificate);
    else
      certificates.get(to.sourceIdentity).then(start, (error: Error) => {
        pool.onTunnelFailed(tunnel, endOf('identity-error', error.message));
        tunnel.cancel();
      });
    return tunnel;
  }
}

/** A service that stands behind another waypoint now changes for whom that waypoint may speak. */
const touchesServices = (workload: Workload, { services }: RegistryChange): boolean => {
  for (const key of services) if (workload.services.has(key)) return true;
  return false;
};

/** Who connects, and where to before a redirect rule caught it. */
function endsOf(socket: TcpSocket): { source: SocketEndpoint; destination: SocketEndpoint } {
  // `fd` is a member of Bun's sockets that its types lack.
  const { fd = -1 } = socket as { fd?: number };
  return {
    source: peerEndpoint(fd) ?? { address: plainAddress(socket.remoteAddress), port: socket.remotePort },
    destination: originalDestination(fd) ?? { address: plainAddress(socket.localAddress), port: socket.localPort },
  };
}
