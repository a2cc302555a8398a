import type { FieldProblem } from './kind.ts';
import type { Telemetry } from './telemetry.ts';

/** The rules of the Telemetry definition beyond its schema. */
export function validateTelemetry(_telemetry: Telemetry): FieldProblem[] {
  return [];
}
