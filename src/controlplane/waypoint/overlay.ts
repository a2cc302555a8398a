import { parse } from 'yaml';
import {
  type ConfigMap,
  DeploymentKind,
  HorizontalPodAutoscalerKind,
  type Kind,
  type KubeObject,
  PodDisruptionBudgetKind,
  ServiceAccountKind,
  ServiceKind,
} from '../../platform/kubernetes/index.ts';
import { fail, ok, type Result } from '../wire.ts';
import type { Infrastructure } from './infrastructure.ts';
import { isDeletion, strategicMerge } from './strategic-merge.ts';

export type GeneratedKey = keyof Infrastructure;

/** Keys of the ConfigMap a Gateway's `spec.infrastructure.parametersRef` names, as in Istio, with the kind each one changes; `T` is erased. */
export const GENERATED_KINDS = {
  serviceAccount: ServiceAccountKind,
  service: ServiceKind,
  deployment: DeploymentKind,
  horizontalPodAutoscaler: HorizontalPodAutoscalerKind,
  podDisruptionBudget: PodDisruptionBudgetKind,
} as unknown as Readonly<Record<GeneratedKey, Kind>>; // each is used with objects of its own key only
export const GENERATED_KEYS = Object.keys(GENERATED_KINDS) as readonly GeneratedKey[]; // the keys of the literal above

export interface GeneratedObject {
  readonly key: GeneratedKey;
  readonly object: KubeObject;
}

export interface GeneratedObjects {
  readonly objects: readonly GeneratedObject[];
  /** An overlay says how many replicas there are; else whoever scales the Deployment does. */
  readonly hasFixedReplicas: boolean;
}

/** Fields of an object an overlay may change; the rest decides what belongs to whom. */
const CHANGEABLE = new Set(['metadata', 'spec', 'automountServiceAccountToken', 'imagePullSecrets', 'apiVersion', 'kind', '$patch']);
const OPTIONAL: ReadonlySet<GeneratedKey> = new Set(['horizontalPodAutoscaler', 'podDisruptionBudget']);
const CHANGEABLE_METADATA = new Set(['labels', 'annotations']);

/**
 * The objects to apply, in order, after the overlays of the class's defaults and of the Gateway's own parameters. Errors name every key that
 * cannot be used. A Deployment whose overlay fixes the number of replicas gets no autoscaler, unless the parameters ask for one.
 */
export function withOverlays(infrastructure: Infrastructure, maps: readonly ConfigMap[]): Result<GeneratedObjects, readonly string[]> {
  const problems: string[] = [];
  const objects = new Map<GeneratedKey, KubeObject | undefined>(GENERATED_KEYS.map((key) => [key, infrastructure[key]]));
  let isFixed = false;
  let hasScaler = false;
  for (const map of maps) {
    for (const [key, text] of Object.entries(map.data ?? {})) {
      const name = `ConfigMap ${map.metadata.namespace}/${map.metadata.name}: ${key}`;
      if (!isGeneratedKey(key)) {
        problems.push(`${name} is not known; use ${GENERATED_KEYS.join(', ')}`);
        continue;
      }
      const patch = read(text);
      const problem = patch.ok ? problemOf(key, patch.value) : patch.error;
      if (!patch.ok || problem !== undefined) {
        problems.push(`${name}: ${problem}`);
        continue;
      }
      if (key === 'deployment' && hasReplicas(patch.value)) isFixed = true;
      if (key === 'horizontalPodAutoscaler') hasScaler = !isDeletion(patch.value);
      // The kinds of the literal above describe what is merged.
      objects.set(
        key,
        isDeletion(patch.value)
          ? undefined
          : (strategicMerge(objects.get(key) ?? infrastructure[key], patch.value, GENERATED_KINDS[key].schema) as KubeObject),
      );
    }
  }
  if (isFixed && !hasScaler) objects.set('horizontalPodAutoscaler', undefined);
  if (problems.length > 0) return fail(problems);
  return ok({
    objects: [...objects].flatMap(([key, object]) => (object === undefined ? [] : [{ key, object }])),
    hasFixedReplicas: isFixed,
  });
}

const isGeneratedKey = (key: string): key is GeneratedKey => Object.hasOwn(GENERATED_KINDS, key);

function read(text: string): Result<Record<string, unknown>, string> {
  try {
    const value: unknown = parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return ok(value as Record<string, unknown>); // checked
    return value === null || value === undefined ? ok({}) : fail('not a YAML object');
  } catch (error) {
    return fail(`not YAML: ${(error as Error).message.split('\n')[0]}`);
  }
}

function problemOf(key: GeneratedKey, patch: Record<string, unknown>): string | undefined {
  if (isDeletion(patch) && !OPTIONAL.has(key)) return 'may not be left out';
  const other = Object.keys(patch).find((field) => !CHANGEABLE.has(field));
  if (other !== undefined) return `${other} may not be changed`;
  const metadata = patch['metadata'];
  if (metadata === undefined || metadata === null) return undefined;
  if (typeof metadata !== 'object') return 'metadata is not an object';
  const field = Object.keys(metadata).find((name) => !CHANGEABLE_METADATA.has(name));
  return field === undefined ? undefined : `metadata.${field} may not be changed`;
}

function hasReplicas(patch: Record<string, unknown>): boolean {
  const spec = patch['spec'];
  return typeof spec === 'object' && spec !== null && typeof (spec as { replicas?: unknown }).replicas === 'number';
}
