/**
 * The listeners inside one pod's network namespace, and what becomes of what they accept: it is refused while there are too many, else it is a connection of
 * the pod's proxy. The one for tunnels serves with the pod's certificate.
 */
import { formatHostPort, HBONE_PORT, ILLEGAL_PORTS } from '../../mesh/index.ts';
import { originalDestination, peerEndpoint, type SocketEndpoint, type TcpOptions } from '../../platform/linux/index.ts';
import { plainAddress, type SocketEvents, TcpListener, type TcpSocket } from '../../platform/net/index.ts';
import type { WorkloadCertificate } from '../core/certificate.ts';
import { endOf } from '../core/end-reason.ts';
import { ServerHandshake } from '../core/server-handshake.ts';
import { logEarlyDeny } from './connection-record.ts';
import { InboundPlain } from './inbound-plain.ts';
import { OutboundConnection } from './outbound.ts';
import type { PodProxy } from './pod-proxy.ts';

const OUTBOUND_PORT = 15_001;
const INBOUND_PLAIN_PORT = 15_006;

export class PodListeners {
  readonly #pod: PodProxy;
  readonly #options: TcpOptions & { readonly networkNamespace: number | undefined };
  readonly #listeners: TcpListener[] = [];
  #hbone: TcpListener | undefined;
  #unwatch: (() => void) | undefined;
  #identity = '';

  /** `networkNamespace` undefined: the process's own. Does not take over the descriptor. */
  constructor(pod: PodProxy, options: TcpOptions, networkNamespace: number | undefined) {
    this.#pod = pod;
    this.#options = { ...options, networkNamespace };
  }

  /** For what rules redirect. Throws a `SystemError` when the namespace is gone or a port is taken. */
  openRedirected(): void {
    this.#listen(OUTBOUND_PORT, (socket) => this.#acceptOutbound(socket)).serve();
    this.#listen(INBOUND_PLAIN_PORT, (socket) => this.#acceptPlain(socket)).serve();
  }

  /** For tunnels, which wait in the kernel's queue until there is a certificate. Throws as `openRedirected` does. */
  openTunnels(): void {
    this.#hbone = this.#listen(HBONE_PORT, (socket) => this.#acceptTunnel(socket));
  }

  /** The certificate of this identity serves tunnels from its first arrival on. */
  serveAs(identity: string): void {
    if (identity === this.#identity || this.#hbone === undefined) return;
    this.#unwatch?.();
    this.#identity = identity;
    const { certificates, log } = this.#pod.context;
    const serve = (certificate: WorkloadCertificate | undefined): void => {
      try {
        this.#hbone?.serve(certificate?.serverTls);
      } catch (error) {
        log.error('certificate not usable for tunnels', { identity, error: (error as Error).message });
      }
    };
    this.#unwatch = certificates.watch(identity, serve);
    const current = certificates.current(identity);
    if (current !== undefined) serve(current);
    else certificates.prefetch(identity);
  }

  stop(): void {
    this.#unwatch?.();
    this.#unwatch = undefined;
    for (const listener of this.#listeners.splice(0)) listener.close();
    this.#hbone = undefined;
  }

  #listen(port: number, accept: (socket: TcpSocket) => SocketEvents | undefined): TcpListener {
    const { ipv6, inpodPortReuse } = this.#pod.context.config;
    const options = { ...this.#options, port, reusePort: inpodPortReuse };
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

  /** Refuses a connection while there are too many: the ones there are go on. */
  #isFull(socket: TcpSocket, direction: 'inbound' | 'outbound'): boolean {
    const { refusal } = this.#pod.sockets;
    if (refusal === undefined) return false;
    this.#pod.refused(direction, refusal.reason);
    const source = formatHostPort(plainAddress(socket.remoteAddress), socket.remotePort);
    const destination = formatHostPort(plainAddress(socket.localAddress), socket.localPort);
    logEarlyDeny(this.#pod.context.access, direction, source, destination, refusal.message);
    return true;
  }

  #acceptOutbound(socket: TcpSocket): SocketEvents | undefined {
    if (this.#isFull(socket, 'outbound')) return undefined;
    const { source, destination } = endsOf(socket);
    const connection = new OutboundConnection(this.#pod, socket, source.address, source.port, destination.address, destination.port);
    this.#pod.outboundBegan(connection);
    socket.data = connection;
    connection.start();
    return socket.data;
  }

  #acceptPlain(socket: TcpSocket): SocketEvents | undefined {
    if (this.#isFull(socket, 'inbound')) return undefined;
    const { source, destination } = endsOf(socket);
    this.#pod.inboundOpened();
    const connection = new InboundPlain(this.#pod, socket, source.address, source.port, destination.address, destination.port);
    socket.data = connection;
    connection.start(ILLEGAL_PORTS);
    return socket.data;
  }

  #acceptTunnel(socket: TcpSocket): SocketEvents | undefined {
    if (this.#isFull(socket, 'inbound')) return undefined;
    const { access, certificates } = this.#pod.context;
    const sourceIp = plainAddress(socket.remoteAddress);
    const destinationIp = plainAddress(socket.localAddress);
    if (certificates.current(this.#identity) === undefined) {
      const source = formatHostPort(sourceIp, socket.remotePort);
      const destination = formatHostPort(destinationIp, HBONE_PORT);
      logEarlyDeny(access, 'inbound', source, destination, endOf('identity-error', `no certificate for ${this.#identity}`).message);
      return undefined;
    }
    this.#pod.inboundOpened();
    return new ServerHandshake(this.#pod, socket, sourceIp, destinationIp);
  }
}

/** Who connects, and where to before a redirect rule caught it. */
function endsOf(socket: TcpSocket): { source: SocketEndpoint; destination: SocketEndpoint } {
  // `fd` is a member of Bun's sockets that its types lack.
  const { fd = -1 } = socket as { fd?: number };
  return {
    source: peerEndpoint(fd) ?? { address: plainAddress(socket.remoteAddress), port: socket.remotePort },
    destination: originalDestination(fd) ?? { address: plainAddress(socket.localAddress), port: socket.localPort },
  };
}
