/** Workloads and the endpoints they are, held against a real ztunnel's cases (docs/conformance/ztunnel.md, families "state/workload", "xds" and staging). */
import { describe, expect, test } from 'bun:test';
import type { Service, Workload } from '../model.ts';
import { MeshRegistry } from '../registry.ts';
import { memberOf, port, registryOf, service, workload } from '../test-fixtures.ts';
import { decodeAddress } from '../wds-decode.ts';
import { encodeService, encodeWorkload } from '../wds-encode.ts';

const svc = service('svc', '10.0.0.1');
const KEY = 'default/svc.default.svc.cluster.local';
const endpoint = (name: string, over: Partial<Workload> = {}): Workload =>
  workload(name, { addresses: ['10.1.0.1'], services: memberOf(svc, port(80, 8080)), ...over });
const uids = (registry: MeshRegistry, key = KEY): string[] => registry.endpoints(key).map((one) => one.workload.name);

describe('octets of an address', () => {
  const decode = (bytes: readonly number[]) => {
    const good = encodeWorkload(workload('a', { addresses: ['1.2.3.4'] }));
    // The one address of the message: field 3, four octets.
    const start = good.findIndex((_, i) => good[i] === 0x1a && good[i + 1] === 4 && good[i + 2] === 1 && good[i + 3] === 2);
    expect(start).toBeGreaterThan(0);
    const spliced = [...good.slice(0, start), 0x1a, bytes.length, ...bytes, ...good.slice(start + 6)];
    spliced[1] = good[1]! + bytes.length - 4;
    return decodeAddress(Uint8Array.from(spliced));
  };
  test.each<[string, readonly number[], string | undefined]>([
    ['garbage', [1, 2, 3], undefined],
    ['none', [], undefined],
    ['unspecified', [0, 0, 0, 0], '0.0.0.0'],
    ['IPv4 loopback', [127, 0, 0, 1], '127.0.0.1'],
    ['IPv4', [1, 1, 1, 1], '1.1.1.1'],
    ['IPv6', [0x10, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5], '1001:101::5'],
    ['IPv6 loopback', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], '::1'],
  ])('%s', (_title, bytes, expected) => {
    const result = decode(bytes);
    if (expected === undefined) expect(result.ok).toBe(false);
    else expect(result).toMatchObject({ ok: true, value: { workload: { addresses: [expected] } } });
  });
});

describe('a workload’s life', () => {
  test('its service may come first or last, its endpoints are those of its last version, and with it they go', () => {
    for (const serviceFirst of [true, false]) {
      const registry = new MeshRegistry();
      if (serviceFirst) registry.insertService(svc);
      registry.insertWorkload(endpoint('a'));
      if (!serviceFirst) registry.insertService(svc);
      expect(uids(registry)).toEqual(['a']);
      registry.insertWorkload(endpoint('a', { services: memberOf(svc, port(90, 9090)) }));
      expect(registry.endpoints(KEY)[0]?.ports).toEqual([port(90, 9090)]);
      registry.insertWorkload(endpoint('a', { services: new Map() }));
      expect(uids(registry)).toEqual([]);
      registry.insertWorkload(endpoint('a'));
      registry.removeWorkload(endpoint('a').uid);
      expect(uids(registry)).toEqual([]);
    }
  });

  test('its service may go and come back and finds it again', () => {
    const registry = registryOf(svc, endpoint('a'), endpoint('b'));
    registry.removeService(KEY);
    expect(registry.serviceByAddress('', '10.0.0.1', 'default')).toBeUndefined();
    registry.insertService(svc);
    expect(uids(registry)).toEqual(['a', 'b']);
  });

  test('of two with one address a pod comes first, and the other takes its place when it goes', () => {
    const pod = workload('pod', { uid: 'cluster1//Pod/default/my-pod/a', addresses: ['127.0.0.1'] });
    const entry = workload('entry', { uid: 'cluster1/networking.istio.io/WorkloadEntry/default/we', addresses: ['127.0.0.1'] });
    const registry = registryOf(pod, entry);
    registry.insertWorkload(pod); // again: an update
    expect(registry.workloadByAddress('', '127.0.0.1')?.name).toBe('pod');
    registry.removeWorkload(pod.uid);
    expect(registry.workloadByAddress('', '127.0.0.1')?.name).toBe('entry');
    registry.removeWorkload(entry.uid);
    expect(registry.workloadByAddress('', '127.0.0.1')).toBeUndefined();
    expect(registry.allWorkloads()).toEqual([]);
  });
});

