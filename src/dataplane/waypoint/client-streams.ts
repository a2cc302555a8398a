/** The applications' connections: what each speaks, and the sessions that serve them. */
import { matchTcp, matchTls } from '../../mesh/http/index.ts';
import { HTTP1_LIMITS, type Http2Settings } from '../../protocol/index.ts';
import type { TrafficMetrics } from '../core/traffic-metrics.ts';
import type { Channel } from './channel.ts';
import type { Client } from './client.ts';
import type { Connector } from './connector.ts';
import type { RequestContext } from './context.ts';
import { Detection } from './detection.ts';
import { Exchange } from './exchange.ts';
import { ExchangeRecord } from './exchange-record.ts';
import { reportExchange } from './exchange-report.ts';
import { Http1Session } from './http1-session.ts';
import { Http2Session } from './http2-session.ts';
import { LIMITS } from './limits.ts';
import type { Downstream, DownstreamEvents, RequestHead } from './messages.ts';
import { OpaqueRelay } from './opaque-relay.ts';
import { ServerNameReader } from './server-name-reader.ts';
import type { Session, SessionHost } from './session.ts';
import { TcpExchange, type TcpHost } from './tcp-exchange.ts';
import { type PortRoutes, WORKLOAD_PREFIX } from './traffic.ts';

export interface ClientStreamsOptions {
  readonly context: RequestContext;
  readonly connector: Connector;
  readonly connections: TrafficMetrics;
  readonly http2Settings: Http2Settings;
  /** Whether a service no longer comes through this waypoint: its clients shall make new connections. */
  readonly hasLeft: (service: string) => boolean;
  /** A request that could not be understood. */
  readonly refused: (reason: string, client: string, message: string) => void;
}

export class ClientStreams implements TcpHost {
  readonly context: RequestContext;
  readonly connector: Connector;
  readonly connections: TrafficMetrics;
  readonly options: ClientStreamsOptions;
  /** And the service, or workload, each is for. */
  readonly #sessions = new Map<Session, string>();
  isDraining = false;

  constructor(options: ClientStreamsOptions) {
    this.options = options;
    this.context = options.context;
    this.connector = options.connector;
    this.connections = options.connections;
  }

  get count(): number {
    return this.#sessions.size;
  }

