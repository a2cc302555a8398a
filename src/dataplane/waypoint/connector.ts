/** Connections to endpoints: through the mesh's tunnels where the endpoint has one, else plainly or with the TLS its DestinationRule asks for. */
import type { BackendPolicy, EndpointState } from '../../mesh/http/index.ts';
import { expectedIdentities, formatHostPort, HBONE_PORT, reachWorkload, type Service, type Workload } from '../../mesh/index.ts';
import {
  type Deadline,
  Dial,
  type DialEvents,
  type DialFailure,
  type DialOptions,
  deadlines,
  type TcpSocket,
  type TlsLimits,
} from '../../platform/net/index.ts';
import { buildConnectRequest, encodeForwarded, type HeaderList } from '../../protocol/index.ts';
import type { ConnectionEnd } from '../core/end-reason.ts';
import type { ClientTunnel } from '../core/hbone-client.ts';
import type { HbonePool, PoolUser } from '../core/hbone-pool.ts';
import type { OnDemandDns } from '../core/on-demand-dns.ts';
import { type Alpn, backendTls, type SecuredBackend } from './backend-tls.ts';
import type { Channel } from './channel.ts';
import type { Client } from './client.ts';
import { LIMITS } from './limits.ts';
import { proxyHeader } from './proxy-header.ts';
import { SocketChannel } from './socket-channel.ts';
import type { Upstream } from './traffic.ts';
import { UpstreamTunnelChannel } from './tunnel-channel.ts';

/** Called once, perhaps before `connect` returns. */
export interface ChannelUser {
  attach(channel: Channel): void;
  failed(detail: string): void;
}

export interface ConnectorOptions {
  readonly pool: HbonePool;
  readonly identity: () => string;
  readonly baggage: () => string;
  readonly dialOptions: Omit<DialOptions, 'address' | 'port'>;
  /** With endpoints outside the mesh. */
  readonly tls: TlsLimits;
  readonly hostNames: OnDemandDns;
}

/** Families of addresses are compared with what the client asked for; a waypoint has no such address. */
const ANY_ADDRESS = '0.0.0.0';

export class Connector {
  readonly #options: ConnectorOptions;
  readonly #accepted = new WeakMap<Workload, { readonly service: Service; readonly identities: readonly string[] }>();

  constructor(options: ConnectorOptions) {
    this.#options = options;
  }

  /** `endpoint` is one of the upstream's. `alpn`: what will be spoken, where TLS can say it. */
  connect(upstream: Upstream, endpoint: EndpointState, client: Client, alpn: Alpn, user: ChannelUser): void {
    const { workload } = endpoint;
    const reach = reachWorkload(workload, upstream.service, ANY_ADDRESS);
    if (reach === undefined || reach.kind === 'gateway') {
      user.failed('the endpoint is in another network, which needs HBONE inside HBONE');
      return;
    }
    if (reach.kind === 'ip') this.#to(reach.ip, endpoint, upstream, client, alpn, user);
    else
      this.#options.hostNames.resolve(reach.hostname, reach.preferFamily, (resolution) => {
        if (resolution.ok) this.#to(resolution.address, endpoint, upstream, client, alpn, user);
        else user.failed(`cannot resolve the host name of the endpoint: ${reach.hostname}: ${resolution.error}`);
      });
  }

  #to(ip: string, { workload, targetPort }: EndpointState, upstream: Upstream, client: Client, alpn: Alpn, user: ChannelUser): void {
    const mode = upstream.policy?.tls?.mode;
    if (workload.tunnelProtocol === 'HBONE' && (mode === undefined || mode === 'mesh'))
      this.#throughTunnel(ip, targetPort, workload, upstream, client, user);
    else if (mode === 'mesh') user.failed('the DestinationRule wants mutual TLS of the mesh, but the endpoint is not in it');
    else this.#plainly(ip, targetPort, upstream, client, alpn, user);
  }

  /** Plainly, whatever is at the other end. */
  relay(address: string, port: number, user: ChannelUser): void {
    new Dial({ ...this.#options.dialOptions, address, port, timeout: LIMITS.CONNECT_TIMEOUT }, new PlainRequest(user, undefined));
  }

  #throughTunnel(ip: string, port: number, workload: Workload, { service, policy }: Upstream, client: Client, user: ChannelUser): void {
    const { pool, identity } = this.#options;
    const request = new TunnelRequest({
      pool,
      headers: this.#connectHeaders(ip, port, service),
      preface: policy?.proxyProtocol && proxyHeader(policy.proxyProtocol, client, ip),
      timeout: timeoutOf(policy),
      user,
    });
    pool.acquire(
      {
        sourceIdentity: identity(),
        sourceIp: '',
        ip,
        port: HBONE_PORT,
        acceptedIdentities: this.#identitiesOf(workload, service),
        workload: workload.uid,
      },
      request,
    );
    request.begin();
  }

  #connectHeaders(ip: string, port: number, service: Service): HeaderList {
    return buildConnectRequest({
      authority: formatHostPort(ip, port),
      baggage: this.#options.baggage(),
      forwarded: encodeForwarded('0.0.0.0', 0, service.hostname),
    });
  }

  #identitiesOf(workload: Workload, service: Service): readonly string[] {
    const known = this.#accepted.get(workload);
    if (known?.service === service) return known.identities;
    const identities = expectedIdentities({ workload, service });
    this.#accepted.set(workload, { service, identities });
    return identities;
  }

  #plainly(address: string, port: number, { service, policy }: Upstream, client: Client, alpn: Alpn, user: ChannelUser): void {
    const settings = policy?.tls;
    let tls: SecuredBackend | undefined;
    if (settings !== undefined && settings.mode !== 'disable') {
      try {
        tls = backendTls(settings, settings.sni ?? service.hostname, alpn, this.#options.tls);
      } catch (error) {
        user.failed(`TLS settings of the DestinationRule: ${(error as Error).message}`);
        return;
      }
    }
    const preface = policy?.proxyProtocol && proxyHeader(policy.proxyProtocol, client, address);
    new Dial(
      {
        ...this.#options.dialOptions,
        address,
        port,
        timeout: timeoutOf(policy),
        tls: tls?.options,
        trustsAnyone: tls?.trustsAnyone,
        preface,
      },
      new PlainRequest(user, tls),
    );
  }
}

