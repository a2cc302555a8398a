import { isIP } from 'node:net';
import type { Gateway, GatewayClass, GatewayListener } from './gateway.ts';
import { broken } from './gateway-rules.ts';
import { type FieldProblem, invalid } from './kind.ts';
import { qualifiedNameProblem } from './labels.ts';

/** The rules of the GatewayClass definition beyond its schema. */
export function validateGatewayClass(gatewayClass: GatewayClass, old?: GatewayClass): FieldProblem[] {
  const controllerName = gatewayClass.spec?.controllerName;
  return old === undefined || old.spec.controllerName === controllerName
    ? []
    : [invalid('spec.controllerName', controllerName, 'Value is immutable')];
}

/** The rules of the Gateway definition beyond its schema. */
export function validateGateway({ spec, status }: Gateway): FieldProblem[] {
  const listeners = spec?.listeners ?? [];
  const addresses = spec?.addresses ?? [];
  const problems = listenerProblems(listeners);
  addresses.forEach((address, index) => {
    problems.push(...addressProblems(address, `spec.addresses[${index}]`));
  });
  for (const type of ['IPAddress', 'Hostname']) {
    const values = addresses.flatMap((address) => (address.type === type && address.value !== undefined ? [address.value] : []));
    if (new Set(values).size < values.length) problems.push(broken('spec.addresses', addresses, `${type} values must be unique`));
  }
  status?.addresses?.forEach((address, index) => {
    problems.push(...addressProblems(address, `status.addresses[${index}]`));
  });
  for (const name of ['labels', 'annotations'] as const) {
    const at = `spec.infrastructure.${name}`;
    for (const key of Object.keys(spec?.infrastructure?.[name] ?? {})) {
      const problem = qualifiedNameProblem(key);
      if (problem !== undefined) problems.push(invalid(at, key, problem));
    }
  }
  return problems;
}

const WITHOUT_TLS = ['HTTP', 'TCP', 'UDP'];
const WITHOUT_HOSTNAME = ['TCP', 'UDP'];

function listenerProblems(listeners: readonly GatewayListener[]): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const field = 'spec.listeners';
  const add = (detail: string) => problems.push(broken(field, listeners, detail));
  const places = new Set<string>();
  listeners.forEach(({ protocol, tls, hostname, port }, index) => {
    if (tls !== undefined && WITHOUT_TLS.includes(protocol)) add(`tls must not be given for protocol ${protocol}`);
    if (protocol === 'HTTPS' && tls !== undefined && tls.mode !== 'Terminate') add('tls mode must be Terminate for protocol HTTPS');
    if (protocol === 'TLS' && tls?.mode === undefined) add('tls mode must be given for protocol TLS');
    if (hostname !== undefined && WITHOUT_HOSTNAME.includes(protocol)) add(`hostname must not be given for protocol ${protocol}`);
    if (tls?.mode === 'Terminate' && (tls.certificateRefs ?? []).length === 0 && Object.keys(tls.options ?? {}).length === 0)
      problems.push(broken(`${field}[${index}].tls`, tls, 'certificateRefs or options must be given when mode is Terminate'));
    places.add(JSON.stringify([port, protocol, hostname ?? null]));
  });
  if (places.size < listeners.length) add('the combination of port, protocol and hostname must be unique for each listener');
  return problems;
}

const HOSTNAME = /^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

function addressProblems(address: { readonly type?: string; readonly value?: string }, field: string): FieldProblem[] {
  if (address.value === undefined) return [];
  if (address.type === 'IPAddress' && isIP(address.value) === 0)
    return [invalid(`${field}.value`, address.value, 'an IPAddress must be an IPv4 or IPv6 address')];
  if (address.type === 'Hostname' && !HOSTNAME.test(address.value))
    return [invalid(`${field}.value`, address.value, `a Hostname must match ${HOSTNAME.source}`)];
  return [];
}
