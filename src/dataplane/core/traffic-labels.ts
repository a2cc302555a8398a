/** The labels of Istio's standard metrics (ambient contract 8.1, 8.2), the same for connections and requests. */
import { type Service, type Workload, workloadSpiffeId } from '../../mesh/index.ts';
import type { Labels } from '../../platform/telemetry/index.ts';
import type { Baggage } from '../../protocol/index.ts';

export type Reporter = 'source' | 'destination' | 'waypoint';

/** Who a connection or a query comes from. */
export const SOURCE_LABEL_NAMES = [
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'source_cluster',
] as const;

export const LABEL_NAMES = [
  'reporter',
  ...SOURCE_LABEL_NAMES,
  'destination_service',
  'destination_service_namespace',
  'destination_service_name',
  'destination_workload',
  'destination_canonical_service',
  'destination_canonical_revision',
  'destination_workload_namespace',
  'destination_principal',
  'destination_app',
  'destination_version',
  'destination_cluster',
  'request_protocol',
  'response_flags',
  'connection_security_policy',
  'source_region',
  'source_zone',
  'destination_region',
  'destination_zone',
] as const;

/** Who is at the ends of a connection, as far as it is known. */
export interface TrafficParties {
  readonly reporter: Reporter;
  readonly source: Workload | undefined;
  /** What the client says of itself; used where the workload is not known. */
  readonly sourceBaggage?: Baggage | undefined;
  /** From the certificate; else the source workload's own. */
  readonly sourcePrincipal?: string | undefined;
  readonly destination: Workload | undefined;
  /** What the server says of itself, before what is known of the workload that was dialled. */
  readonly destinationBaggage?: Baggage | undefined;
  /** From its certificate; else the destination workload's own. */
  readonly destinationPrincipal?: string | undefined;
  readonly service: Service | undefined;
  readonly isMutualTls: boolean;
}

const UNKNOWN = 'unknown';
const known = (value: string | undefined): string => (value === undefined || value === '' ? UNKNOWN : value);

/** The identity a known workload has, also where the connection did not prove it: `connection_security_policy` tells which. */
const principalOf = (workload: Workload | undefined): string => (workload ? workloadSpiffeId(workload) : UNKNOWN);

/** Every label of {@link SOURCE_LABEL_NAMES}. `said`: what the client says of itself, where the workload is not known. */
export function sourceLabels(source: Workload | undefined, said?: Baggage, provenPrincipal?: string): Labels {
  const app = known(source?.canonicalName ?? said?.serviceName);
  const version = known(source?.canonicalRevision ?? said?.serviceVersion);
  return {
    source_workload: known(source?.workloadName ?? said?.workloadName),
    source_canonical_service: app,
    source_canonical_revision: version,
    source_workload_namespace: known(source?.namespace ?? said?.namespace),
    source_principal: provenPrincipal ?? principalOf(source),
    source_app: app,
    source_version: version,
    source_cluster: known(source?.clusterId ?? said?.clusterId),
  };
}

/** Every label of {@link LABEL_NAMES}, for a TCP connection that went well; requests put their own over some. */
export function labelsOf(parties: TrafficParties): Labels {
  const { source, destination, service, isMutualTls } = parties;
  const said = source === undefined ? parties.sourceBaggage : undefined;
  const answered = parties.destinationBaggage;
  const destinationApp = known(answered?.serviceName ?? destination?.canonicalName);
  const destinationVersion = known(answered?.serviceVersion ?? destination?.canonicalRevision);
  return {
    reporter: parties.reporter,
    ...sourceLabels(source, said, parties.sourcePrincipal),
    destination_service: known(service?.hostname),
    destination_service_namespace: known(service?.namespace),
    destination_service_name: known(service?.name),
    destination_workload: known(answered?.workloadName ?? destination?.workloadName),
    destination_canonical_service: destinationApp,
    destination_canonical_revision: destinationVersion,
    destination_workload_namespace: known(answered?.namespace ?? destination?.namespace),
    destination_principal: parties.destinationPrincipal ?? principalOf(destination),
    destination_app: destinationApp,
    destination_version: destinationVersion,
    destination_cluster: known(answered?.clusterId ?? destination?.clusterId),
    request_protocol: 'tcp',
    response_flags: '-',
    connection_security_policy: isMutualTls ? 'mutual_tls' : UNKNOWN,
    source_region: known(source?.locality.region ?? said?.region),
    source_zone: known(source?.locality.zone ?? said?.zone),
    destination_region: known(answered?.region ?? destination?.locality.region),
    destination_zone: known(answered?.zone ?? destination?.locality.zone),
  };
}
