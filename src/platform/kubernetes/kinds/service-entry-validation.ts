import { isIP } from 'node:net';
import { exportProblems, hostNameProblem, selectorProblems, subnetProblems, wildcardHostProblem } from './istio-rules.ts';
import { duplicate, type FieldProblem, forbidden, invalid, notSupported, required } from './kind.ts';
import { validateLabels } from './labels.ts';
import type { ServiceEntry, WorkloadEntry, WorkloadEntrySpec } from './service-entry.ts';

const PORT_NAME = /^[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$/;
const PROTOCOLS = ['TCP', 'UDP', 'GRPC', 'GRPC-Web', 'HTTP', 'HTTP_PROXY', 'HTTP2', 'HTTPS', 'TLS', 'Mongo', 'Redis', 'MySQL'];
/** Protocols that name the host they are for. */
const NAMING = ['GRPC', 'GRPC-WEB', 'HTTP', 'HTTP_PROXY', 'HTTP2', 'HTTPS', 'TLS'];
const UNIX = 'unix://';

type Spec = ServiceEntry['spec'];

/** The rules of the ServiceEntry definition and of Istio's webhook beyond the schema. */
export function validateServiceEntry({ spec, metadata }: ServiceEntry): FieldProblem[] {
  if (spec === undefined) return [];
  const problems = [...hostProblems(spec), ...portListProblems(spec), ...resolutionProblems(spec)];
  spec.addresses?.forEach((address, index) => {
    problems.push(...subnetProblems(address, `spec.addresses[${index}]`));
  });
  problems.push(...selectorProblems(spec.workloadSelector?.labels, 'spec.workloadSelector.labels'));
  if (spec.workloadSelector !== undefined && spec.endpoints !== undefined)
    problems.push(forbidden('spec.endpoints', 'cannot be given together with workloadSelector'));
  const ports = new Set((spec.ports ?? []).map((port) => port.name));
  const takesNames = spec.resolution === 'DNS' || spec.resolution === 'DNS_ROUND_ROBIN';
  spec.endpoints?.forEach((endpoint, index) => {
    problems.push(...workloadProblems(endpoint, `spec.endpoints[${index}]`, { ports, takesNames }));
  });
  return [...problems, ...exportProblems(spec.exportTo, metadata.namespace, 'spec.exportTo', { nobody: true })];
}

function hostProblems(spec: Spec): FieldProblem[] {
  const needsNames = (spec.resolution === 'DNS' || spec.resolution === 'DNS_ROUND_ROBIN') && (spec.endpoints ?? []).length === 0;
  return (spec.hosts ?? []).flatMap((host, index) => {
    const at = `spec.hosts[${index}]`;
    if (host === '*') return [invalid(at, host, 'the wildcard host is not allowed')];
    const problem = needsNames ? hostNameProblem(host) : wildcardHostProblem(host);
    if (problem !== undefined) return [invalid(at, host, problem)];
    if (spec.resolution === 'DYNAMIC_DNS' && !host.startsWith('*'))
      return [invalid(at, host, 'must start with a wildcard for resolution DYNAMIC_DNS')];
    return [];
  });
}

function portListProblems(spec: Spec): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const numbers = new Set<number>();
  const ports = spec.ports ?? [];
  ports.forEach(({ name, number, protocol }, index) => {
    const at = `spec.ports[${index}]`;
    if (name !== undefined && !PORT_NAME.test(name)) problems.push(invalid(`${at}.name`, name, 'must be a DNS label'));
    if (numbers.has(number)) problems.push(duplicate(`${at}.number`, number));
    numbers.add(number);
    if (protocol !== undefined && protocol !== '' && !PROTOCOLS.some((known) => known.toLowerCase() === protocol.toLowerCase()))
      problems.push(notSupported(`${at}.protocol`, protocol, PROTOCOLS));
  });
  const namesItsHost = (protocol: string | undefined) => NAMING.includes((protocol ?? '').toUpperCase());
  if ((spec.resolution ?? 'NONE') !== 'NONE' && (spec.hosts ?? []).length > 1 && ports.some((port) => !namesItsHost(port.protocol)))
    problems.push(invalid('spec.hosts', spec.hosts, 'several hosts need ports of HTTP or TLS, which tell hosts apart'));
  if (
    spec.resolution === 'DYNAMIC_DNS' &&
    ports.some((port) => !['HTTP', 'TLS', 'GRPC', 'HTTP2'].includes((port.protocol ?? '').toUpperCase()))
  )
    problems.push(invalid('spec.ports', 'array', 'only HTTP, TLS, GRPC and HTTP2 are supported for resolution DYNAMIC_DNS'));
  return problems;
}

function resolutionProblems(spec: Spec): FieldProblem[] {
  const resolution = spec.resolution ?? 'NONE';
  const endpoints = spec.endpoints ?? [];
  const addresses = spec.addresses ?? [];
  const problems: FieldProblem[] = [];
  if (addresses.some((address) => address.includes('/')) && resolution !== 'NONE' && resolution !== 'STATIC')
    problems.push(invalid('spec.addresses', addresses, 'CIDR prefixes are allowed only for resolution NONE and STATIC'));
  if (endpoints.length > 0 && (resolution === 'NONE' || resolution === 'DYNAMIC_DNS'))
    problems.push(forbidden('spec.endpoints', `cannot be given for resolution ${resolution}`));
  if (addresses.length > 0 && resolution === 'DYNAMIC_DNS')
    problems.push(forbidden('spec.addresses', 'cannot be given for resolution DYNAMIC_DNS'));
  if (endpoints.length > 1 && resolution === 'DNS_ROUND_ROBIN')
    problems.push(invalid('spec.endpoints', 'array', 'there can be at most one endpoint for resolution DNS_ROUND_ROBIN'));
  return problems;
}

/** The rules of the WorkloadEntry definition and of Istio's webhook beyond the schema. */
export function validateWorkloadEntry({ spec }: WorkloadEntry): FieldProblem[] {
  return spec === undefined ? [] : workloadProblems(spec, 'spec', { takesNames: true });
}

function workloadProblems(
  workload: WorkloadEntrySpec,
  field: string,
  context: { readonly ports?: ReadonlySet<string>; readonly takesNames: boolean },
): FieldProblem[] {
  const { address = '', network = '', ports = {} } = workload;
  const problems: FieldProblem[] = [];
  const at = `${field}.address`;
  if (address === '') {
    if (network === '') problems.push(required(at, 'address or network must be given'));
  } else if (address.startsWith(UNIX)) {
    const path = address.slice(UNIX.length);
    if (!/^[/@]/.test(path)) problems.push(invalid(at, address, 'a socket must be an absolute path or an abstract name'));
    if (path.endsWith('/')) problems.push(invalid(at, address, 'a socket cannot be a directory'));
    if (Object.keys(ports).length > 0) problems.push(forbidden(`${field}.ports`, 'a socket has no ports'));
  } else if (isIP(address) === 0) {
    if (!context.takesNames) problems.push(invalid(at, address, 'must be an IP address'));
    else if (hostNameProblem(address) !== undefined) problems.push(invalid(at, address, 'must be an IP address or a host name'));
  }
  for (const name of Object.keys(ports)) {
    if (!PORT_NAME.test(name)) problems.push(invalid(`${field}.ports`, name, 'must be a DNS label'));
    if (context.ports?.has(name) === false) problems.push(invalid(`${field}.ports`, name, 'must be a port of the service'));
  }
  return [...problems, ...validateLabels(workload.labels, `${field}.labels`)];
}
