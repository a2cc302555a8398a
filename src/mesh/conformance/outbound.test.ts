/** Where a connection goes, held against the cases of a real ztunnel (docs/conformance/ztunnel.md, family "request building"). */
import { expect, test } from 'bun:test';
import type { GatewayAddress, IpFamilies, LoadBalancing, Service, Workload } from '../model.ts';
import { resolveOutbound } from '../resolve.ts';
import { gatewayByAddress, gatewayByName, memberOf, port, registryOf, service, workload } from '../test-fixtures.ts';

type Content = Workload | Service;

const source = workload('source', { namespace: 'ns', addresses: ['127.0.0.1', '::1'], node: 'local-node', tunnelProtocol: 'NONE' });
const waypoint = workload('waypoint', { namespace: 'ns', addresses: ['127.0.0.10'], serviceAccount: 'wp', tunnelProtocol: 'NONE' });
const waypointDual = workload('waypoint-dual', { ...waypoint, uid: 'wp-dual', addresses: ['127.0.0.11', 'ff06::c5'] });

/** `protocol address authority`, or why there is no route. */
const go = (contents: readonly Content[], to: string, from = '127.0.0.1'): string => {
  const colon = to.lastIndexOf(':');
  const destination = { ip: to.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(to.slice(colon + 1)) };
  const registry = registryOf(source, waypoint, waypointDual, ...contents);
  const route = resolveOutbound(registry, source, destination, () => 0, { sourceIp: from, network: '' });
  if (route.kind === 'failure') return route.reason;
  if (route.kind === 'hbone') return `HBONE ${route.address} ${route.authority}`;
  return route.kind === 'double-hbone' ? `DOUBLEHBONE ${route.address} ${route.authority}` : `TCP ${route.address}`;
};

const pod = (over: Partial<Workload> = {}): Workload => workload('my-pod', { addresses: ['127.0.0.2'], tunnelProtocol: 'NONE', ...over });
const example = (over: Partial<Service> = {}): Service => service('example', '127.0.0.3', { hostname: 'example.com', ...over });
const member = memberOf(example(), port(80, 8080));
const withMode = (mode: LoadBalancing['mode'], ...routingPreference: LoadBalancing['routingPreference']): Partial<Service> => ({
  loadBalancing: { mode, routingPreference, healthPolicy: 'ONLY_HEALTHY' },
});
const eastWest = (gateway: GatewayAddress): Partial<Workload> => ({ network: 'remote', networkGateway: gateway });
const byIp = gatewayByAddress('10.22.1.1', 'remote', 15_009);
const gatewayPod = workload('ew-gtw', { addresses: ['10.22.1.1'], network: 'remote', tunnelProtocol: 'NONE' });
const gatewayService = service('ew-gtw', '127.0.0.4', { ports: [port(15_009)] });
const waypointService = service('waypoint.com', '127.0.0.4', { ports: [port(15_008)] });

test.each<[string, Content[], string, string]>([
  ['a destination nobody knows', [pod()], '1.2.3.4:80', 'TCP 1.2.3.4:80'],
  [
    'an endpoint of another network without a gateway to it',
    [example(), pod({ addresses: ['10.0.0.2'], network: 'remote', services: member })],
    '127.0.0.3:80',
    'unknown-network-gateway',
  ],
  [
    'an endpoint of another network behind a gateway named by address',
    [example(), pod({ addresses: [], ...eastWest(byIp), services: member }), gatewayPod],
    '127.0.0.3:80',
    'DOUBLEHBONE 10.22.1.1:15009 example.com:80',
  ],
  [
    'an endpoint of another network behind a gateway named by host, at the port its pod maps',
    [
      example(),
      gatewayService,
      pod({ addresses: ['127.0.0.6'], ...eastWest(gatewayByName(gatewayService, 15_009)), services: member }),
      { ...gatewayPod, addresses: ['127.0.0.5'], services: memberOf(gatewayService, port(15_009, 15_008)) },
    ],
    '127.0.0.3:80',
    'DOUBLEHBONE 127.0.0.5:15008 example.com:80',
  ],
  [
    'a service waypoint in another network',
    [
      example({ waypoint: gatewayByName(waypointService) }),
      waypointService,
      workload('remote-wp', { ...eastWest(byIp), services: memberOf(waypointService, port(15_008)) }),
      gatewayPod,
    ],
    '127.0.0.3:80',
    'DOUBLEHBONE 10.22.1.1:15009 example.com:80',
  ],
  [
    'a healthy endpoint of the own network before one of another',
    [
      example(withMode('FAILOVER', 'NETWORK')),
      gatewayPod,
      workload('far', { ...eastWest(byIp), services: member }),
      workload('near', { addresses: ['127.0.0.2'], services: member }),
    ],
    '127.0.0.3:80',
    'HBONE 127.0.0.2:15008 127.0.0.2:8080',
  ],
  [
    'an endpoint of another network when the own is unhealthy',
    [
      example(withMode('FAILOVER', 'NETWORK')),
      gatewayPod,
      workload('far', { ...eastWest(byIp), services: member }),
      workload('near', { addresses: ['127.0.0.2'], services: member, status: 'UNHEALTHY' }),
    ],
    '127.0.0.3:80',
    'DOUBLEHBONE 10.22.1.1:15009 example.com:80',
  ],
  ['a plain workload on another node', [pod({ node: 'remote-node' })], '127.0.0.2:80', 'TCP 127.0.0.2:80'],
  [
    'an HBONE workload on another node',
    [pod({ node: 'remote-node', tunnelProtocol: 'HBONE' })],
    '127.0.0.2:80',
    'HBONE 127.0.0.2:15008 127.0.0.2:80',
  ],
  ['a plain workload on the same node', [pod({ node: 'local-node' })], '127.0.0.2:80', 'TCP 127.0.0.2:80'],
  [
    'an HBONE workload on the same node: no shortcut',
    [pod({ node: 'local-node', tunnelProtocol: 'HBONE' })],
    '127.0.0.2:80',
    'HBONE 127.0.0.2:15008 127.0.0.2:80',
  ],
  [
    'the waypoint of the destination workload is',
    [pod({ waypoint: gatewayByAddress('127.0.0.10') })],
    '127.0.0.2:80',
    'HBONE 127.0.0.10:15008 127.0.0.2:80',
  ],
  [
    'a waypoint named by an IPv4 address for an IPv6 destination',
    [pod({ addresses: ['127.0.0.2', 'ff06::c3'], waypoint: gatewayByAddress('127.0.0.11') })],
    '[ff06::c3]:80',
    'HBONE 127.0.0.11:15008 [ff06::c3]:80',
  ],
  [
    'the waypoint of a service',
    [example({ waypoint: gatewayByAddress('127.0.0.10') })],
    '127.0.0.3:80',
    'HBONE 127.0.0.10:15008 127.0.0.3:80',
  ],
  ['a service without endpoints', [example()], '127.0.0.3:80', 'no-healthy-upstream'],
  [
    'PASSTHROUGH goes to the address that was asked for',
    [example({ vips: ['1.2.3.4', '1.5.6.7'].map((address) => ({ network: '', address })), ...withMode('PASSTHROUGH') })],
    '1.2.3.4:80',
    'TCP 1.2.3.4:80',
  ],
  [
    'PASSTHROUGH with a waypoint goes through it',
    [
      example({
        vips: [{ network: '', address: '1.2.3.4' }],
        waypoint: gatewayByAddress('127.0.0.10'),
        ...withMode('PASSTHROUGH'),
      }),
    ],
    '1.2.3.4:80',
    'HBONE 127.0.0.10:15008 1.2.3.4:80',
  ],
])('%s', (_title, contents, to, expected) => {
  expect(go(contents, to)).toBe(expected);
});

