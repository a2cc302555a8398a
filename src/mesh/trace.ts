/** One step of a decision: the rule of the ambient contract it applied, and what came of it. Collected only when asked for. */
export interface TraceStep {
  readonly rule: string;
  readonly text: string;
}

export type Trace = TraceStep[];
