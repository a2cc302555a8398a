/** What a pod's tunnel port accepts, held against the cases of a real ztunnel (docs/conformance/ztunnel.md, family "inbound"). */
import { describe, expect, test } from 'bun:test';
import { resolveInbound } from '../inbound.ts';
import type { Workload } from '../model.ts';
import { gatewayByAddress, memberOf, port, registryOf, service, workload } from '../test-fixtures.ts';

const CLIENT = '10.0.0.1';
const SERVER = '10.0.0.2';
const SERVER_VIP = '10.10.0.1';
const WAYPOINT = '10.0.0.3';
const WAYPOINT_VIP = '10.10.0.2';
const HOST = 'server.default.svc.cluster.local';
const TUNNEL = { protocol: 'PROXY', port: 15_088 } as const;

type Attachment = { readonly of: 'workload' | 'service'; readonly at: string; readonly tunnel?: typeof TUNNEL };

const world = (attached?: Attachment) => {
  const gateway = attached && gatewayByAddress(attached.at);
  const server = service('server', SERVER_VIP, { ...(attached?.of === 'service' && { waypoint: gateway! }), canonical: true });
  const waypointService = service('waypoint', WAYPOINT_VIP, { canonical: true });
  return registryOf(
    server,
    waypointService,
    workload('client', { addresses: [CLIENT] }),
    workload('server', { addresses: [SERVER], services: memberOf(server), ...(attached?.of === 'workload' && { waypoint: gateway! }) }),
    workload('waypoint', {
      addresses: [WAYPOINT],
      services: memberOf(waypointService),
      ...(attached?.tunnel && { applicationTunnel: attached.tunnel }),
    }),
  );
};

/** `ip:port`, with the application tunnel's protocol behind it, or the reason of a refusal. */
const accept = (attached: Attachment | undefined, connectionIp: string, host: string, to: number): string => {
  const registry = world(attached);
  const local = registry.workloadByAddress('', connectionIp) as Workload;
  const route = resolveInbound(registry, local, connectionIp, { host, port: to });
  if (route.kind === 'failure') return route.reason;
  return `${route.ip}:${route.port}${route.applicationTunnel === undefined ? '' : ` ${route.applicationTunnel}`}`;
};

describe('a stream that names', () => {
  test.each<[string, Attachment | undefined, string, string, number, string]>([
    ['the pod itself', undefined, SERVER, SERVER, 8080, `${SERVER}:8080`],
    ['a service of the pod by its host name and port', undefined, SERVER, HOST, 80, `${SERVER}:8080`],
    ['a workload whose waypoint the pod is by address', { of: 'workload', at: WAYPOINT }, WAYPOINT, SERVER, 8080, `${WAYPOINT}:8080`],
    ['a workload whose waypoint the pod is by VIP', { of: 'workload', at: WAYPOINT_VIP }, WAYPOINT, SERVER, 8080, `${WAYPOINT}:8080`],
    [
      'a workload, to a waypoint with an application tunnel',
      { of: 'workload', at: WAYPOINT_VIP, tunnel: TUNNEL },
      WAYPOINT,
      SERVER,
      8080,
      `${WAYPOINT}:15088 PROXY`,
    ],
    ['a service whose waypoint the pod is by address', { of: 'service', at: WAYPOINT }, WAYPOINT, SERVER_VIP, 8080, `${WAYPOINT}:8080`],
    ['a service whose waypoint the pod is by VIP', { of: 'service', at: WAYPOINT_VIP }, WAYPOINT, SERVER_VIP, 8080, `${WAYPOINT}:8080`],
    [
      'a service, to a waypoint with an application tunnel',
      { of: 'service', at: WAYPOINT_VIP, tunnel: TUNNEL },
      WAYPOINT,
      SERVER_VIP,
      8080,
      `${WAYPOINT}:15088 PROXY`,
    ],
    ['another pod', undefined, SERVER, CLIENT, 8080, 'ip-mismatch'],
    ['another pod, to a waypoint of nobody', undefined, WAYPOINT, CLIENT, 8080, 'ip-mismatch'],
    ['a workload, where only its service has this waypoint', { of: 'service', at: WAYPOINT }, WAYPOINT, SERVER, 8080, 'ip-mismatch'],
    ['a service, where only its workload has this waypoint', { of: 'workload', at: WAYPOINT }, WAYPOINT, SERVER_VIP, 8080, 'ip-mismatch'],
  ])('%s', (_title, attached, connectionIp, host, to, expected) => {
    expect(accept(attached, connectionIp, host, to)).toBe(expected);
  });
});

test('a host name with a named port goes where this pod maps it, and nowhere when it does not', () => {
  const named = service('server', SERVER_VIP, { ports: [port(80, 0)] });
  const go = (mapped: boolean) => {
    const local = workload('server', { addresses: [SERVER], services: mapped ? memberOf(named, port(80, 8080)) : memberOf(named) });
    return resolveInbound(registryOf(named, local), local, SERVER, { host: HOST, port: 80 });
  };
  expect(go(true)).toMatchObject({ kind: 'inbound', port: 8080 });
  expect(go(false)).toMatchObject({ reason: 'unresolvable-port', status: 503 });
});

test('a waypoint in another namespace takes traffic for a service that only its own namespace sees', () => {
  const bound = service('bound', '10.10.0.9', { namespace: 'team', visibility: 'NAMESPACE', waypoint: gatewayByAddress(WAYPOINT) });
  const local = workload('waypoint', { namespace: 'infra', addresses: [WAYPOINT] });
  // Whether the client may see the service was its own proxy's question.
  expect(resolveInbound(registryOf(bound, local), local, WAYPOINT, { host: '10.10.0.9', port: 80 })).toMatchObject({ kind: 'inbound' });
});