test('the waypoint of the source is not asked', () => {
  expect(go([pod({ waypoint: gatewayByAddress('127.0.0.10') })], '127.0.0.1:80', '127.0.0.2')).toBe('TCP 127.0.0.1:80');
});

test('named ports: only an endpoint that maps the port serves it, and a port nobody maps is served by none', () => {
  const named = example({ ports: [port(80, 0), port(8080, 0)] });
  const contents = [
    named,
    pod({ services: memberOf(named, port(80, 1234)) }),
    workload('other', { addresses: ['127.0.0.8'], tunnelProtocol: 'NONE', services: memberOf(named, port(8080, 9999)) }),
  ];
  for (let i = 0; i < 20; i++) expect(go(contents, '127.0.0.3:80')).toBe('TCP 127.0.0.2:1234');
  expect(go(contents, '127.0.0.3:8080')).toBe('TCP 127.0.0.8:9999');
  expect(go(contents, '127.0.0.3:81')).toBe('no-healthy-upstream');
});

test('host-network pods of one address: the service finds its own, the address alone finds nobody', () => {
  const hosted = (name: string, over: Partial<Workload> = {}) =>
    workload(name, { addresses: ['127.0.0.2'], networkMode: 'HOST_NETWORK', tunnelProtocol: 'NONE', ...over });
  const registry = registryOf(source, example(), hosted('pod1', { services: memberOf(example(), port(80)) }), hosted('pod2'));
  const named = resolveOutbound(registry, source, { ip: '127.0.0.3', port: 80 }, () => 0);
  expect(named).toMatchObject({ kind: 'tcp', address: '127.0.0.2:80', destinationWorkload: { name: 'pod1' } });
  expect(resolveOutbound(registry, source, { ip: '127.0.0.2', port: 80 }, () => 0)).toMatchObject({
    kind: 'passthrough',
    address: '127.0.0.2:80',
  });
});

test('a workload with addresses of both families is reached at the one asked for', () => {
  const dual = pod({ addresses: ['127.0.0.2', 'ff06::c3'] });
  expect([go([dual], '127.0.0.2:80'), go([dual], '[ff06::c3]:80')]).toEqual(['TCP 127.0.0.2:80', 'TCP [ff06::c3]:80']);
});

test.each<[IpFamilies, string, string]>([
  ['IPV6_ONLY', '127.0.0.3:80', '[ff06::c3]'],
  ['IPV4_ONLY', '127.0.0.3:80', '127.0.0.2'],
  ['DUAL', '127.0.0.3:80', '127.0.0.2'],
  ['DUAL', '[::3]:80', '[ff06::c3]'],
])('a service of families %s asked at %s has its endpoint at %s', (ipFamilies, to, ip) => {
  const both = example({ ipFamilies, ports: [port(80)], vips: ['127.0.0.3', '::3'].map((address) => ({ network: '', address })) });
  const dual = workload('dual', { addresses: ['127.0.0.2', 'ff06::c3'], services: memberOf(both) });
  expect(go([both, dual], to)).toBe(`HBONE ${ip}:15008 ${ip}:80`);
});
