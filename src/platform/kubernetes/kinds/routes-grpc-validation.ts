import type { FieldProblem } from './kind.ts';
import type { GrpcRoute } from './routes-grpc.ts';

/** The rules of the GRPCRoute definition beyond its schema. */
export function validateGrpcRoute(_route: GrpcRoute): FieldProblem[] {
  return [];
}
