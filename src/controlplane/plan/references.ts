import type { HttpTable, Mirror, PortPlan, ServicePlan, WeightedBackend } from '../wire.ts';

/** The services a plan may send requests to, other than its own. */
export function referencesOf(plan: ServicePlan): string[] {
  const found = new Set<string>();
  for (const port of plan.ports) addPort(port, found);
  found.delete(plan.service);
  return [...found].sort();
}

function addPort({ http, consumers = [], tls = [], tcp = [] }: PortPlan, into: Set<string>): void {
  if (http !== undefined) addTable(http, into);
  for (const consumer of consumers) addTable(consumer.http, into);
  for (const { backends } of [...tls, ...tcp]) addBackends(backends, into);
}

function addTable({ actions }: HttpTable, into: Set<string>): void {
  for (const { backends, mirrors } of actions) {
    addBackends(backends, into);
    addMirrors(mirrors, into);
  }
}

function addBackends(backends: readonly WeightedBackend[], into: Set<string>): void {
  for (const { service, mirrors, invalid } of backends) {
    if (invalid === undefined) into.add(service);
    addMirrors(mirrors, into);
  }
}

function addMirrors(mirrors: readonly Mirror[] = [], into: Set<string>): void {
  for (const { backend } of mirrors) into.add(backend.service);
}
