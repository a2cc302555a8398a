import { isIP } from 'node:net';
import {
  destinationProblems,
  exportProblems,
  gatewayNameProblems,
  l4MatchProblems,
  weightProblems,
  wildcardHostProblem,
} from './istio-rules.ts';
import { type FieldProblem, forbidden, invalid, required } from './kind.ts';
import type { VirtualService, VirtualServiceTcpRoute, VirtualServiceTlsRoute } from './virtual-service.ts';
import { httpRouteProblems } from './virtual-service-http-validation.ts';

type Spec = NonNullable<VirtualService['spec']>;

/** What Istio's webhook refuses in a VirtualService. */
export function validateVirtualService({ spec = {}, metadata }: VirtualService): FieldProblem[] {
  const { http = [], tls = [], tcp = [] } = spec;
  const problems = [...hostsProblems(spec), ...gatewayNameProblems(spec.gateways, 'spec.gateways')];
  if (http.length + tls.length + tcp.length === 0) problems.push(required('spec', 'at least one of http, tcp or tls must be given'));
  http.forEach((route, index) => {
    problems.push(...httpRouteProblems(route, `spec.http[${index}]`, { isDelegate: (spec.hosts ?? []).length === 0 }));
  });
  tls.forEach((route, index) => {
    problems.push(...tlsRouteProblems(route, spec.hosts ?? [], `spec.tls[${index}]`));
  });
  tcp.forEach((route, index) => {
    problems.push(...tcpRouteProblems(route, `spec.tcp[${index}]`));
  });
  return [...problems, ...exportProblems(spec.exportTo, metadata.namespace, 'spec.exportTo')];
}

/** Without hosts it is the delegate of another, which may say only some things. */
function hostsProblems(spec: Spec): FieldProblem[] {
  const hosts = spec.hosts ?? [];
  const gateways = spec.gateways ?? [];
  if (hosts.length === 0)
    return (['gateways', 'tls', 'tcp'] as const).flatMap((field) =>
      (spec[field] ?? []).length > 0 ? [forbidden(`spec.${field}`, 'must not be given in a VirtualService without hosts, a delegate')] : [],
    );
  const isForMesh = gateways.every((gateway) => gateway === 'mesh');
  const problems = hosts.flatMap((host, index) => {
    const at = `spec.hosts[${index}]`;
    const problem = isIP(host) === 0 ? wildcardHostProblem(host) : undefined;
    if (problem !== undefined) return [invalid(at, host, problem)];
    return host === '*' && isForMesh ? [invalid(at, host, 'the wildcard host is not allowed for the mesh gateway')] : [];
  });
  if (problems.length > 0) return problems;
  hosts.forEach((host, index) => {
    const other = hosts.slice(0, index).find((earlier) => overlap(host, earlier));
    if (other !== undefined) problems.push(invalid(`spec.hosts[${index}]`, host, `overlaps with ${JSON.stringify(other)}`));
  });
  return problems;
}

/** Whether a host name, perhaps with a leading wildcard, stands for every name of another. */
const covers = (wide: string, narrow: string): boolean =>
  wide === narrow || (wide.startsWith('*') && narrow.replace(/^\*/, '').endsWith(wide.slice(1)));
const overlap = (a: string, b: string): boolean => covers(a, b) || covers(b, a);

function l4RouteProblems(route: VirtualServiceTcpRoute['route'], field: string): FieldProblem[] {
  if (route === undefined || route.length === 0) return [required(`${field}.route`)];
  return [
    ...route.flatMap((entry, index) => destinationProblems(entry.destination, `${field}.route[${index}].destination`)),
    ...weightProblems(route, `${field}.route`),
  ];
}

function tcpRouteProblems(route: VirtualServiceTcpRoute, field: string): FieldProblem[] {
  return [
    ...(route.match ?? []).flatMap((match, index) => l4MatchProblems(match, `${field}.match[${index}]`)),
    ...l4RouteProblems(route.route, field),
  ];
}

/** A TLS route is chosen by server name, so each match needs some, and within the hosts. */
function tlsRouteProblems(route: VirtualServiceTlsRoute, hosts: readonly string[], field: string): FieldProblem[] {
  const matches = route.match ?? [];
  const problems = matches.length === 0 ? [required(`${field}.match`, 'at least one match must be given')] : [];
  matches.forEach((match, index) => {
    const at = `${field}.match[${index}]`;
    const names = match.sniHosts ?? [];
    if (names.length === 0) problems.push(required(`${at}.sniHosts`, 'at least one server name must be given'));
    names.forEach((name, position) => {
      const where = `${at}.sniHosts[${position}]`;
      if (isIP(name) !== 0) return;
      const problem = wildcardHostProblem(name);
      if (problem !== undefined) problems.push(invalid(where, name, problem));
      else if (!hosts.some((host) => covers(host, name)))
        problems.push(invalid(where, name, 'must be within the hosts of the VirtualService'));
    });
    problems.push(...l4MatchProblems(match, at));
  });
  return [...problems, ...l4RouteProblems(route.route, field)];
}