const timeoutOf = (policy: BackendPolicy | undefined): number => policy?.connectionPool?.connectTimeout || LIMITS.CONNECT_TIMEOUT;

interface TunnelRequestOptions {
  readonly pool: HbonePool;
  readonly headers: HeaderList;
  readonly preface: Uint8Array | undefined;
  readonly timeout: number;
  readonly user: ChannelUser;
}

/** Waits for a tunnel and opens the stream on it. */
class TunnelRequest implements PoolUser, Deadline {
  readonly #options: TunnelRequestOptions;
  readonly dueAt: number;
  #isOver = false;

  constructor(options: TunnelRequestOptions) {
    this.#options = options;
    this.dueAt = performance.now() + options.timeout;
  }

  /** There was no tunnel at once. */
  begin(): void {
    if (!this.#isOver) deadlines.add(this);
  }

  onTunnel(tunnel: ClientTunnel): void {
    this.#over();
    const { headers, preface, user } = this.#options;
    const streamId = tunnel.http2.request(headers, false);
    if (streamId === undefined) {
      user.failed('the tunnel takes no more streams');
      return;
    }
    const channel = new UpstreamTunnelChannel(tunnel, streamId, this.dueAt);
    if (preface !== undefined) channel.write(preface);
    user.attach(channel);
  }

  onNoTunnel(end: ConnectionEnd): void {
    this.#over();
    this.#options.user.failed(end.message);
  }

  onDeadline(): void {
    this.#over();
    this.#options.pool.abandon(this);
    this.#options.user.failed('no tunnel to the endpoint within the connect timeout');
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    deadlines.delete(this);
  }
}

class PlainRequest implements DialEvents {
  readonly #user: ChannelUser;
  readonly #tls: SecuredBackend | undefined;
  constructor(user: ChannelUser, tls: SecuredBackend | undefined) {
    this.#user = user;
    this.#tls = tls;
  }
  onConnected(socket: TcpSocket): void {
    const problem = this.#tls?.problemWith(socket);
    if (problem === undefined) {
      this.#user.attach(new SocketChannel(socket));
      return;
    }
    socket.terminate();
    this.#user.failed(problem);
  }
  onDialFailed(failure: DialFailure): void {
    this.#user.failed(`connection failed: ${failure.message}`);
  }
  // Between the connection and the channel nothing else can come: both happen in one call.
  onData(): void {}
  onEnd(): void {}
  onDrain(): void {}
  onClose(): void {}
}
