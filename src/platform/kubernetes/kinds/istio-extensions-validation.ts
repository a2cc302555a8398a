import type { EnvoyFilter, WasmPlugin } from './istio-extensions.ts';
import { selectorProblems, targetProblems } from './istio-rules.ts';
import { type FieldProblem, forbidden, invalid, required } from './kind.ts';

/** The rules of the EnvoyFilter definition beyond its schema. What the patches say to Envoy is not looked at. */
export function validateEnvoyFilter({ spec }: EnvoyFilter): FieldProblem[] {
  if (spec === undefined) return [];
  const { workloadSelector, targetRefs } = spec;
  const problems = targetProblems(targetRefs === undefined ? {} : { targetRefs });
  if (workloadSelector !== undefined && targetRefs !== undefined)
    problems.push(forbidden('spec', 'only one of targetRefs or workloadSelector can be set'));
  problems.push(...selectorProblems(workloadSelector?.labels, 'spec.workloadSelector.labels'));
  spec.configPatches?.forEach((patch, index) => {
    if ((patch.applyTo ?? 'INVALID') === 'INVALID') problems.push(required(`spec.configPatches[${index}].applyTo`));
    if (patch.patch === undefined) problems.push(required(`spec.configPatches[${index}].patch`));
  });
  return problems;
}

const SCHEMES = ['file:', 'http:', 'https:', 'oci:'];

/** The rules of the WasmPlugin definition beyond its schema. */
export function validateWasmPlugin({ spec }: WasmPlugin): FieldProblem[] {
  if (spec === undefined) return [];
  const problems = targetProblems(spec);
  const url = spec.url ?? '';
  const scheme = /^[a-z][a-z0-9+.-]*:(?=\/\/)/i.exec(url)?.[0].toLowerCase();
  if (!URL.canParse(scheme === undefined ? `https://${url}` : url)) problems.push(invalid('spec.url', url, 'must be a URL'));
  else if (scheme !== undefined && !SCHEMES.includes(scheme))
    problems.push(invalid('spec.url', url, 'the scheme must be one of http, https, file, oci'));
  spec.vmConfig?.env?.forEach((variable, index) => {
    if (variable.valueFrom === 'HOST' && (variable.value ?? '') !== '')
      problems.push(forbidden(`spec.vmConfig.env[${index}].value`, 'may only be set when valueFrom is INLINE'));
  });
  return problems;
}
