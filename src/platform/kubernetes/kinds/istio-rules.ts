import { isIP } from 'node:net';
import type { Destination, IstioHeaders, PolicyTargetReference, StringMatch } from './istio-common.ts';
import { duplicate, type FieldProblem, forbidden, invalid, required } from './kind.ts';
import { dnsLabelProblem, validateLabels } from './labels.ts';

/** Rules that several of Istio's kinds share: what its validating webhook refuses. */

const LABEL = '[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?';
const DNS_LABEL = new RegExp(`^${LABEL}$`);
const WILDCARD_LABEL = new RegExp(`^(\\*|(\\*|\\*-)?${LABEL})$`);
/** Longest domain name. */
const DOMAIN_LENGTH = 255;

/** What is wrong with a host that may start with a wildcard; undefined when nothing is. */
export function wildcardHostProblem(host: string): string | undefined {
  const length = lengthProblem(host);
  if (length !== undefined) return length;
  const dot = host.indexOf('.');
  const first = dot < 0 ? host : host.slice(0, dot);
  if (!WILDCARD_LABEL.test(first)) return `label ${JSON.stringify(first)} is invalid`;
  return dot < 0 ? undefined : domainProblem(host.slice(dot + 1));
}

/** What is wrong with a host name without wildcards. */
export function hostNameProblem(host: string): string | undefined {
  return lengthProblem(host) ?? domainProblem(host);
}

function lengthProblem(host: string): string | undefined {
  if (host === '') return 'must not be empty';
  return host.length > DOMAIN_LENGTH ? `must be no more than ${DOMAIN_LENGTH} characters` : undefined;
}

function domainProblem(domain: string): string | undefined {
  const labels = domain.split('.');
  if (/^[-+]?\d+$/.test(labels.at(-1)!)) return `top level domain ${JSON.stringify(labels.at(-1))} cannot be all-numeric`;
  if (labels.length > 1 && labels.at(-1) === '') labels.pop(); // the final dot of an absolute name
  const wrong = labels.find((label) => !DNS_LABEL.test(label));
  return wrong === undefined ? undefined : `label ${JSON.stringify(wrong)} is invalid`;
}

