import { expect, test } from 'bun:test';
import { Protocol, type TrackedConnection } from '../platform/linux/index.ts';
import { belongsToProxy, passedAround } from './tracked.ts';

const tcp: TrackedConnection = {
  protocol: Protocol.TCP,
  destinationPort: 443,
  translatedPort: 443,
  isSourceTranslated: false,
  isDestinationTranslated: false,
  mark: 0,
  zone: 0,
};
const dns: TrackedConnection = { ...tcp, protocol: Protocol.UDP, destinationPort: 53, translatedPort: 53 };

test.each([
  ['an untranslated TCP connection', tcp, true],
  ['one redirected to the proxy', { ...tcp, translatedPort: 15001, isDestinationTranslated: true }, false],
  ['one the pod’s own rules translate', { ...tcp, isSourceTranslated: true }, false],
  ['the proxy’s to the application, other bits of the mark set', { ...tcp, mark: 0xf0111 }, false],
  ['another mark', { ...tcp, mark: 0x222 }, true],
  ['a DNS query', dns, true],
  ['a query of the proxy, in its zone', { ...dns, zone: 1 }, false],
  ['UDP to another port', { ...dns, destinationPort: 443 }, false],
  ['ICMP', { ...tcp, protocol: 1 }, false],
])('knows whether %s passed around the proxy', (_, connection, expected) => {
  expect(passedAround(connection, { captureDns: true })).toBe(expected);
});

test('leaves DNS queries alone where DNS is not captured', () => {
  expect(passedAround(dns, { captureDns: false })).toBe(false);
});

test.each([
  ['a redirected connection', { ...tcp, translatedPort: 15006, isDestinationTranslated: true }, true],
  ['a redirected DNS query', { ...dns, translatedPort: 15053, isDestinationTranslated: true }, true],
  ['the proxy’s to the application', { ...tcp, mark: 0x111 }, true],
  ['a tunnel', { ...tcp, destinationPort: 15008, translatedPort: 15008 }, false],
  ['a translation of the pod’s own', { ...tcp, translatedPort: 8080, isDestinationTranslated: true }, false],
  ['an untranslated connection', tcp, false],
])('knows whether %s means nothing without the rules', (_, connection, expected) => {
  expect(belongsToProxy(connection)).toBe(expected);
});
