import type { EnvoyFilter, WasmPlugin } from './istio-extensions.ts';
import type { FieldProblem } from './kind.ts';

/** The rules of the EnvoyFilter definition beyond its schema. */
export function validateEnvoyFilter(_filter: EnvoyFilter): FieldProblem[] {
  return [];
}

/** The rules of the WasmPlugin definition beyond its schema. */
export function validateWasmPlugin(_plugin: WasmPlugin): FieldProblem[] {
  return [];
}
