/** VirtualService and DestinationRule → route plans: one object at a time, then put together for each service. */

export {
  type CompiledDestinationRule,
  type CompiledSubset,
  compileDestinationRule,
  destinationRulesFor,
} from './destination-rule.ts';
export type { DestinationRuleObject } from './destination-rule-object.ts';
export {
  compareSources,
  fullHost,
  hostMatches,
  type IstioLookup,
  type IstioSource,
  type RoutedService,
  sourceText,
} from './lookup.ts';
export { acceptance, type ConfigProblem, problemText, type SourcedProblem } from './problem.ts';
export { type IstioServicePlan, istioPlanOf } from './service-plan.ts';
export { type CompiledVirtualService, compileVirtualService, type PortFragment } from './virtual-service.ts';
export type { VirtualServiceObject } from './virtual-service-object.ts';
