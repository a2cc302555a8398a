/** The part of the proxy that serves one pod: its listeners inside the pod's network namespace, its tunnels and its open connections. */
import {
  DEFAULT_TRUST_DOMAIN,
  type FailureReason,
  formatHostPort,
  formatIdentity,
  HBONE_PORT,
  type Identity,
  type RegistryChange,
  type Workload,
  workloadIdentity,
} from '../../mesh/index.ts';
import type { TcpOptions } from '../../platform/linux/index.ts';
import type { DialOptions, TcpSocket } from '../../platform/net/index.ts';
import { CLIENT_SETTINGS, type Http2CloseReason, type Http2Settings, isPeerFault, SERVER_SETTINGS } from '../../protocol/index.ts';
import type { WorkloadCertificate } from '../core/certificate.ts';
import { type ConnectionEnd, type EndReason, endOf } from '../core/end-reason.ts';
import { ClientTunnel } from '../core/hbone-client.ts';
import { HbonePool, type PoolDestination } from '../core/hbone-pool.ts';
import type { HandshakeHost } from '../core/server-handshake.ts';
import type { WorkloadInfo } from './config.ts';
import { type ConnectionFacts, ConnectionRecord, ConnectionTable, logEarlyDeny } from './connection-record.ts';
import type { ProxyContext } from './context.ts';
import type { PodDns } from './dns/index.ts';
import type { GatewayServices } from './gateway-path.ts';
import { InboundTunnel } from './inbound-tunnel.ts';
import { NetworkGuard } from './network-guard.ts';
import type { OutboundConnection } from './outbound.ts';
import { PodListeners } from './pod-listeners.ts';
import { PolicyGuard } from './policy-guard.ts';
import type { PodSockets } from './socket-budget.ts';

/** To connect to an application or another proxy. */
const CONNECT_TIMEOUT_MS = 10_000;
/** How long a new pod's connections wait for the control plane to know it. */
const WORKLOAD_WAIT_MS = 5000;

