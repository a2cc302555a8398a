/** Faults that a VirtualService injects (Envoy's fault filter): delay and abort are drawn apart, the delay comes first. */
import type { Random } from '../load-balance.ts';
import type { Fault } from './plan.ts';

export interface FaultDecision {
  /** Milliseconds to wait before anything else; 0: none. */
  readonly delay: number;
  /** Answer with this instead of forwarding. */
  readonly abort?: { readonly httpStatus?: number; readonly grpcStatus?: number };
}

const NOTHING: FaultDecision = { delay: 0 };

const isHit = (percentage: number, random: Random): boolean => percentage > 0 && random() * 100 < percentage;

export const decideFault = (fault: Fault, random: Random): FaultDecision => {
  const delay = fault.delay !== undefined && isHit(fault.delay.percentage, random) ? fault.delay.duration : 0;
  if (fault.abort === undefined || !isHit(fault.abort.percentage, random)) return delay === 0 ? NOTHING : { delay };
  const { httpStatus, grpcStatus } = fault.abort;
  return {
    delay,
    abort: { ...(httpStatus === undefined ? {} : { httpStatus }), ...(grpcStatus === undefined ? {} : { grpcStatus }) },
  };
};
