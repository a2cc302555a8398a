import { describe, expect, test } from 'bun:test';
import type { MeshRegistry, Service, Workload } from '../../mesh/index.ts';
import { gatewayByName, memberOf, port, registryOf, service, workload } from '../../mesh/test-fixtures.ts';
import { AwaitedStream } from './awaited-stream.ts';
import { Bindings } from './bindings.ts';
import { LIMITS } from './limits.ts';

const gateway = service('wp', '240.0.0.9', { ports: [port(15_008)] });
const self = workload('wp-1', { addresses: ['10.0.0.9'], services: memberOf(gateway, port(15_008)) });
const web = service('web', '240.0.0.1');
const bound: Service = { ...web, waypoint: gatewayByName(gateway) };
const pod = workload('web-1', { addresses: ['10.0.0.1'] });
const boundPod: Workload = { ...pod, waypoint: gatewayByName(gateway) };
const KEY = 'default/web.default.svc.cluster.local';

/** Bindings over a registry, and what they say has left with each change. */
function bindingsOf(registry: MeshRegistry): { bindings: Bindings; left: string[]; at: { now: number } } {
  const bindings = new Bindings(registry, () => self);
  const at = { now: 0 };
  const left: string[] = [];
  registry.onChange((change) => left.push(...bindings.registryChanged(change, at.now)));
  return { bindings, left, at };
}
const kindAt = (bindings: Bindings, now: number, host = '240.0.0.1'): string => {
  const found = bindings.resolve(self, '10.0.0.9', host, 80, now);
  return found.kind === 'failure' ? found.reason : found.kind;
};

describe('bindings', () => {
  test('what is not bound any more is served until every node proxy knows, then refused', () => {
    const registry = registryOf(gateway, self, bound);
    const { bindings, left, at } = bindingsOf(registry);
    expect(kindAt(bindings, 0)).toBe('service');
    expect(bindings.hasLeft(KEY)).toBe(false);
    at.now = 1000;
    registry.insertService(web);
    expect(left).toEqual([KEY]);
    expect(bindings.hasLeft(KEY)).toBe(true);
    expect(kindAt(bindings, 1000 + LIMITS.LEAVING)).toBe('service');
    expect(kindAt(bindings, 1000 + LIMITS.LEAVING, web.hostname)).toBe('service');
    expect(kindAt(bindings, 1001 + LIMITS.LEAVING)).toBe('ip-mismatch');
    expect(bindings.hasLeft(KEY)).toBe(true);
  });

  test('what comes back has not left', () => {
    const registry = registryOf(gateway, self, bound);
    const { bindings } = bindingsOf(registry);
    kindAt(bindings, 0);
    registry.insertService(web);
    registry.insertService(bound);
    expect(kindAt(bindings, 1)).toBe('service');
    expect(bindings.hasLeft(KEY)).toBe(false);
  });

  test('a port the service did not have is refused all the same', () => {
    const registry = registryOf(gateway, self, bound);
    const { bindings } = bindingsOf(registry);
    kindAt(bindings, 0);
    registry.insertService(web);
    expect(bindings.resolve(self, '10.0.0.9', '240.0.0.1', 81, 1).kind).toBe('failure');
  });

  test('what was never bound is refused at once, and so is what nobody had asked for', () => {
    const registry = registryOf(gateway, self, bound, service('other', '240.0.0.2'));
    const { bindings, left } = bindingsOf(registry);
    expect(kindAt(bindings, 0, '240.0.0.2')).toBe('ip-mismatch');
    registry.insertService(web);
    expect(left).toEqual([]);
    expect(kindAt(bindings, 1)).toBe('ip-mismatch');
  });

  test('losing the waypoint’s own service is leaving everything behind it; a workload leaves as a service does', () => {
    const registry = registryOf(gateway, self, bound, boundPod);
    const { bindings, left } = bindingsOf(registry);
    expect([kindAt(bindings, 0), kindAt(bindings, 0, '10.0.0.1')]).toEqual(['service', 'workload']);
    registry.insertWorkload(pod);
    expect(left).toEqual([`workload:${pod.uid}`]);
    expect(kindAt(bindings, 1, '10.0.0.1')).toBe('workload');
    registry.remove('default/wp.default.svc.cluster.local');
    expect(left).toEqual([`workload:${pod.uid}`, KEY]);
  });
});

describe('a stream for what is not bound yet', () => {
  const waiting = (answers: boolean[]) => {
    const asked: boolean[] = [];
    let ends = 0;
    const stream = new AwaitedStream(
      {
        retry: (_stream, isLast) => {
          asked.push(isLast);
          return answers.shift() ?? false;
        },
        ended: () => ends++,
      },
      false,
    );
    return { stream, asked, ends: () => ends };
  };

  test('keeps what comes until something it waits for is there', () => {
    const { stream, asked, ends } = waiting([false, true]);
    stream.onTunnelData(Buffer.from('GET /'), false);
    stream.retry();
    stream.onTunnelData(Buffer.from(' HTTP/1.1'), true);
    expect([Buffer.from(stream.early).toString(), stream.hasEnded, ends()]).toEqual(['GET / HTTP/1.1', true, 0]);
    stream.retry();
    stream.retry();
    stream.onDeadline();
    expect([asked, ends()]).toEqual([[false, false], 1]);
  });

  test('gives up in time, and when more comes than is kept', () => {
    const late = waiting([]);
    late.stream.onDeadline();
    expect([late.asked, late.ends()]).toEqual([[true], 1]);
    const long = waiting([]);
    long.stream.onTunnelData(new Uint8Array(LIMITS.BINDING_OCTETS), false);
    expect(long.ends()).toBe(0);
    long.stream.onTunnelData(new Uint8Array(1), false);
    expect([long.asked, long.ends()]).toEqual([[true], 1]);
  });

  test('is forgotten when its client gives up', () => {
    const { stream, asked, ends } = waiting([]);
    stream.onTunnelReset();
    stream.retry();
    expect([asked, ends()]).toEqual([[], 1]);
  });
});
