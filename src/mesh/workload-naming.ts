/** How objects are described in WDS: names for telemetry, and load balancing from a Service's settings (section 4.6). */
import type { LoadBalancing } from './model.ts';
import type { ObjectMeta } from './object.ts';

type Labels = Readonly<Record<string, string>> | undefined;

/** A label that is set to something. */
const first = (labels: Labels, keys: readonly string[]): string | undefined => keys.map((key) => labels?.[key]).find((value) => value);

export const canonicalName = (labels: Labels, workloadName: string): string =>
  first(labels, ['service.istio.io/canonical-name', 'app.kubernetes.io/name', 'app']) ?? workloadName;

export const canonicalRevision = (labels: Labels): string =>
  first(labels, ['service.istio.io/canonical-revision', 'app.kubernetes.io/version', 'version']) ?? 'latest';

export interface OwnedObject {
  readonly metadata: ObjectMeta & {
    readonly ownerReferences?:
      | readonly { readonly kind: string; readonly name: string; readonly controller?: boolean | undefined }[]
      | undefined;
  };
}

/** The Deployment, CronJob or other controller behind a pod, else the pod's own name. */
export const workloadNameOf = ({ metadata }: OwnedObject): string => {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (owner === undefined) return metadata.name ?? '';
  const hash = metadata.labels?.['pod-template-hash'];
  if (owner.kind === 'ReplicaSet' && hash && owner.name.endsWith(`-${hash}`)) return owner.name.slice(0, -hash.length - 1);
  // CronJobs name their Jobs after the scheduled minute.
  if (owner.kind === 'Job') return owner.name.replace(/-\d{8,10}$/, '');
  return owner.name;
};

export const TRAFFIC_DISTRIBUTION_ANNOTATION = 'networking.istio.io/traffic-distribution';

export interface DistributedService {
  readonly metadata: ObjectMeta;
  readonly spec?:
    | {
        readonly internalTrafficPolicy?: string | undefined;
        readonly trafficDistribution?: string | undefined;
        readonly publishNotReadyAddresses?: boolean | undefined;
      }
    | undefined;
}

const PREFERENCES: Readonly<Record<string, LoadBalancing['routingPreference']>> = {
  PreferClose: ['NETWORK', 'REGION', 'ZONE'],
  PreferSameZone: ['NETWORK', 'REGION', 'ZONE'],
  PreferSameNode: ['NETWORK', 'REGION', 'ZONE', 'SUBZONE', 'NODE'],
};

/** A Service's load balancing: its own field, then its annotation, then its namespace's; undefined when nothing is set. */
export const loadBalancingOf = (
  { metadata, spec }: DistributedService,
  namespace?: { readonly metadata: ObjectMeta },
): LoadBalancing | undefined => {
  const healthPolicy = spec?.publishNotReadyAddresses === true ? 'ALLOW_ALL' : 'ONLY_HEALTHY';
  if (spec?.internalTrafficPolicy === 'Local') return { routingPreference: ['NODE'], mode: 'STRICT', healthPolicy };
  const distribution =
    spec?.trafficDistribution ??
    metadata.annotations?.[TRAFFIC_DISTRIBUTION_ANNOTATION] ??
    namespace?.metadata.annotations?.[TRAFFIC_DISTRIBUTION_ANNOTATION];
  const routingPreference = distribution !== undefined && Object.hasOwn(PREFERENCES, distribution) ? PREFERENCES[distribution] : undefined;
  if (routingPreference !== undefined) return { routingPreference, mode: 'FAILOVER', healthPolicy };
  return healthPolicy === 'ALLOW_ALL' ? { routingPreference: [], mode: 'UNSPECIFIED', healthPolicy } : undefined;
};