describe('health', () => {
  const all = service('all', undefined, { loadBalancing: { mode: 'UNSPECIFIED', routingPreference: [], healthPolicy: 'ALLOW_ALL' } });
  const ALL = 'default/all.default.svc.cluster.local';
  const both = new Map([...memberOf(svc, port(80, 8080)), ...memberOf(all, port(80, 8080))]);
  const sick = workload('sick', { status: 'UNHEALTHY', services: both });
  const well = workload('well', { services: both });

  test.each<[string, readonly (Workload | Service)[]]>([
    ['workloads before their services', [sick, well, svc, all]],
    ['services before their workloads', [svc, all, sick, well]],
  ])('%s: unhealthy ones only where the service takes all', (_title, contents) => {
    const registry = registryOf(...contents);
    expect([uids(registry), uids(registry, ALL)]).toEqual([['well'], ['sick', 'well']]);
  });

  test('an endpoint that falls ill leaves, and comes back when it is well', () => {
    const registry = registryOf(svc, all, well);
    registry.insertWorkload({ ...well, status: 'UNHEALTHY' });
    expect([uids(registry), uids(registry, ALL)]).toEqual([[], ['well']]);
    registry.insertWorkload(well);
    expect(uids(registry)).toEqual(['well']);
  });
});

describe('endpoints that wait for their service', () => {
  test('are kept until it comes, and the unhealthy among them are left out then', () => {
    const registry = registryOf(endpoint('well'), endpoint('sick', { status: 'UNHEALTHY' }));
    expect([...registry.stagedServices().keys()]).toEqual([KEY]);
    registry.insertService(svc);
    expect([registry.stagedServices().size, ...uids(registry)]).toEqual([0, 'well']);
  });
  test('are forgotten one by one, and with the last of them the service they wait for', () => {
    const registry = registryOf(endpoint('a'), endpoint('b'));
    registry.removeWorkload(endpoint('a').uid);
    expect(registry.stagedServices().size).toBe(1);
    registry.insertWorkload(endpoint('b', { services: new Map() }));
    expect(registry.stagedServices().size).toBe(0);
    expect(registry.removeWorkload('missing')).toBe(false);
    expect(registry.stagedServices().size).toBe(0);
  });
});

describe('a push', () => {
  const apply = (registry: MeshRegistry, messages: readonly Uint8Array[]): string[] => {
    const rejected: string[] = [];
    registry.batch(() => {
      for (const message of messages) {
        const decoded = decodeAddress(message);
        if (!decoded.ok) rejected.push(decoded.error.join());
        else if (decoded.value.kind === 'workload') registry.insertWorkload(decoded.value.workload);
        else registry.insertService(decoded.value.service);
      }
    });
    return rejected;
  };
  const wire = (count: number) => Array.from({ length: count }, (_, i) => encodeWorkload(endpoint(`w${String(i).padStart(2, '0')}`)));

  test('with the service in the middle of its endpoints, or first, gives it all of them and is one change', () => {
    for (const before of [25, 0]) {
      const registry = new MeshRegistry();
      let changes = 0;
      registry.onChange(() => changes++);
      const workloads = wire(50);
      expect(apply(registry, [...workloads.slice(0, before), encodeService(svc), ...workloads.slice(before)])).toEqual([]);
      expect([uids(registry).length, registry.stagedServices().size, changes]).toEqual([50, 0, 1]);
    }
  });

  test('of one bad resource rejects that one and applies the others', () => {
    const registry = new MeshRegistry();
    expect(apply(registry, [encodeService(svc), wire(1)[0]!, new Uint8Array(0), wire(2)[1]!])).toEqual([
      'neither a workload nor a service',
    ]);
    expect(uids(registry)).toHaveLength(2);
  });

  test('that removes a workload takes its endpoint', () => {
    const registry = new MeshRegistry();
    apply(registry, [encodeService(svc), ...wire(2)]);
    registry.batch(() => registry.remove(endpoint('w00').uid));
    expect(uids(registry)).toEqual(['w01']);
  });
});
