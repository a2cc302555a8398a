import type { FieldProblem } from './kind.ts';
import type { HttpRoute } from './routes-http.ts';

/** The rules of the HTTPRoute definition beyond its schema. */
export function validateHttpRoute(_route: HttpRoute): FieldProblem[] {
  return [];
}
