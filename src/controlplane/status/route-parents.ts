import type { GatewayCondition, ParentReference, RouteParentStatus } from '../../platform/kubernetes/index.ts';
import { stamped } from '../waypoint/gateway-status.ts';
import { MESH_CONTROLLER } from '../waypoint/names.ts';

export interface WantedParent {
  readonly parentRef: ParentReference;
  readonly conditions: readonly Pick<GatewayCondition, 'type' | 'status' | 'reason' | 'message'>[];
}

/** The API allows this many parents in a status, and this long a message. */
const PARENTS_LIMIT = 32;
const MESSAGE_LIMIT = 32_768;
const CONDITIONS_LIMIT = 8;

/**
 * `status.parents` with our entries brought up to date: those of other controllers stay as they are, ours for parents that are gone go.
 * Undefined when the object already says so.
 */
export function mergeParents(
  current: readonly RouteParentStatus[] | undefined,
  wanted: readonly WantedParent[],
  generation: number,
  now: string,
): RouteParentStatus[] | undefined {
  const before = current ?? [];
  const foreign = before.filter(({ controllerName }) => controllerName !== MESH_CONTROLLER);
  const old = before.filter(({ controllerName }) => controllerName === MESH_CONTROLLER);
  const ours = wanted.slice(0, Math.max(0, PARENTS_LIMIT - foreign.length)).map(({ parentRef, conditions }): RouteParentStatus => {
    const previous = old.find((entry) => Bun.deepEquals(entry.parentRef, parentRef))?.conditions;
    const shortened = conditions
      .slice(0, CONDITIONS_LIMIT)
      .map((condition) => ({ ...condition, message: condition.message.slice(0, MESSAGE_LIMIT) }));
    // Ours alone: a condition we no longer have is not kept.
    const known = previous?.filter(({ type }) => shortened.some((condition) => condition.type === type));
    return { parentRef, controllerName: MESH_CONTROLLER, conditions: stamped(shortened, known, generation, now) };
  });
  const merged = [...foreign, ...ours];
  return Bun.deepEquals(sorted(merged), sorted(before)) ? undefined : merged;
}

const sorted = (parents: readonly RouteParentStatus[]): readonly RouteParentStatus[] =>
  [...parents].sort((a, b) => (JSON.stringify([a.controllerName, a.parentRef]) < JSON.stringify([b.controllerName, b.parentRef]) ? -1 : 1));
