/** Connections to endpoints: through the mesh's tunnels where the endpoint has one, else plainly or with the TLS its DestinationRule asks for. */
import type { TLSOptions } from 'bun';
import {
  type BackendPolicy,
  type BackendTls,
  type EndpointState,
  expectedIdentities,
  formatHostPort,
  HBONE_PORT,
  reachWorkload,
  type Service,
  type Workload,
} from '../../mesh/index.ts';
import { Dial, type DialEvents, type DialFailure, type DialOptions, type TcpSocket } from '../../platform/net/index.ts';
import { encodeForwarded, type HeaderList } from '../../protocol/index.ts';
import type { ConnectionEnd } from '../core/end-reason.ts';
import type { ClientTunnel } from '../core/hbone-client.ts';
import type { HbonePool, PoolUser } from '../core/hbone-pool.ts';
import type { Channel } from './channel.ts';
import { LIMITS } from './limits.ts';
import { SocketChannel } from './socket-channel.ts';
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
  /** Files and Secrets of a DestinationRule's TLS settings. Throws with the reason when they cannot be used. */
  readonly tls: (settings: BackendTls, serverName: string) => TLSOptions;
}

/** Families of addresses are compared with what the client asked for; a waypoint has no such address. */
const ANY_ADDRESS = '0.0.0.0';

export class Connector {
  readonly #options: ConnectorOptions;
  readonly #accepted = new WeakMap<Workload, { readonly service: Service; readonly identities: readonly string[] }>();

  constructor(options: ConnectorOptions) {
    this.#options = options;
  }

  connect(endpoint: EndpointState, service: Service, policy: BackendPolicy | undefined, user: ChannelUser): void {
    const { workload, targetPort } = endpoint;
    const reach = reachWorkload(workload, service, ANY_ADDRESS);
    if (reach === undefined || reach.kind === 'gateway') {
      user.failed('the endpoint is in another network, which needs HBONE inside HBONE');
      return;
    }
    const mode = policy?.tls?.mode;
    const isTunnelled = workload.tunnelProtocol === 'HBONE' && (mode === undefined || mode === 'mesh');
    if (isTunnelled && reach.kind === 'ip') {
      this.#throughTunnel(reach.ip, targetPort, workload, service, user);
      return;
    }
    if (mode === 'mesh') {
      user.failed('the DestinationRule wants mutual TLS of the mesh, but the endpoint is not in it');
      return;
    }
    if (reach.kind === 'ip') {
      this.#plainly(reach.ip, targetPort, service, policy, user);
      return;
    }
    Bun.dns.lookup(reach.hostname, { family: 'any' }).then(
      (found) => {
        const best = found[0];
        if (best === undefined) user.failed(`${reach.hostname} has no address`);
        else this.#plainly(best.address, targetPort, service, policy, user);
      },
      (error: Error) => user.failed(`${reach.hostname}: ${error.message}`),
    );
  }

  #throughTunnel(ip: string, port: number, workload: Workload, service: Service, user: ChannelUser): void {
    this.#options.pool.acquire(
      {
        sourceIdentity: this.#options.identity(),
        sourceIp: '',
        ip,
        port: HBONE_PORT,
        acceptedIdentities: this.#identitiesOf(workload, service),
        workload: workload.uid,
      },
      new TunnelRequest(this.#connectHeaders(ip, port, service), user),
    );
  }

  #connectHeaders(ip: string, port: number, service: Service): HeaderList {
    const headers: HeaderList[number][] = [
      [':method', 'CONNECT'],
      [':authority', formatHostPort(ip, port)],
    ];
    const baggage = this.#options.baggage();
    if (baggage !== '') headers.push(['baggage', baggage]);
    headers.push(['forwarded', encodeForwarded('0.0.0.0', 0, service.hostname)]);
    return headers;
  }

  #identitiesOf(workload: Workload, service: Service): readonly string[] {
    const known = this.#accepted.get(workload);
    if (known?.service === service) return known.identities;
    const identities = expectedIdentities({ workload, service });
    this.#accepted.set(workload, { service, identities });
    return identities;
  }

  #plainly(address: string, port: number, service: Service, policy: BackendPolicy | undefined, user: ChannelUser): void {
    const settings = policy?.tls;
    let tls: TLSOptions | undefined;
    if (settings !== undefined && settings.mode !== 'disable') {
      try {
        tls = this.#options.tls(settings, settings.sni ?? service.hostname);
      } catch (error) {
        user.failed(`TLS settings of the DestinationRule: ${error instanceof Error ? error.message : String(error)}`);
        return;
      }
    }
    const timeout = policy?.connectionPool?.connectTimeout ?? LIMITS.CONNECT_TIMEOUT;
    new Dial({ ...this.#options.dialOptions, address, port, timeout, ...(tls === undefined ? {} : { tls }) }, new PlainRequest(user));
  }
}

/** Waits for a tunnel and opens the stream on it. */
class TunnelRequest implements PoolUser {
  readonly #headers: HeaderList;
  readonly #user: ChannelUser;
  constructor(headers: HeaderList, user: ChannelUser) {
    this.#headers = headers;
    this.#user = user;
  }
  onTunnel(tunnel: ClientTunnel): void {
    const streamId = tunnel.http2.request(this.#headers, false);
    if (streamId === undefined) this.#user.failed('the tunnel takes no more streams');
    else this.#user.attach(new UpstreamTunnelChannel(tunnel, streamId));
  }
  onNoTunnel(end: ConnectionEnd): void {
    this.#user.failed(end.message);
  }
}

class PlainRequest implements DialEvents {
  readonly #user: ChannelUser;
  constructor(user: ChannelUser) {
    this.#user = user;
  }
  onConnected(socket: TcpSocket): void {
    this.#user.attach(new SocketChannel(socket));
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
