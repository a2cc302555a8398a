/** The line of the access log for a connection whose octets were not looked at. */
import type { RequestEntry } from './access-log.ts';
import type { ChannelJoin } from './channel-join.ts';
import type { Client } from './client.ts';

export interface ConnectionOutcome {
  readonly client: Client;
  readonly join: ChannelJoin;
  /** On the clock of `performance.now()`. */
  readonly startedAt: number;
  readonly flags: string;
  readonly failure: string;
  /** Empty where none was chosen. */
  readonly upstreamHost: string;
  readonly upstreamCluster: string;
  readonly serverName: string;
  readonly routeName: string;
}

export const connectionEntry = (outcome: ConnectionOutcome): RequestEntry => {
  const { client, join, startedAt } = outcome;
  return {
    start: performance.timeOrigin + startedAt,
    method: '-',
    path: '-',
    protocol: '-',
    status: 0,
    flags: outcome.flags,
    details: '',
    failure: outcome.failure,
    bytesReceived: join.received,
    bytesSent: join.sent,
    duration: performance.now() - startedAt,
    upstreamTime: -1,
    forwardedFor: '',
    userAgent: '',
    requestId: '',
    authority: '',
    upstreamHost: outcome.upstreamHost,
    upstreamCluster: outcome.upstreamCluster,
    downstreamLocal: client.target,
    downstreamRemote: client.address,
    downstreamPrincipal: client.principal,
    serverName: outcome.serverName,
    routeName: outcome.routeName,
    traceId: '',
  };
};
