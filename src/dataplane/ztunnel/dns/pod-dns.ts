/** The DNS proxy of one pod: listens on loopback inside its network namespace, answers what the mesh knows, forwards everything else. */
import type { Workload } from '../../../mesh/index.ts';
import { TcpListener, type TcpSocket, UdpSocket } from '../../../platform/net/index.ts';
import type { WorkloadInfo } from '../config.ts';
import { TcpExchange, UdpExchange, type Upstream } from './exchange.ts';
import { ForwardedQuery } from './forwarded-query.ts';
import { encodeAnswer, encodeCode, MAX_MESSAGE_BYTES, type Query, readQuery, SERVFAIL } from './message.ts';
import { type DnsLimit, type DnsProtocol, PodDnsMetrics } from './metrics.ts';
import type { DnsService } from './service.ts';
import { TcpClient, type TcpClientHost } from './tcp-client.ts';

/** Queries of one pod that wait for a nameserver, or for the pod to be known. A cluster's nameserver takes far fewer at once. */
export const MAX_QUERIES_OF_POD = 1024;
/** TCP connections of one pod. */
export const MAX_CONNECTIONS_OF_POD = 64;
/** A pod whose queries fail is logged this often, in milliseconds. */
const FAILURE_LOG_MS = 30_000;

/** Whom the queries come from. */
export interface DnsHost {
  readonly info: WorkloadInfo;
  readonly workload: Workload | undefined;
  whenKnown(then: (workload: Workload | undefined) => void): void;
}

/** A query on its way to an answer. */
export interface Asked {
  readonly bytes: Buffer;
  readonly query: Query;
  readonly protocol: DnsProtocol;
  /** The connection it came on; its end ends the query. */
  readonly client: TcpClient | undefined;
  /** `isLast` unless more messages answer the same query; without a message it stays unanswered. */
  reply(message: Uint8Array | undefined, isLast: boolean): void;
}

export class PodDns implements TcpClientHost {
  readonly #service: DnsService;
  readonly #host: DnsHost;
  readonly #networkNamespace: number | undefined;
  readonly #metrics: PodDnsMetrics;
  readonly #upstream: Upstream;
  readonly #udp: UdpSocket[] = [];
  readonly #tcp: TcpListener[] = [];
  readonly #clients = new Set<TcpClient>();
  readonly #forwarded = new Set<ForwardedQuery>();
  /** Queries that wait for the control plane to know the pod. */
  #early: Asked[] = [];
  #isDraining = false;
  /** Sockets of a draining proxy that still hold queries nobody has read. */
  #unread = 0;
  #isClosed = false;
  #failures = 0;
  #failureLoggedAt = Number.NEGATIVE_INFINITY;

  /** `networkNamespace` undefined: the process's own. Does not take over the descriptor. */
  constructor(service: DnsService, host: DnsHost, networkNamespace: number | undefined) {
    this.#service = service;
    this.#host = host;
    this.#networkNamespace = networkNamespace;
    this.#metrics = new PodDnsMetrics(service.metrics);
    const { nameservers, timeoutMs, attempts } = service.resolvers;
    this.#upstream = { nameservers, port: service.nameserverPort, timeoutMs, attempts, networkNamespace, mark: service.mark, first: 0 };
  }

