/** The server end of a client's tunnel: one connection on port 15008, each of its streams a connection of an application. */
import {
  type EastWestTarget,
  type Failure,
  formatHostPort,
  formatIdentity,
  type Identity,
  type WaypointTarget,
  type Workload,
} from '../../mesh/index.ts';
import type { TcpSocket } from '../../platform/net/index.ts';
import {
  buildConnectResponse,
  ErrorCode,
  type HeaderList,
  type Http2CloseReason,
  type Http2Settings,
  parseConnectRequest,
} from '../../protocol/index.ts';
import { Tunnel } from '../core/tunnel.ts';
import { AwaitedStream } from './awaited-stream.ts';
import type { Client } from './client.ts';
import { TunnelChannel } from './tunnel-channel.ts';

export interface TunnelHost {
  readonly serverSettings: Http2Settings;
  /** The waypoint as the mesh knows it. */
  readonly self: Workload | undefined;
  resolve(self: Workload, connectionIp: string, host: string, port: number): WaypointTarget | EastWestTarget | Failure;
  workloadAt(ip: string): Workload | undefined;
  /** A stream was accepted and answered with 200. */
  serve(channel: TunnelChannel, client: Client): void;
  refused(reason: string, client: string, message: string): void;
  /** Whether another stream may wait for what it asks for. */
  readonly hasWaitingRoom: boolean;
  waits(stream: AwaitedStream): void;
  noLongerWaits(stream: AwaitedStream): void;
  tunnelClosed(tunnel: DownstreamTunnel, reason: Http2CloseReason, detail: string): void;
}

interface Refusal {
  readonly status: number;
  readonly reason: string;
  readonly message: string;
}

const NOTHING = new Uint8Array(0);
/** Refusals that the next word from the control plane may change. */
const PASSING: ReadonlySet<string> = new Set(['unknown-source', 'unknown-hostname', 'ip-mismatch']);

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

  override start(socket: TcpSocket): void {
    super.start(socket);
    this.watchPeer(socket, 'destination');
  }

  protected override accept(streamId: number, headers: HeaderList, endStream: boolean): void {
    const request = parseConnectRequest(headers);
    if (!request.ok) {
      this.#refuse(streamId, { status: request.error.status, reason: request.error.rule, message: request.error.reason });
      return;
    }
    const { authority } = request.value;
    const name = authority.kind === 'ip' ? authority.address : authority.hostname;
    const opened = this.#open(streamId, name, authority.port);
    if (opened instanceof TunnelChannel) {
      if (endStream) opened.onTunnelData(NOTHING, true);
    } else if (PASSING.has(opened.reason) && this.#host.hasWaitingRoom) this.#wait(streamId, name, authority.port, endStream);
    else this.#refuse(streamId, opened);
  }

  #wait(streamId: number, name: string, port: number, endStream: boolean): void {
    const host = this.#host;
    const stream = new AwaitedStream(
      {
        retry: (waiting, isLast) => {
          const opened = this.#open(streamId, name, port);
          if (opened instanceof TunnelChannel) {
            if (waiting.early.length > 0 || waiting.hasEnded) opened.onTunnelData(waiting.early, waiting.hasEnded);
            return true;
          }
          if (!isLast && PASSING.has(opened.reason)) return false;
          this.detach(streamId);
          this.#refuse(streamId, opened);
          return true;
        },
        ended: (waiting) => host.noLongerWaits(waiting),
      },
      endStream,
    );
    host.waits(stream);
    this.attach(streamId, stream);
  }

  #open(streamId: number, name: string, port: number): TunnelChannel | Refusal {
    const host = this.#host;
    const { self } = host;
    if (self === undefined)
      return { status: 503, reason: 'unknown-source', message: 'the control plane does not know this waypoint (yet)' };
    const target = host.resolve(self, this.#destinationIp, name, port);
    if (target.kind === 'failure') return target;
    const channel = new TunnelChannel(this, streamId);
    this.http2.sendHeaders(streamId, buildConnectResponse(''), false);
    host.serve(channel, {
      workload: host.workloadAt(this.#sourceIp),
      identity: this.#identity,
      principal: this.#principal,
      namespace: this.#identity.namespace,
      ip: this.#sourceIp,
      address: this.source,
      target: formatHostPort(name, port),
      service: target.kind === 'workload' ? undefined : target.service,
      destination: target.kind === 'workload' ? target.workload : undefined,
      relay: target.kind === 'relay' ? target : undefined,
      port: target.kind === 'relay' ? target.servicePort : target.port,
    });
    return channel;
  }

  #refuse(streamId: number, { status, reason, message }: Refusal): void {
    this.http2.sendHeaders(streamId, [[':status', String(status)]], true);
    this.http2.reset(streamId, ErrorCode.NO_ERROR);
    this.#host.refused(reason, this.source, message);
  }

  protected override closed(reason: Http2CloseReason, detail: string): void {
    this.#host.tunnelClosed(this, reason, detail);
  }
}
