import { expect, test } from 'bun:test';
import { type BackendTlsPolicy, BackendTlsPolicyKind, type Gateway, GatewayClassKind, GatewayKind, type GatewayListener } from './index.ts';

const gateway = (listeners: GatewayListener[], more: Partial<Gateway['spec']> = {}): Gateway => ({
  metadata: { name: 'g' },
  spec: { gatewayClassName: 'istio-waypoint', listeners, ...more },
});
const hbone: GatewayListener = { name: 'mesh', port: 15008, protocol: 'HBONE' };
function wrongFields(object: Gateway): string[] {
  const filled = structuredClone(object);
  GatewayKind.applyDefaults(filled);
  return GatewayKind.validate(filled).map((problem) => problem.field);
}

test('a waypoint admits routes of its own namespace and waits for its controller', () => {
  const waypoint = gateway([{ ...hbone }]);
  GatewayKind.applyDefaults(waypoint);
  expect(waypoint.spec.listeners[0]).toEqual({ ...hbone, allowedRoutes: { namespaces: { from: 'Same' } } });
  expect(GatewayKind.cells(waypoint, 0).slice(1, 4)).toEqual(['istio-waypoint', null, 'Unknown']);
  waypoint.status = {
    addresses: [{ type: 'IPAddress', value: '10.96.0.7' }],
    conditions: [{ type: 'Programmed', status: 'True', reason: 'Programmed', message: '', lastTransitionTime: '2026-01-01T00:00:00Z' }],
  };
  expect(GatewayKind.cells(waypoint, 0).slice(1, 4)).toEqual(['istio-waypoint', '10.96.0.7', 'True']);
});

const LISTENERS = 'spec.listeners';
test.each<[string, Gateway, string[]]>([
  ['HBONE', gateway([hbone]), []],
  ['one place twice', gateway([hbone, { ...hbone, name: 'other' }]), [LISTENERS]],
  [
    'one port for two hosts',
    gateway([
      { name: 'a', port: 80, protocol: 'HTTP', hostname: 'a.b' },
      { name: 'b', port: 80, protocol: 'HTTP' },
    ]),
    [],
  ],
  ['TLS settings for HTTP', gateway([{ name: 'a', port: 80, protocol: 'HTTP', tls: { options: { a: 'b' } } }]), [LISTENERS]],
  ['a hostname for TCP', gateway([{ name: 'a', port: 80, protocol: 'TCP', hostname: 'a.b' }]), [LISTENERS]],
  ['TLS without settings', gateway([{ name: 'a', port: 443, protocol: 'TLS' }]), [LISTENERS]],
  ['termination without a certificate', gateway([{ name: 'a', port: 443, protocol: 'HTTPS', tls: {} }]), [`${LISTENERS}[0].tls`]],
  [
    'passed on HTTPS',
    gateway([{ name: 'a', port: 443, protocol: 'HTTPS', tls: { mode: 'Passthrough', certificateRefs: [{ name: 'c' }] } }]),
    [LISTENERS],
  ],
  ['addresses', gateway([hbone], { addresses: [{ value: '::1' }, { type: 'Hostname', value: '*.a.b' }] }), []],
  ['a bad address', gateway([hbone], { addresses: [{ value: 'a.b' }] }), ['spec.addresses[0].value']],
  ['a bad host', gateway([hbone], { addresses: [{ type: 'Hostname', value: 'A_' }] }), ['spec.addresses[0].value']],
  ['an address twice', gateway([hbone], { addresses: [{ value: '::1' }, { value: '::1' }] }), ['spec.addresses']],
  ['labels of its own', gateway([hbone], { infrastructure: { labels: { 'a.b/c': 'd' } } }), []],
  ['a bad label', gateway([hbone], { infrastructure: { labels: { '/c': 'd' } } }), ['spec.infrastructure.labels']],
])('a Gateway with %s', (_title, object, expected) => {
  expect(wrongFields(object)).toEqual(expected);
});

test('the controller of a class cannot change', () => {
  const old = { metadata: { name: 'c' }, spec: { controllerName: 'a.b/c' } };
  expect(GatewayClassKind.validate(structuredClone(old), old)).toEqual([]);
  const changed = { metadata: { name: 'c' }, spec: { controllerName: 'a.b/d' } };
  expect(GatewayClassKind.validate(changed, old).map((problem) => problem.field)).toEqual(['spec.controllerName']);
});

const target = { group: '', kind: 'Service', name: 's' };
test.each<[string, BackendTlsPolicy['spec'], string[]]>([
  ['well-known authorities', { targetRefs: [target], validation: { hostname: 'a.b', wellKnownCACertificates: 'System' } }, []],
  ['no authority', { targetRefs: [target], validation: { hostname: 'a.b' } }, ['spec.validation']],
  [
    'one target twice',
    { targetRefs: [target, { ...target, sectionName: 'x' }], validation: { hostname: 'a.b', wellKnownCACertificates: 'System' } },
    ['spec.targetRefs'],
  ],
  [
    'a name of the other type',
    {
      targetRefs: [target],
      validation: {
        hostname: 'a.b',
        wellKnownCACertificates: 'System',
        subjectAltNames: [{ type: 'URI', uri: 'spiffe://a/b', hostname: 'c.d' }],
      },
    },
    ['spec.validation.subjectAltNames[0]'],
  ],
])('a BackendTLSPolicy with %s', (_title, spec, expected) => {
  expect(BackendTlsPolicyKind.validate({ metadata: { name: 'p' }, spec }).map((problem) => problem.field)).toEqual(expected);
});
