/** The server end of a tunnel: one connection on a pod's port 15008, its client known, its streams handed to `InboundStream`. */
import { formatHostPort, formatIdentity, type Identity } from '../../mesh/index.ts';
import type { TcpSocket } from '../../platform/net/index.ts';
import { ErrorCode, type HeaderList, type Http2CloseReason } from '../../protocol/index.ts';
import { Tunnel } from '../core/tunnel.ts';
import { type InboundHost, InboundStream } from './inbound-stream.ts';
import type { PodProxy } from './pod-proxy.ts';

export class InboundTunnel extends Tunnel implements InboundHost {
  readonly isJoined = false;
  readonly pod: PodProxy;
  readonly identity: Identity;
  readonly identityUri: string;
  readonly sourceIp: string;
  readonly source: string;
  readonly destinationIp: string;

  constructor(pod: PodProxy, identity: Identity, sourceIp: string, sourcePort: number, destinationIp: string) {
    super('server', pod.serverSettings);
    this.pod = pod;
    this.identity = identity;
    this.identityUri = formatIdentity(identity);
    this.sourceIp = sourceIp;
    this.source = formatHostPort(sourceIp, sourcePort);
    this.destinationIp = destinationIp;
  }

  override start(socket: TcpSocket): void {
    super.start(socket);
    this.watchPeer(socket, 'destination');
  }

  protected override accept(streamId: number, headers: HeaderList, endStream: boolean): void {
    new InboundStream(this, streamId).start(headers, endStream);
  }

  refuse(streamId: number, status: number): void {
    this.http2.sendHeaders(streamId, [[':status', String(status)]], true);
    this.http2.reset(streamId, ErrorCode.NO_ERROR);
  }

  protected override closed(reason: Http2CloseReason, detail: string): void {
    this.pod.inboundTunnelClosed(this, reason, detail);
  }
}
