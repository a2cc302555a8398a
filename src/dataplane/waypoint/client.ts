/** Who is at the other end of a client's stream, and what it asked to reach. Made once per stream, used by all its requests. */
import type { EastWestTarget, Identity, Service, Workload } from '../../mesh/index.ts';

export interface Client {
  /** As the mesh knows it; undefined for one it does not know. */
  readonly workload: Workload | undefined;
  readonly identity: Identity;
  /** SPIFFE URI of the certificate. */
  readonly principal: string;
  /** Of that identity: what consumer routes go by. */
  readonly namespace: string;
  readonly ip: string;
  /** `ip:port` of the client, for the log. */
  readonly address: string;
  /** What was addressed, `ip:port`. */
  readonly target: string;
  /** Undefined when a workload was addressed. */
  readonly service: Service | undefined;
  /** The workload that was addressed, when it was no service. */
  readonly destination: Workload | undefined;
  /** At an east-west gateway: where the stream goes unread. */
  readonly relay?: EastWestTarget | undefined;
  /** Of the service, or of the workload itself. */
  readonly port: number;
}
