/** The way of one connection into another network (ambient contract 1.8): a pooled tunnel to the gateway, a tunnel of its own inside it. Loaded where it is needed. */
import { type DoubleHboneRoute, type Workload, workloadSpiffeId } from '../../mesh/index.ts';
import type { HeaderList, Http2Settings } from '../../protocol/index.ts';
import { responseStatus } from '../../protocol/index.ts';
import type { CertificateSource } from '../core/certificate-source.ts';
import { refusedWith } from '../core/client-bridge.ts';
import { type ConnectionEnd, endOf } from '../core/end-reason.ts';
import type { ClientTunnel } from '../core/hbone-client.ts';
import type { HbonePool, PoolUser } from '../core/hbone-pool.ts';
import { InnerTunnel, type InnerTunnelEvents } from '../core/inner-tunnel.ts';
import { resetEnd, type TunnelStream } from '../core/tunnel.ts';

/** For TLS with whoever is behind the gateway. */
const INNER_HANDSHAKE_TIMEOUT_MS = 10_000;

export interface GatewayRequest {
  readonly route: DoubleHboneRoute;
  readonly source: Workload;
  readonly sourceIp: string;
  readonly outerHeaders: HeaderList;
  readonly innerHeaders: HeaderList;
}

export interface GatewayServices {
  readonly pool: HbonePool;
  readonly certificates: CertificateSource;
  readonly clientSettings: Http2Settings;
}

export interface GatewayUser {
  /** The peer behind the gateway has answered with 200. The stream's events come to whatever is attached to it now. */
  gatewayReached(tunnel: ClientTunnel, streamId: number, headers: HeaderList, endStream: boolean): void;
  gatewayFailed(end: ConnectionEnd): void;
}

export class GatewayPath implements PoolUser, InnerTunnelEvents, TunnelStream {
  readonly #services: GatewayServices;
  readonly #request: GatewayRequest;
  readonly #user: GatewayUser;
  readonly #identity: string;
  #inner: InnerTunnel | undefined;
  #tunnel: ClientTunnel | undefined;
  #streamId = -1;
  #isOver = false;

  constructor(services: GatewayServices, request: GatewayRequest, user: GatewayUser) {
    this.#services = services;
    this.#request = request;
    this.#user = user;
    this.#identity = workloadSpiffeId(request.source);
  }

  start(): void {
    const { route, sourceIp } = this.#request;
    if (route.innerAcceptedIdentities.length === 0) {
      const { namespace, hostname } = route.destinationService!;
      this.#fail(
        endOf('tls-failure', `service ${namespace}/${hostname} lists no identities its remote endpoints may have (subject_alt_names)`),
      );
      return;
    }
    const { ip, port } = route.target as { ip: string; port: number };
    this.#services.pool.acquire(
      {
        sourceIdentity: this.#identity,
        sourceIp,
        ip,
        port,
        acceptedIdentities: route.acceptedIdentities,
        workload: route.gatewayWorkload.uid,
      },
      this,
    );
  }

  /** Gives everything up, or lets it end in order once the connection has. No event follows. */
  close(): void {
    if (!this.#isOver) this.#services.pool.abandon(this);
    this.#isOver = true;
    this.#inner?.close();
  }

  onTunnel(outer: ClientTunnel): void {
    if (this.#isOver) return;
    const certificate = this.#services.certificates.current(this.#identity);
    if (certificate === undefined) {
      this.#fail(endOf('identity-error', `no valid certificate for ${this.#identity}`));
      return;
    }
    this.#inner = new InnerTunnel(
      {
        outer,
        certificate,
        headers: this.#request.outerHeaders,
        settings: this.#services.clientSettings,
        acceptedIdentities: this.#request.route.innerAcceptedIdentities,
        timeout: INNER_HANDSHAKE_TIMEOUT_MS,
      },
      this,
    );
  }

  onNoTunnel(end: ConnectionEnd): void {
    this.#fail(end);
  }

  onInnerTunnel(tunnel: ClientTunnel): void {
    const streamId = tunnel.http2.request(this.#request.innerHeaders, false);
    if (streamId === undefined) {
      this.#fail(endOf('pool-exhausted'));
      return;
    }
    this.#tunnel = tunnel;
    this.#streamId = streamId;
    tunnel.attach(streamId, this);
  }

  onNoInnerTunnel(end: ConnectionEnd): void {
    this.#fail(end);
  }

  // The stream of the tunnel inside, until it is answered.

  onTunnelHeaders(headers: HeaderList, endStream: boolean): void {
    if (this.#isOver) return;
    const status = responseStatus(headers);
    if (status !== 200) {
      this.#fail(refusedWith(status));
      return;
    }
    this.#isOver = true;
    this.#user.gatewayReached(this.#tunnel!, this.#streamId, headers, endStream);
  }

  onTunnelData(): void {}

  onTunnelReset(code: number, local: boolean): void {
    this.#fail(resetEnd(this.#tunnel, code, local));
  }

  onTunnelWritable(): void {}

  #fail(end: ConnectionEnd): void {
    if (this.#isOver) return;
    this.close();
    this.#user.gatewayFailed(end);
  }
}
