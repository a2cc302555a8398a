import type { FieldProblem } from './kind.ts';
import type { VirtualService } from './virtual-service.ts';

/** What Istio's webhook refuses in a VirtualService. */
export function validateVirtualService(_service: VirtualService): FieldProblem[] {
  return [];
}