  /** Throws a `SystemError` when the namespace is gone or the port is taken, and then holds nothing. */
  start(): void {
    const { addresses } = this.#service.listen;
    try {
      for (const address of addresses) this.#listen(address);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Queries that wait for an answer, and sockets with some that nobody has read: nothing is owed at 0. */
  get pending(): number {
    return this.#early.length + this.#forwarded.size + this.#unread;
  }

  /** New queries go elsewhere; those that are here, read or not, are answered. */
  drain(): void {
    for (const listener of this.#tcp.splice(0)) listener.close();
    for (const client of [...this.#clients]) client.drain();
    this.#unread += this.#udp.length;
    for (const socket of this.#udp) {
      socket.retire(() => {
        this.#unread--;
        this.#endDrain();
      });
    }
    this.#isDraining = true;
    this.#endDrain();
  }

  close(): void {
    this.#isClosed = true;
    for (const listener of this.#tcp.splice(0)) listener.close();
    for (const socket of this.#udp.splice(0)) socket.close();
    this.#early = [];
    for (const query of [...this.#forwarded]) query.abort();
    for (const client of [...this.#clients]) client.close();
  }

  askedOverTcp(bytes: Buffer, client: TcpClient): void {
    const query = readQuery(bytes);
    if (query === undefined) client.answer(undefined, true);
    else this.#asked({ bytes, query, protocol: 'tcp', client, reply: (message, isLast) => client.answer(message, isLast) });
  }

  tcpClientClosed(client: TcpClient): void {
    this.#clients.delete(client);
    this.#service.giveBack();
    this.#early = this.#early.filter((asked) => asked.client !== client);
    for (const query of [...this.#forwarded]) if (query.asked.client === client) query.abort();
  }

  tcpClientDeaf(): void {
    this.#limitHit('unread-answers');
  }

  #listen(address: string): void {
    const { listen, mark, reusePort } = this.#service;
    const options = { address, port: listen.port, mark, networkNamespace: this.#networkNamespace, reusePort };
    let socket: UdpSocket;
    try {
      socket = new UdpSocket(options, {
        onDatagram: (bytes, port, from) => this.#askedOverUdp(bytes, socket, port, from),
        // A client that has gone before its answer came.
        onUdpError: () => {},
      });
    } catch (error) {
      // A kernel or pod without IPv6 is no reason not to serve it.
      const { code } = error as { code?: string };
      if (address.includes(':') && this.#udp.length > 0 && (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT')) return;
      throw error;
    }
    this.#udp.push(socket);
    const listener = new TcpListener(options, (accepted) => this.#accept(accepted));
    this.#tcp.push(listener);
    listener.serve();
  }

  #accept(socket: TcpSocket): TcpClient | undefined {
    const limit = this.#clients.size >= MAX_CONNECTIONS_OF_POD ? 'connections-of-pod' : this.#service.take() ? undefined : 'descriptors';
    if (limit !== undefined) {
      this.#limitHit(limit);
      return undefined;
    }
    const client = new TcpClient(socket, this);
    this.#clients.add(client);
    return client;
  }

  #askedOverUdp(bytes: Buffer, socket: UdpSocket, port: number, from: string): void {
    const query = readQuery(bytes);
    if (query === undefined) return;
    const reply = (message: Uint8Array | undefined): void => {
      if (message !== undefined) socket.send(message, port, from);
    };
    this.#asked({ bytes, query, protocol: 'udp', client: undefined, reply });
  }

  /** `asked.bytes` is only valid during the call. */
  #asked(asked: Asked): void {
    const { workload } = this.#host;
    if (workload !== undefined) {
      this.#answer(asked, workload);
      return;
    }
    if (this.pending >= MAX_QUERIES_OF_POD) {
      this.#refuse(asked, 'queries-of-pod', undefined);
      return;
    }
    this.#early.push({ ...asked, bytes: Buffer.from(asked.bytes) });
    if (this.#early.length === 1) this.#host.whenKnown((known) => this.#nowKnown(known));
  }

  #nowKnown(workload: Workload | undefined): void {
    const early = this.#early;
    this.#early = [];
    for (const asked of early) {
      if (workload !== undefined) this.#answer(asked, workload);
      else {
        this.#metrics.of(asked.query.type, asked.protocol, undefined).requests.inc();
        this.#log(asked, undefined, 'unknown source', 0);
        asked.reply(encodeCode(asked.bytes, asked.query, SERVFAIL), true);
      }
    }
    this.#endDrain();
  }

  #answer(asked: Asked, workload: Workload): void {
    const { bytes, query, protocol } = asked;
    const { address } = query;
    const result = address && this.#service.resolve(workload, address.name, address.type);
    if (result?.kind !== 'found') {
      this.#forward(asked, workload);
      return;
    }
    this.#metrics.of(query.type, protocol, workload).requests.inc();
    const { addresses } = result;
    this.#log(asked, workload, addresses.length > 0 ? 'success' : 'no records', addresses.length);
    asked.reply(encodeAnswer(bytes, query, result, limitOf(asked)), true);
  }

  #forward(asked: Asked, workload: Workload): void {
    const limit = this.pending >= MAX_QUERIES_OF_POD ? 'queries-of-pod' : this.#service.take() ? undefined : 'descriptors';
    if (limit !== undefined) {
      this.#refuse(asked, limit, workload);
      return;
    }
    const series = this.#metrics.of(asked.query.type, asked.protocol, workload);
    series.requests.inc();
    const forwarded = new ForwardedQuery(
      { ...asked, bytes: Buffer.from(asked.bytes) },
      series,
      limitOf(asked),
      (query, result, count, failure) => {
        this.#forwarded.delete(query);
        this.#service.giveBack();
        this.#log(query.asked, workload, result, count);
        if (failure !== undefined) this.#forwardingFailed(failure);
        else if (result === 'forwarded') this.#failures = 0;
        this.#endDrain();
      },
    );
    this.#forwarded.add(forwarded);
    const Exchange = asked.protocol === 'udp' ? UdpExchange : TcpExchange;
    forwarded.start(new Exchange(this.#upstream, forwarded.asked.bytes, asked.query, forwarded));
  }

  /** The client asks another nameserver, or later. */
  #refuse(asked: Asked, limit: DnsLimit, workload: Workload | undefined): void {
    this.#metrics.of(asked.query.type, asked.protocol, workload).requests.inc();
    this.#limitHit(limit);
    this.#log(asked, workload, `refused: ${limit}`, 0);
    asked.reply(encodeCode(asked.bytes, asked.query, SERVFAIL), true);
  }

  #limitHit(limit: DnsLimit): void {
    this.#metrics.limitHit(limit);
    this.#forwardingFailed(`limit reached: ${limit}`);
  }

  /** One line for many: what fails for one query fails for all. */
  #forwardingFailed(error: string): void {
    this.#failures++;
    const now = performance.now();
    if (now - this.#failureLoggedAt < FAILURE_LOG_MS) return;
    this.#failureLoggedAt = now;
    const { namespace, name } = this.#host.info;
    this.#service.log.warn('DNS queries of a pod fail', { pod: `${namespace}/${name}`, queries: this.#failures, error });
  }

  #log({ query, protocol }: Asked, workload: Workload | undefined, result: string, endpoints: number): void {
    const { log } = this.#service;
    if (!log.enabled('debug')) return;
    log.debug('query', {
      'src.workload': workload?.name ?? 'unknown',
      'src.namespace': workload?.namespace ?? 'unknown',
      query: query.type.toUpperCase(),
      domain: query.name,
      protocol,
      result,
      endpoints,
    });
  }

  /** Sockets are closed when nothing is owed through them. */
  #endDrain(): void {
    if (!this.#isDraining || this.#isClosed || this.pending > 0) return;
    for (const socket of this.#udp.splice(0)) socket.close();
  }
}

const limitOf = ({ query, protocol }: Asked): number => (protocol === 'udp' ? query.udpBytes : MAX_MESSAGE_BYTES);