const UNIT: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** A duration as Go and protobuf's JSON write it, in milliseconds; undefined when it is none. */
export function durationMilliseconds(value: string): number | undefined {
  if (!/^(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*$/.test(value)) return undefined;
  let total = 0;
  for (const [, amount, unit] of value.matchAll(/([\d.]+)(ns|us|µs|ms|s|m|h)/g)) total += Number(amount) * UNIT[unit!]!;
  return total;
}

/** Durations are at least a millisecond long, and a whole number of them. */
export function durationProblems(value: string | undefined, field: string): FieldProblem[] {
  if (value === undefined) return [];
  const milliseconds = durationMilliseconds(value);
  if (milliseconds === undefined) return [invalid(field, value, 'must be a duration such as 1.5s, 250ms or 1h')];
  if (milliseconds < 1) return [invalid(field, value, 'must be at least 1ms')];
  return Math.abs(milliseconds - Math.round(milliseconds)) > 1e-6 ? [invalid(field, value, 'must be a whole number of milliseconds')] : [];
}

export function portProblems(port: number | undefined, field: string): FieldProblem[] {
  return port === undefined || (port >= 1 && port <= 65535) ? [] : [invalid(field, port, 'must be between 1 and 65535')];
}

/** `{value: 12.5}`, from 0 to 100; what is not 0 must be at least a millionth. */
export function percentProblems(percentage: { readonly value?: number } | undefined, field: string): FieldProblem[] {
  const value = percentage?.value;
  if (value === undefined || value === 0 || (value >= 0.0001 && value <= 100)) return [];
  return [invalid(`${field}.value`, value, 'must be 0 or between 0.0001 and 100')];
}

export function integerPercentProblems(value: number | undefined, field: string): FieldProblem[] {
  return value === undefined || (value >= 0 && value <= 100) ? [] : [invalid(field, value, 'must be between 0 and 100')];
}

export function notNegative(value: number | undefined, field: string): FieldProblem[] {
  return value === undefined || value >= 0 ? [] : [invalid(field, value, 'must not be negative')];
}

/** Longest regular expression. */
export const REGEX_LENGTH = 1024;
export function regexProblems(regex: string | undefined, field: string): FieldProblem[] {
  if (regex === undefined) return [];
  if (regex === '') return [invalid(field, regex, 'must not be empty')];
  return regex.length > REGEX_LENGTH ? [invalid(field, regex, `must be no more than ${REGEX_LENGTH} characters`)] : [];
}

/** `emptyPrefix` is allowed for URIs only, where it matches everything. */
export function stringMatchProblems(
  match: StringMatch | undefined,
  field: string,
  options: { emptyPrefix?: boolean } = {},
): FieldProblem[] {
  if (match === undefined) return [];
  if (match.prefix === '' && options.emptyPrefix !== true) return [invalid(`${field}.prefix`, '', 'must not be empty')];
  return regexProblems(match.regex, `${field}.regex`);
}

export function destinationProblems(destination: Destination | undefined, field: string): FieldProblem[] {
  if (destination === undefined) return [];
  const problems: FieldProblem[] = [];
  const { host, subset, port } = destination;
  const problem = host === '*' ? 'must name a host' : wildcardHostProblem(host ?? '');
  if (problem !== undefined) problems.push(host === undefined ? required(`${field}.host`) : invalid(`${field}.host`, host, problem));
  if (subset !== undefined && subset !== '') problems.push(...labelProblems(subset, `${field}.subset`));
  if (port !== undefined) problems.push(...portProblems(port.number ?? 0, `${field}.port.number`));
  return problems;
}

export function labelProblems(name: string, field: string): FieldProblem[] {
  const problem = dnsLabelProblem(name.toLowerCase()); // Istio takes capitals, too
  return problem === undefined ? [] : [invalid(field, name, problem)];
}

/** Weights are not negative, and several together are not all 0. */
export function weightProblems(routes: readonly { readonly weight?: number }[], field: string): FieldProblem[] {
  const problems = routes.flatMap((route, index) => notNegative(route.weight, `${field}[${index}].weight`));
  if (problems.length === 0 && routes.length > 1 && routes.every((route) => (route.weight ?? 0) === 0))
    problems.push(invalid(field, 'array', 'total weight must not be 0'));
  return problems;
}

const isAuthority = (name: string) => name.toLowerCase() === 'host' || name.toLowerCase() === ':authority';

/** Requests may have their authority set, nothing else that starts with a colon, and responses nothing of the sort. */
export function headersProblems(headers: IstioHeaders | undefined, field: string): FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const direction of ['request', 'response'] as const) {
    const operations = headers?.[direction];
    for (const verb of ['set', 'add'] as const) {
      for (const [name, value] of Object.entries(operations?.[verb] ?? {})) {
        const at = `${field}.${direction}.${verb}`;
        problems.push(...headerNameProblems(name, at, direction === 'request'), ...headerValueProblems(value, at));
      }
    }
    operations?.remove?.forEach((name, index) => {
      problems.push(...headerNameProblems(name, `${field}.${direction}.remove[${index}]`, false));
    });
  }
  return problems;
}

function headerNameProblems(name: string, field: string, mayBeAuthority: boolean): FieldProblem[] {
  if (name === '') return [invalid(field, name, 'a header name must not be empty')];
  if (isAuthority(name)) return mayBeAuthority ? [] : [invalid(field, name, 'the Host header cannot be changed here')];
  return name.startsWith(':') ? [invalid(field, name, "a header name must not start with ':'")] : [];
}

const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f]/;
function headerValueProblems(value: string, field: string): FieldProblem[] {
  if (CONTROL.test(value)) return [invalid(field, value, 'a header value must not hold control characters')];
  // `%NAME%` stands for a value of the request, `%%` for the sign itself
  const signs = value.replaceAll('%%', '').split('%').length - 1;
  return signs % 2 === 1 ? [invalid(field, value, "'%' must be written '%%' or enclose a variable")] : [];
}

/** The authority is set in one place. */
export function authorityProblems(rewritten: string | undefined, headers: IstioHeaders | undefined, field: string): FieldProblem[] {
  const { set, add } = headers?.request ?? {};
  const setters = [...Object.keys(set ?? {}), ...Object.keys(add ?? {})].filter(isAuthority).length;
  return setters + ((rewritten ?? '') === '' ? 0 : 1) > 1 ? [invalid(field, 'object', 'the authority cannot be set more than once')] : [];
}

/** `.`, `*`, `~` (ServiceEntry only) or names of namespaces, without repetition. */
export function exportProblems(
  exportTo: readonly string[] | undefined,
  namespace: string | undefined,
  field: string,
  options: { nobody?: boolean } = {},
): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const seen = new Set<string>();
  exportTo?.forEach((entry, index) => {
    const at = `${field}[${index}]`;
    const key = entry === '.' ? (namespace ?? '.') : entry;
    if (seen.has(key)) problems.push(duplicate(at, entry));
    seen.add(key);
    const isSign = entry === '.' || entry === '*' || (entry === '~' && options.nobody === true);
    if (!isSign && !DNS_LABEL.test(entry)) problems.push(invalid(at, entry, "must be '.', '*' or the name of a namespace"));
  });
  if (seen.size > 1 && (seen.has('*') || seen.has('~')))
    problems.push(invalid(field, exportTo, "'*' and '~' cannot stand beside other values"));
  return problems;
}

