/** One proxied connection as log, metrics and admin interface see it, from its opening to its one end. */
import type { Service, Workload } from '../../mesh/index.ts';
import { type Logger, type Raw, raw } from '../../platform/telemetry/index.ts';
import type { Baggage } from '../../protocol/index.ts';
import { ByteCounts } from '../core/byte-counts.ts';
import type { ConnectionEnd } from '../core/end-reason.ts';
import type { TrafficParties } from '../core/traffic-labels.ts';
import type { TrafficMetrics, TrafficSeries } from '../core/traffic-metrics.ts';

export type Direction = 'inbound' | 'outbound';

export interface ConnectionFacts {
  readonly direction: Direction;
  readonly sourceAddress: string;
  readonly source: Workload | undefined;
  readonly sourceBaggage?: Baggage | undefined;
  /** SPIFFE URI; only of mutually authenticated connections. */
  readonly sourceIdentity?: string | undefined;
  /** What is dialled, `ip:port`. */
  readonly destinationAddress: string;
  /** The authority inside the tunnel. */
  readonly hboneAddress?: string | undefined;
  readonly destination: Workload | undefined;
  /** What the other end says of itself, where that is not the workload that was dialled. */
  readonly destinationBaggage?: Baggage | undefined;
  readonly destinationIdentity?: string | undefined;
  readonly service: Service | undefined;
  readonly isMutualTls: boolean;
  /** As `/config_dump` names it. */
  readonly protocol: 'HBONE' | 'TCP' | 'DOUBLEHBONE';
  /** What the application asked for. */
  readonly originalDestination: string;
}

/** Something whose connections `/config_dump` lists. */
export class ConnectionTable {
  readonly open = new Set<ConnectionRecord>();
}

export class ConnectionRecord {
  readonly facts: ConnectionFacts;
  readonly counts: ByteCounts;
  readonly #started = performance.now();
  readonly #series: TrafficSeries;
  readonly #access: Logger;
  readonly #table: ConnectionTable;
  #ended = false;
  /** The bytes pass by the tunnel that proved who the two are (`same-node.ts`). */
  isJoined = false;

  constructor(facts: ConnectionFacts, metrics: TrafficMetrics, access: Logger, table: ConnectionTable) {
    this.facts = facts;
    this.#access = access;
    this.#table = table;
    const parties: TrafficParties = {
      reporter: facts.direction === 'outbound' ? 'source' : 'destination',
      source: facts.source,
      sourceBaggage: facts.sourceBaggage,
      sourcePrincipal: facts.sourceIdentity,
      destination: facts.destination,
      destinationBaggage: facts.destinationBaggage,
      destinationPrincipal: facts.destinationBaggage && facts.destinationIdentity,
      service: facts.service,
      isMutualTls: facts.isMutualTls,
    };
    this.#series = metrics.series(parties);
    this.counts = new ByteCounts(this.#series.received, this.#series.sent);
    this.#series.opened.value++;
    table.open.add(this);
    if (access.enabled('debug')) access.debug('connection opened', this.#fields());
  }

  end(end: ConnectionEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#table.open.delete(this);
    this.#series.close(end.flag);
    const failed = end.message !== '';
    if (!this.#access.enabled(failed ? 'error' : 'info')) return;
    const { request, response } = this.counts;
    const isOutbound = this.facts.direction === 'outbound';
    const fields = this.#fields();
    fields['bytes_sent'] = isOutbound ? request : response;
    fields['bytes_recv'] = isOutbound ? response : request;
    fields['duration'] = `${Math.round(performance.now() - this.#started)}ms`;
    if (failed) fields['error'] = end.message;
    if (this.isJoined) fields['joined'] = 'true';
    if (failed) this.#access.error('connection complete', fields);
    else this.#access.info('connection complete', fields);
  }

  #fields(): Record<string, string | number | Raw | undefined> {
    const { facts } = this;
    const { source, destination, sourceBaggage, destinationBaggage, isMutualTls } = facts;
    return {
      'src.addr': raw(facts.sourceAddress),
      'src.workload': source?.name ?? sourceBaggage?.workloadName,
      'src.namespace': source?.namespace ?? sourceBaggage?.namespace,
      'src.identity': isMutualTls ? facts.sourceIdentity : undefined,
      'src.cluster': source?.clusterId ?? sourceBaggage?.clusterId,
      'dst.addr': raw(facts.destinationAddress),
      'dst.hbone_addr': facts.hboneAddress === undefined ? undefined : raw(facts.hboneAddress),
      'dst.service': facts.service?.hostname,
      'dst.workload': destinationBaggage?.workloadName ?? destination?.name,
      'dst.namespace': destinationBaggage?.namespace ?? destination?.namespace,
      'dst.identity': isMutualTls ? facts.destinationIdentity : undefined,
      'dst.cluster': destinationBaggage?.clusterId ?? destination?.clusterId,
      direction: facts.direction,
    };
  }
}

/** A connection that ended before anybody could be named: only in the log (and the gauge of sockets). */
export function logEarlyDeny(access: Logger, direction: Direction, sourceAddress: string, destinationAddress: string, error: string): void {
  if (!access.enabled('warn')) return;
  access.warn('connection failed', { 'src.addr': raw(sourceAddress), 'dst.addr': raw(destinationAddress), direction, error });
}
