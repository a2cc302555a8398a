import { durationProblems, targetProblems } from './istio-rules.ts';
import { type FieldProblem, forbidden, required } from './kind.ts';
import type { Telemetry } from './telemetry.ts';

/** The rules of the Telemetry definition and of Istio's webhook beyond the schema. */
export function validateTelemetry({ spec }: Telemetry): FieldProblem[] {
  const problems = targetProblems(spec);
  spec?.metrics?.forEach((metrics, index) => {
    const at = `spec.metrics[${index}]`;
    problems.push(...durationProblems(metrics.reportingInterval, `${at}.reportingInterval`));
    metrics.overrides?.forEach((override, position) => {
      for (const [name, tag] of Object.entries(override.tagOverrides ?? {})) {
        const where = `${at}.overrides[${position}].tagOverrides[${name}].value`;
        const isUpsert = (tag.operation ?? 'UPSERT') === 'UPSERT';
        if (isUpsert && (tag.value ?? '') === '') problems.push(required(where, 'must be set when operation is UPSERT'));
        if (!isUpsert && (tag.value ?? '') !== '') problems.push(forbidden(where, 'must not be set when operation is REMOVE'));
      }
    });
  });
  return problems;
}
