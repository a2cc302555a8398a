import type { FieldProblem } from './kind.ts';
import type { RequestAuthentication } from './request-authentication.ts';

/** The rules of the RequestAuthentication definition beyond its schema. */
export function validateRequestAuthentication(_authentication: RequestAuthentication): FieldProblem[] {
  return [];
}
