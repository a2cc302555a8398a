/** A connection to a pod that does not come through a tunnel: allowed as far as policies allow somebody without identity (ambient contract 2.7). */
import {
  type Connection,
  formatHostPort,
  inboundService,
  type NetworkDecision,
  rejectionMessage,
  type Workload,
} from '../../mesh/index.ts';
import { Dial, type DialFailure, type SocketEvents, type TcpSocket } from '../../platform/net/index.ts';
import { type ConnectionEnd, endOf } from '../core/end-reason.ts';
import { type ConnectionRecord, logEarlyDeny } from './connection-record.ts';
import { type GuardedConnection, networkEnd } from './network-guard.ts';
import { PlainDial, type PlainDialer } from './plain-dial.ts';
import type { PodProxy } from './pod-proxy.ts';
import type { EnforcedConnection } from './policy-guard.ts';
import { TcpRelay } from './tcp-relay.ts';

export class InboundPlain implements SocketEvents, EnforcedConnection, GuardedConnection, PlainDialer {
  readonly #pod: PodProxy;
  readonly #socket: TcpSocket;
  readonly peerIp: string;
  readonly #source: string;
  readonly #ip: string;
  readonly #port: number;
  #record: ConnectionRecord | undefined;
  #local: Workload | undefined;
  #dial: Dial | undefined;
  #relay: TcpRelay | undefined;
  #over = false;
  connection!: Connection;

  constructor(pod: PodProxy, socket: TcpSocket, sourceIp: string, sourcePort: number, ip: string, port: number) {
    this.#pod = pod;
    this.#socket = socket;
    this.peerIp = sourceIp;
    this.#source = formatHostPort(sourceIp, sourcePort);
    this.#ip = ip;
    this.#port = port;
  }

  start(illegalPorts: readonly number[]): void {
    const pod = this.#pod;
    const local = pod.workload;
    if (illegalPorts.includes(this.#port)) {
      this.#deny(endOf('self-call'));
      return;
    }
    if (local === undefined) {
      this.#deny(endOf('unknown-source', pod.describe()));
      return;
    }
    const { registry, config } = pod.context;
    const destination = formatHostPort(this.#ip, this.#port);
    this.#record = pod.open({
      direction: 'inbound',
      sourceAddress: this.#source,
      source: registry.workloadByAddress(config.network, this.peerIp),
      destinationAddress: destination,
      destination: local,
      service: inboundService(registry, local, this.#port),
      isMutualTls: false,
      protocol: 'TCP',
      originalDestination: destination,
    });
    this.connection = { sourceIp: this.peerIp, destinationIp: this.#ip, destinationPort: this.#port };
    const decision = pod.policies.decide(local, this.connection);
    if (!decision.allowed) {
      this.close({ ...endOf('policy-rejection'), message: rejectionMessage(decision) });
      return;
    }
    this.#local = local;
    pod.policies.enforce(this);
    this.#socket.pause();
    const network = this.decideNetwork();
    const mayWait = !network.allowed && !pod.network.isKnown(this.peerIp);
    if (!mayWait || !pod.network.whenKnown(this.peerIp, () => this.#connect(this.decideNetwork()))) this.#connect(network);
  }

  networkRefused(decision: NetworkDecision): void {
    this.close(networkEnd('network-policy-change', decision));
  }

  decideNetwork(): NetworkDecision {
    return this.#pod.network.admit(this.#pod.workload ?? this.#local!, this.connection);
  }

  #connect(decision: NetworkDecision): void {
    if (this.#over) return;
    if (!decision.allowed) {
      this.close(networkEnd('network-policy', decision));
      return;
    }
    const pod = this.#pod;
    const { config } = pod.context;
    pod.network.watch(this);
    const spoof = config.originalSource !== false && this.peerIp !== this.#ip;
    this.#dial = new Dial(
      {
        ...pod.localDialOptions,
        address: this.#ip,
        port: this.#port,
        source: spoof ? this.peerIp : undefined,
        lowSourcePort: spoof,
        sourceRequired: config.originalSource === true,
      },
      new PlainDial(this),
    );
  }

  plainConnected(socket: TcpSocket): void {
    if (this.#over) {
      socket.terminate();
      return;
    }
    this.#relay = new TcpRelay(this.#socket, socket, this.#record!.counts, (end) => this.#ended(end));
    this.#socket.resume();
  }

  plainFailed(failure: DialFailure): void {
    this.close(endOf(failure.code === 'ETIMEDOUT' ? 'connect-timeout' : 'connect-failed', failure.message));
  }

  close(end: ConnectionEnd): void {
    if (this.#over) return;
    if (this.#relay !== undefined) {
      this.#relay.abort(end);
      return;
    }
    this.#dial?.cancel();
    // Terminating calls `onClose` at once, which must find the connection over.
    this.#ended(end);
    this.#socket.terminate();
  }

  // The client's socket until the relay takes it over; it is paused.
  onData(): void {}
  onEnd(): void {}
  onDrain(): void {}
  onClose(): void {
    this.close(endOf('io', 'the client closed the connection before it was established'));
  }

  #deny(end: ConnectionEnd): void {
    this.#over = true;
    this.#pod.refused('inbound', end.reason);
    logEarlyDeny(this.#pod.context.access, 'inbound', this.#source, formatHostPort(this.#ip, this.#port), end.message);
    this.#socket.terminate();
    this.#pod.inboundClosed();
  }

  #ended(end: ConnectionEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#pod.policies.release(this);
    this.#pod.network.release(this);
    this.#record?.end(end);
    this.#pod.inboundClosed();
  }
}
