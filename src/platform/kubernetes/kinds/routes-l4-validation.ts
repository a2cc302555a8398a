import type { FieldProblem } from './kind.ts';
import type { TcpRoute, TlsRoute } from './routes-l4.ts';

/** The rules of the TCPRoute definition beyond its schema. */
export function validateTcpRoute(_route: TcpRoute): FieldProblem[] {
  return [];
}

/** The rules of the TLSRoute definition beyond its schema. */
export function validateTlsRoute(_route: TlsRoute): FieldProblem[] {
  return [];
}