const TARGETS = new Set([
  '/Service',
  'networking.istio.io/ServiceEntry',
  'gateway.networking.k8s.io/Gateway',
  'gateway.networking.k8s.io/GatewayClass',
]);

interface Targeted {
  readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> };
  readonly targetRef?: PolicyTargetReference;
  readonly targetRefs?: readonly PolicyTargetReference[];
}
/** A policy has a selector, or targets, or neither; targets are of its own namespace and of a kind with a proxy. */
export function targetProblems(spec: Targeted | undefined): FieldProblem[] {
  if (spec === undefined) return [];
  const ways = [spec.selector, spec.targetRef, (spec.targetRefs ?? []).length > 0 ? spec.targetRefs : undefined];
  const problems: FieldProblem[] = [];
  if (ways.filter((way) => way !== undefined).length > 1) problems.push(forbidden('spec', 'only one of targetRefs or selector can be set'));
  problems.push(...selectorProblems(spec.selector?.matchLabels, 'spec.selector.matchLabels'));
  if (spec.targetRef !== undefined) problems.push(...targetRefProblems(spec.targetRef, 'spec.targetRef'));
  spec.targetRefs?.forEach((target, index) => {
    problems.push(...targetRefProblems(target, `spec.targetRefs[${index}]`));
  });
  return problems;
}

function targetRefProblems(target: PolicyTargetReference, field: string): FieldProblem[] {
  const problems: FieldProblem[] = [];
  if ((target.namespace ?? '') !== '') problems.push(forbidden(`${field}.namespace`, 'references to other namespaces are not supported'));
  const group = target.group === 'core' ? '' : (target.group ?? '');
  if (target.kind !== undefined && !TARGETS.has(`${group}/${target.kind}`))
    problems.push(invalid(`${field}.kind`, target.kind, 'must be Service, ServiceEntry, Gateway or GatewayClass, with its group'));
  return problems;
}

export function selectorProblems(labels: Readonly<Record<string, string>> | undefined, field: string): FieldProblem[] {
  return Object.entries(labels ?? {}).flatMap(([key, value]) => {
    if (key === '') return [invalid(field, key, 'a key must not be empty')];
    return key.includes('*') || value.includes('*') ? [invalid(field, `${key}=${value}`, 'wildcards are not supported in selectors')] : [];
  });
}

/** An address or a prefix of them, `10.0.0.0/8`. */
export function subnetProblems(subnet: string, field: string): FieldProblem[] {
  const [address = '', length, ...rest] = subnet.split('/');
  const family = isIP(address);
  const most = family === 6 ? 128 : 32;
  const isValid = family !== 0 && rest.length === 0 && (length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= most));
  return isValid ? [] : [invalid(field, subnet, 'must be an IP address or a CIDR prefix')];
}

/** `mesh`, `<name>`, `<namespace>/<name>` or a host name. */
export function gatewayNameProblems(names: readonly string[] | undefined, field: string): FieldProblem[] {
  return (names ?? []).flatMap((name, index) => {
    const parts = name.split('/');
    const isValid =
      parts.length === 1 ? hostNameProblem(name) === undefined : parts.length === 2 && parts.every((part) => DNS_LABEL.test(part));
    return isValid ? [] : [invalid(`${field}[${index}]`, name, 'must be the name of a gateway, or <namespace>/<name>')];
  });
}

interface L4Match {
  readonly destinationSubnets?: readonly string[];
  readonly port?: number;
  readonly sourceLabels?: Readonly<Record<string, string>>;
  readonly sourceNamespace?: string;
  readonly gateways?: readonly string[];
}
/** Conditions that HTTP, TLS and TCP routes share. */
export function l4MatchProblems(match: L4Match, field: string): FieldProblem[] {
  const { sourceNamespace } = match;
  return [
    ...(match.destinationSubnets ?? []).flatMap((subnet, index) => subnetProblems(subnet, `${field}.destinationSubnets[${index}]`)),
    ...(match.port === 0 ? [] : portProblems(match.port, `${field}.port`)),
    ...validateLabels(match.sourceLabels, `${field}.sourceLabels`),
    ...gatewayNameProblems(match.gateways, `${field}.gateways`),
    ...(sourceNamespace === undefined || sourceNamespace === '' ? [] : labelProblems(sourceNamespace, `${field}.sourceNamespace`)),
  ];
}