  /** Whether anything is left to be sent to any client. */
  get isBusy(): boolean {
    for (const session of this.#sessions.keys()) if (!session.isDone) return true;
    return false;
  }

  serve(channel: Channel, client: Client): void {
    if (client.relay !== undefined) {
      const relay = new OpaqueRelay(channel, this, client, client.relay);
      this.#sessions.set(relay, backendOf(client).service);
      relay.start();
      return;
    }
    const declared = client.service?.ports.find(({ servicePort }) => servicePort === client.port)?.appProtocol ?? 'UNKNOWN';
    if (declared === 'TCP') this.#serveTcp(channel, client);
    else if (declared === 'TLS') this.#serveTls(channel, client);
    else {
      // What is declared HTTP may come in either version, and is never taken for anything else.
      const isHttp = declared !== 'UNKNOWN';
      new Detection(channel, isHttp ? LIMITS.HEAD_TIMEOUT : LIMITS.DETECTION, (protocol) => {
        const isHttp2 = protocol === 'http2' || (protocol === 'other' && (declared === 'HTTP2' || declared === 'GRPC'));
        if (isHttp2) this.#sessions.set(new Http2Session(channel, this.#hostOf(client)), backendOf(client).service);
        else if (isHttp || protocol === 'http1')
          this.#sessions.set(new Http1Session(channel, this.#hostOf(client)), backendOf(client).service);
        else if (protocol === 'tls') this.#serveTls(channel, client);
        else this.#serveTcp(channel, client);
      });
    }
  }

  sessionEnded(session: Session): void {
    this.#sessions.delete(session);
  }

  /** Connections end with the response that is being sent; new ones are asked to go elsewhere after their first. */
  drain(): void {
    this.isDraining = true;
    for (const session of [...this.#sessions.keys()]) session.drain();
  }

  /** The service no longer comes through this waypoint. */
  leave(service: string): void {
    for (const [session, own] of [...this.#sessions]) if (own === service) session.drain();
  }

  /** While draining, once clients find other waypoints: ends connections without a request. */
  endIdle(now: number): void {
    for (const session of [...this.#sessions.keys()]) session.endIdle(now - LIMITS.DRAIN_IDLE);
  }

  abort(): void {
    for (const session of [...this.#sessions.keys()]) session.abort();
  }

  #hostOf(client: Client): SessionHost {
    return new ClientRequests(this, client);
  }

  #serveTcp(channel: Channel, client: Client): void {
    const self = backendOf(client);
    const { plan } = this.context.traffic.routes(self.service, self.port);
    this.#begin(channel, client, matchTcp(plan?.tcp ?? [], client.namespace));
  }

  /** Passed through unopened. */
  #serveTls(channel: Channel, client: Client): void {
    const self = backendOf(client);
    const { plan } = this.context.traffic.routes(self.service, self.port);
    if (plan?.tls === undefined) this.#begin(channel, client, matchTcp(plan?.tcp ?? [], client.namespace));
    else
      new ServerNameReader(channel, (serverName) =>
        this.#begin(
          channel,
          client,
          matchTls(plan.tls ?? [], serverName, client.namespace) ?? matchTcp(plan.tcp ?? [], client.namespace),
          serverName,
        ),
      );
  }

  #begin(channel: Channel, client: Client, rule: Parameters<TcpExchange['start']>[0], serverName = ''): void {
    const exchange = new TcpExchange(channel, this, client, serverName);
    this.#sessions.set(exchange, backendOf(client).service);
    exchange.start(rule, backendOf(client));
  }
}

/** In place of a head that could not be read. */
const UNREADABLE: RequestHead = {
  method: '-',
  path: '-',
  authority: '',
  scheme: 'http',
  headers: [],
  version: 'HTTP/1.1',
  contentLength: 0,
  upgrade: '',
  acceptsTrailers: false,
};

/** What one client's requests are routed by. */
class ClientRequests implements SessionHost {
  readonly http1Limits = HTTP1_LIMITS;
  readonly #streams: ClientStreams;
  readonly #client: Client;
  readonly #service: string;
  readonly #port: number;
  #routes: PortRoutes | undefined;
  #version = -1;

  constructor(streams: ClientStreams, client: Client) {
    this.#streams = streams;
    this.#client = client;
    const { service, port } = backendOf(client);
    this.#service = service;
    this.#port = port;
  }

  get http2Settings(): Http2Settings {
    return this.#streams.options.http2Settings;
  }

  get isDraining(): boolean {
    return this.#streams.isDraining || this.#streams.options.hasLeft(this.#service);
  }

  begin(downstream: Downstream, head: RequestHead): DownstreamEvents {
    const { context } = this.#streams;
    const { traffic } = context;
    if (this.#routes === undefined || this.#version !== traffic.version) {
      this.#version = traffic.version;
      this.#routes = traffic.routes(this.#service, this.#port);
    }
    const exchange = new Exchange(context, this.#client, downstream, head);
    exchange.begin(this.#routes);
    return exchange;
  }

  refused(status: number, reason: string): void {
    const { context, options } = this.#streams;
    options.refused('bad-http', this.#client.address, status === 0 ? reason : `answered with ${status}: ${reason}`);
    if (status === 0) return;
    // An answer like any other to whoever counts answers.
    const record = new ExchangeRecord(UNREADABLE, this.#client, performance.now());
    record.status = status;
    record.details = 'codec_error';
    record.flag('DPE');
    reportExchange(record, context, 0);
  }

  sessionEnded(session: Session): void {
    this.#streams.sessionEnded(session);
  }
}

const backendOf = ({ service, destination, port }: Client): { service: string; port: number } => ({
  service: service === undefined ? `${WORKLOAD_PREFIX}${destination?.uid ?? ''}` : `${service.namespace}/${service.hostname}`,
  port,
});