export class PodProxy implements HandshakeHost {
  readonly context: ProxyContext;
  readonly info: WorkloadInfo;
  readonly pool: HbonePool;
  readonly sockets: PodSockets;
  readonly serverSettings: Http2Settings;
  readonly inbound = new ConnectionTable();
  readonly outbound = new ConnectionTable();
  readonly policies: PolicyGuard;
  readonly network: NetworkGuard;
  readonly #clientSettings: Http2Settings;
  readonly #networkNamespace: number | undefined;
  readonly #listeners: PodListeners;
  readonly #outboundConnections = new Set<OutboundConnection>();
  readonly #tunnels = new Set<InboundTunnel>();
  #dns: PodDns | undefined;
  #knownAt = -1;
  #workload: Workload | undefined;
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
    const { packetMark, keepalive, userTimeout } = context.config;
    const socketOptions: TcpOptions = { mark: packetMark, keepalive, userTimeout };
    this.#listeners = new PodListeners(this, socketOptions, networkNamespace);
    const windows = { streamWindow, connectionWindow, maxFrameSize };
    this.serverSettings = { ...SERVER_SETTINGS, ...windows };
    this.#clientSettings = { ...CLIENT_SETTINGS, ...windows, assumedMaxConcurrentStreams: poolMaxStreams };
    this.#dialOptions = { ...socketOptions, networkNamespace, timeout: CONNECT_TIMEOUT_MS };
    this.sockets = context.sockets.add();
    this.policies = new PolicyGuard(context);
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
      this.#listeners.openRedirected();
      this.#listeners.openTunnels();
      this.#dns = this.context.dns?.open(this, this.#networkNamespace);
      this.registryChanged();
    } catch (error) {
      this.#listeners.stop();
      this.sockets.remove();
      this.pool.close(endOf('pod-removed'));
      throw error;
    }
  }

  /** Opens the listener for tunnels only, for a workload nothing is redirected to. Throws as {@link start} does. */
  startTunnels(): void {
    try {
      this.#listeners.openTunnels();
      this.registryChanged();
    } catch (error) {
      this.#listeners.stop();
      this.sockets.remove();
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

  open(facts: ConnectionFacts): ConnectionRecord {
    return new ConnectionRecord(
      facts,
      this.context.metrics,
      this.context.access,
      facts.direction === 'inbound' ? this.inbound : this.outbound,
    );
  }

  /** The mesh has changed: policies may no longer allow what is open, the identity may be another, destinations may have left. Without a change: at start. */
  registryChanged(change?: RegistryChange): void {
    const { workload } = this;
    if (workload === undefined) return;
    this.#listeners.serveAs(formatIdentity(workloadIdentity(workload)));
    // A workload's own change can be a change of its list of policies.
    const isOwnTouched = change === undefined || change.workloads.has(workload.uid);
    if (change !== undefined) this.network.changed(change, isOwnTouched || touchesServices(workload, change));
    if (isOwnTouched || change.policies.size > 0) this.policies.changed(workload);
  }

  /** Everything a connection made for this pod needs: its namespace, its mark. */
  dialOptions(): Omit<DialOptions, 'address' | 'port'> {
    return this.#dialOptions;
  }

  /** What connections into other networks need. */
  gatewayServices(): GatewayServices {
    return { pool: this.pool, certificates: this.context.certificates, clientSettings: this.#clientSettings };
  }

  outboundBegan(connection: OutboundConnection): void {
    this.#outboundConnections.add(connection);
    this.sockets.opened();
    this.context.metrics.socketOpened('source');
  }

  outboundEnded(connection: OutboundConnection): void {
    this.#outboundConnections.delete(connection);
    this.sockets.closed();
    this.context.metrics.socketClosed('source');
  }

  /** A socket was accepted from a client, with or without a tunnel. */
  inboundOpened(): void {
    this.sockets.opened();
    this.context.metrics.socketOpened('destination');
  }

  inboundClosed(): void {
    this.sockets.closed();
    this.context.metrics.socketClosed('destination');
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
    logEarlyDeny(this.context.access, 'inbound', source, formatHostPort(destinationIp, HBONE_PORT), message);
    this.inboundClosed();
  }

  inboundTunnelClosed(tunnel: InboundTunnel, reason: Http2CloseReason, detail: string): void {
    this.#tunnels.delete(tunnel);
    this.context.sameNode?.remove(tunnel);
    this.inboundClosed();
    this.#tunnelClosed('inbound', { source: tunnel.source, identity: tunnel.identityUri }, reason, detail);
  }

  #outboundTunnelClosed(to: PoolDestination, reason: Http2CloseReason, detail: string): void {
    const ends = { source: to.sourceIp, destination: formatHostPort(to.ip, to.port), workload: to.workload };
    this.#tunnelClosed('outbound', ends, reason, detail);
  }

  #tunnelClosed(direction: 'inbound' | 'outbound', ends: Record<string, string>, reason: Http2CloseReason, detail: string): void {
    const { log } = this.context;
    if (isPeerFault(reason)) {
      this.refused(direction, reason);
      log.warn('tunnel closed for a fault of the peer', { direction, ...ends, reason, detail });
    } else if (log.enabled('debug')) log.debug('tunnel closed', { direction, ...ends, reason, detail });
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
    this.#listeners.stop();
    this.#dns?.drain();
    for (const tunnel of [...this.#tunnels]) tunnel.http2.shutdown('graceful');
  }

  /** Ends everything now. */
  close(reason: 'drained' | 'pod-removed'): void {
    if (this.#closed) return;
    this.#closed = true;
    this.sockets.remove();
    this.#listeners.stop();
    this.#dns?.close();
    this.network.close();
    const end = endOf(reason);
    for (const connection of [...this.#outboundConnections]) connection.abort(end);
    this.policies.close(end);
    for (const tunnel of [...this.#tunnels]) tunnel.fail(end.message);
    this.pool.close(end);
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
