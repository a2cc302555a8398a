/** What every pod of a node shares. */
import type { KubeClient } from '../../platform/kubernetes/index.ts';
import type { Logger } from '../../platform/telemetry/index.ts';
import type { EventRecorder } from '../events.ts';
import type { AddressPool } from './ipam.ts';
import type { VolumeSources } from './volumes.ts';

export interface NodeContext {
  readonly client: KubeClient;
  readonly nodeName: string;
  readonly nodeIP: string;
  readonly gateway: string;
  /** Private to the cluster, on a tmpfs. */
  readonly runDir: string;
  readonly hostDir: string;
  /** On disk: logs and emptyDir. */
  readonly podsDir: string;
  readonly addresses: AddressPool;
  readonly sources: VolumeSources;
  readonly events: EventRecorder;
  readonly log: Logger;
  /** Environment of helper programs and the base of every container's. */
  readonly env: Readonly<Record<string, string>>;
  readonly containerEnv: Readonly<Record<string, string>>;
  images(): Readonly<Record<string, string>>;
}
