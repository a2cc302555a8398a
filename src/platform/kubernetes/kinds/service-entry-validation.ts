import type { FieldProblem } from './kind.ts';
import type { ServiceEntry, WorkloadEntry } from './service-entry.ts';

/** The rules of the ServiceEntry definition and of Istio's webhook beyond the schema. */
export function validateServiceEntry(_entry: ServiceEntry): FieldProblem[] {
  return [];
}

/** The rules of the WorkloadEntry definition and of Istio's webhook beyond the schema. */
export function validateWorkloadEntry(_entry: WorkloadEntry): FieldProblem[] {
  return [];
}
