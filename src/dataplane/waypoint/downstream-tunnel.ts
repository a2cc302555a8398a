/** The server end of a client's tunnel: one connection on port 15008, each of its streams a connection of an application. */
import { formatHostPort, formatIdentity, type Identity, type resolveWaypointTarget, type Workload } from '../../mesh/index.ts';
import { ErrorCode, type HeaderList, type Http2CloseReason, type Http2Settings, parseConnectRequest } from '../../protocol/index.ts';
import { Tunnel } from '../core/tunnel.ts';
import type { Client } from './client.ts';
import { TunnelChannel } from './tunnel-channel.ts';

export interface TunnelHost {
  readonly serverSettings: Http2Settings;
  /** The waypoint as the mesh knows it. */
  readonly self: Workload | undefined;
  resolve(self: Workload, connectionIp: string, host: string, port: number): ReturnType<typeof resolveWaypointTarget>;
  workloadAt(ip: string): Workload | undefined;
  /** A stream was accepted and answered with 200. */
  serve(channel: TunnelChannel, client: Client): void;
  refused(reason: string, client: string, message: string): void;
  tunnelClosed(tunnel: DownstreamTunnel, reason: Http2CloseReason, detail: string): void;
}

const OK: HeaderList = [[':status', '200']];

export class DownstreamTunnel extends Tunnel {
  readonly #host: TunnelHost;
  readonly #identity: Identity;
  readonly #principal: string;
  readonly #sourceIp: string;
  readonly source: string;
  readonly #destinationIp: string;

  constructor(host: TunnelHost, identity: Identity, sourceIp: string, sourcePort: number, destinationIp: string) {
    super('server', host.serverSettings);
    this.#host = host;
    this.#identity = identity;
    this.#principal = formatIdentity(identity);
    this.#sourceIp = sourceIp;
    this.source = formatHostPort(sourceIp, sourcePort);
    this.#destinationIp = destinationIp;
  }

  protected override accept(streamId: number, headers: HeaderList, endStream: boolean): void {
    const host = this.#host;
    const request = parseConnectRequest(headers);
    if (!request.ok) {
      this.#refuse(streamId, request.error.status, 'bad-request', request.error.reason);
      return;
    }
    const { self } = host;
    if (self === undefined) {
      this.#refuse(streamId, 503, 'unknown-source', 'the control plane does not know this waypoint (yet)');
      return;
    }
    const { authority } = request.value;
    const name = authority.kind === 'ip' ? authority.address : authority.hostname;
    const target = host.resolve(self, this.#destinationIp, name, authority.port);
    if (target.kind === 'failure') {
      this.#refuse(streamId, target.status, target.reason, target.message);
      return;
    }
    const channel = new TunnelChannel(this, streamId);
    this.http2.sendHeaders(streamId, OK, false);
    host.serve(channel, {
      workload: host.workloadAt(this.#sourceIp),
      principal: this.#principal,
      namespace: this.#identity.namespace,
      ip: this.#sourceIp,
      address: this.source,
      target: formatHostPort(name, authority.port),
      service: target.kind === 'service' ? target.service : undefined,
      destination: target.kind === 'workload' ? target.workload : undefined,
      port: target.port,
    });
    if (endStream) channel.onTunnelData(new Uint8Array(0), true);
  }

  #refuse(streamId: number, status: number, reason: string, message: string): void {
    this.http2.sendHeaders(streamId, [[':status', String(status)]], true);
    this.http2.reset(streamId, ErrorCode.NO_ERROR);
    this.#host.refused(reason, this.source, message);
  }

  protected override closed(reason: Http2CloseReason, detail: string): void {
    this.#host.tunnelClosed(this, reason, detail);
  }
}
