/**
 * Passive health (Envoy's outlier detection as Istio uses it): an endpoint that fails several times in a row takes no traffic for a while, longer each time.
 * Nothing runs by itself: the caller reports outcomes and lets time pass.
 */
import type { EndpointState } from './endpoint-state.ts';
import type { OutlierPolicy } from './plan.ts';

/** What came of a request: the HTTP status, or why there was none. `success` is for what has no status. */
export type Outcome = number | 'success' | 'connect-failure' | 'reset' | 'timeout';

/** Envoy's `max_ejection_time`, milliseconds. */
const MAX_EJECTION_TIME = 300_000;

/** As a status, for whoever does not tell local failures from the endpoint's own. */
const statusOf = (outcome: Outcome): number => {
  if (typeof outcome === 'number') return outcome;
  return outcome === 'success' ? 200 : outcome === 'timeout' ? 504 : 503;
};

const isReached = (count: number, threshold: number | undefined): boolean => threshold !== undefined && threshold > 0 && count >= threshold;

export class OutlierDetector {
  readonly #policy: OutlierPolicy;
  /** Those ejected, or that were and are not forgiven yet. */
  readonly #marked = new Set<EndpointState>();
  #nextSweep = Number.POSITIVE_INFINITY;

  constructor(policy: OutlierPolicy) {
    this.#policy = policy;
  }

  /** True when the endpoint was ejected by this. `total` is the number of endpoints of the cluster. */
  report(endpoint: EndpointState, outcome: Outcome, now: number, total: number): boolean {
    if (endpoint.isEjected || endpoint.isGone) return false;
    return this.#isOutlier(endpoint, outcome) && this.#eject(endpoint, now, total);
  }

  /** Puts back whose time is over; true when any was. Looks once per interval. */
  advance(now: number): boolean {
    if (now < this.#nextSweep) return false;
    this.#nextSweep = now + this.#policy.interval;
    let isChanged = false;
    for (const endpoint of this.#marked) {
      if (endpoint.isGone) this.#marked.delete(endpoint);
      else if (endpoint.isEjected) {
        if (now < endpoint.ejectedUntil) continue;
        endpoint.isEjected = false;
        endpoint.ejectedUntil = now;
        endpoint.serverErrors = endpoint.gatewayErrors = endpoint.localFailures = 0;
        isChanged = true;
      } else if (now - endpoint.ejectedUntil >= this.#policy.interval && --endpoint.ejections <= 0) this.#marked.delete(endpoint);
    }
    if (this.#marked.size === 0) this.#nextSweep = Number.POSITIVE_INFINITY;
    return isChanged;
  }

  #isOutlier(endpoint: EndpointState, outcome: Outcome): boolean {
    const { splitExternalLocalOrigin, consecutiveLocalOriginFailures, consecutive5xx, consecutiveGatewayErrors } = this.#policy;
    if (splitExternalLocalOrigin && typeof outcome !== 'number' && outcome !== 'success') {
      endpoint.localFailures++;
      return isReached(endpoint.localFailures, consecutiveLocalOriginFailures);
    }
    endpoint.localFailures = 0;
    const status = statusOf(outcome);
    endpoint.serverErrors = status >= 500 ? endpoint.serverErrors + 1 : 0;
    endpoint.gatewayErrors = status >= 502 && status <= 504 ? endpoint.gatewayErrors + 1 : 0;
    return isReached(endpoint.serverErrors, consecutive5xx) || isReached(endpoint.gatewayErrors, consecutiveGatewayErrors);
  }

  #eject(endpoint: EndpointState, now: number, total: number): boolean {
    let ejected = 1;
    for (const other of this.#marked) if (other.isEjected && !other.isGone) ejected++;
    if ((ejected / total) * 100 > this.#policy.maxEjectionPercent) return false;
    const { baseEjectionTime, interval } = this.#policy;
    endpoint.isEjected = true;
    endpoint.ejections++;
    endpoint.ejectedUntil = now + Math.min(baseEjectionTime * endpoint.ejections, Math.max(MAX_EJECTION_TIME, baseEjectionTime));
    if (this.#marked.size === 0) this.#nextSweep = now + interval;
    this.#marked.add(endpoint);
    return true;
  }
}
