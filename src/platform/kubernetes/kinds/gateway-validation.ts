import type { Gateway, GatewayClass } from './gateway.ts';
import { type FieldProblem, invalid } from './kind.ts';

/** The rules of the GatewayClass definition beyond its schema. */
export function validateGatewayClass(gatewayClass: GatewayClass, old?: GatewayClass): FieldProblem[] {
  const { controllerName } = gatewayClass.spec;
  return old === undefined || old.spec.controllerName === controllerName
    ? []
    : [invalid('spec.controllerName', controllerName, 'Value is immutable')];
}

/** The rules of the Gateway definition beyond its schema. */
export function validateGateway(_gateway: Gateway): FieldProblem[] {
  return [];
}
