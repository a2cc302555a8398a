/**
 * How traffic spreads over groups of endpoints when some are ejected (Envoy: priority levels, locality weights, overprovisioning, panic). A group takes its
 * whole share until more than two sevenths of it are out.
 */
import type { EndpointState } from './endpoint-state.ts';
import type { EndpointGroup } from './locality.ts';

/** Envoy's overprovisioning factor, 140 per cent. */
const OVERPROVISIONING = 1.4;

export interface LoadShare {
  /** Of 1, over all shares. */
  readonly share: number;
  /** Whom the share is drawn from. */
  readonly endpoints: readonly EndpointState[];
}

const takesTraffic = ({ isEjected, weight }: EndpointState): boolean => !isEjected && weight > 0;
const hasWeight = ({ weight }: EndpointState): boolean => weight > 0;

interface Level {
  readonly groups: readonly EndpointGroup[];
  readonly healthy: number;
  readonly total: number;
}

const levelsOf = (groups: readonly EndpointGroup[]): Level[] => {
  const levels: { groups: EndpointGroup[]; healthy: number; total: number }[] = [];
  for (const group of groups) {
    levels[group.priority] ??= { groups: [], healthy: 0, total: 0 };
    const level = levels[group.priority]!;
    level.groups.push(group);
    level.healthy += group.endpoints.filter(takesTraffic).length;
    level.total += group.endpoints.filter(hasWeight).length;
  }
  return levels.filter(({ total }) => total > 0);
};

const capacity = (healthy: number, total: number): number => (total === 0 ? 0 : Math.min(1, (healthy / total) * OVERPROVISIONING));

const sharesOfLevel = ({ groups, healthy, total }: Level, share: number, panicPercent: number): LoadShare[] => {
  const isPanic = (healthy / total) * 100 < panicPercent;
  const parts = groups.map(({ weight, endpoints }) => {
    const usable = endpoints.filter(isPanic ? hasWeight : takesTraffic);
    return { weight: usable.length === 0 ? 0 : weight * capacity(usable.length, endpoints.filter(hasWeight).length), endpoints: usable };
  });
  const sum = parts.reduce((all, { weight }) => all + weight, 0);
  return parts.filter(({ weight }) => weight > 0).map(({ weight, endpoints }) => ({ share: (share * weight) / sum, endpoints }));
};

/**
 * `panicPercent`: a priority with fewer healthy endpoints than this, while all priorities together cannot take the traffic, uses all it has; 0 never does,
 * and nothing healthy then means no share at all.
 */
export const loadShares = (groups: readonly EndpointGroup[], panicPercent: number): readonly LoadShare[] => {
  const levels = levelsOf(groups);
  const capacities = levels.map(({ healthy, total }) => capacity(healthy, total));
  const sum = capacities.reduce((all, one) => all + one, 0);
  if (sum === 0) return panicPercent > 0 && levels[0] !== undefined ? sharesOfLevel(levels[0], 1, panicPercent) : [];
  const isEnough = sum >= 1;
  const shares: LoadShare[] = [];
  let left = 1;
  for (const [i, level] of levels.entries()) {
    const share = Math.min(left, isEnough ? capacities[i]! : capacities[i]! / sum);
    left -= share;
    if (share > 0) shares.push(...sharesOfLevel(level, share, isEnough ? 0 : panicPercent));
  }
  return shares;
};
