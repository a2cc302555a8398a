/** A control plane that talks nonsense: what is good of it is used, the rest refused by name, and traffic goes on. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { ADDRESS_TYPE, AUTHORIZATION_TYPE } from '../../src/protocol/index.ts';
import { AddressSchema, DeltaDiscoveryResponseSchema } from '../../src/protocol/messages/index.ts';
import { dial, echo, type Peer, type ServerHandle, serve } from './apps.ts';
import { besideBystander } from './bystander.ts';
import { Lab, type TestProxy, until, type WorkloadInit } from './lab.ts';
import type { Pod } from './network.ts';

const lab = new Lab('zt-fc', '10.94');
let proxy: TestProxy;
let client: Pod;
let server: Pod;
let app: ServerHandle;
const SLACK_MIB = 48;

beforeAll(async () => {
  const node = lab.network.addNode(1);
  client = lab.network.addPod(node, 'client', 10);
  server = lab.network.addPod(node, 'server', 11);
  await lab.start();
  for (const pod of [client, server]) lab.workload(pod, pod.name);
  await lab.push();
  proxy = lab.addProxy(node, { RUST_LOG: 'info,access=off' });
  proxy.start();
  for (const pod of [client, server]) {
    expect(await proxy.add(pod, pod.name)).toBe('');
    lab.network.capture(pod);
  }
  await proxy.ready();
  app = serve(server, 8080, echo());
  await until('the pod to be served', async () => {
    const peer: Peer = dial(client, server.ip, 8080);
    await peer.connected.promise;
    peer.send('x');
    await peer.bytes(1);
    peer.socket!.terminate();
    return true;
  });
}, 60_000);

afterAll(() => {
  expect(proxy.process.exitCode).toBeNull();
  app.close();
  lab.stop();
});

interface Resource {
  readonly name: string;
  readonly typeUrl?: string;
  readonly value: Uint8Array;
}

const response = (typeUrl: string, resources: readonly Resource[], nonce = 'odd'): Uint8Array =>
  toBinary(
    DeltaDiscoveryResponseSchema,
    create(DeltaDiscoveryResponseSchema, {
      typeUrl,
      nonce,
      resources: resources.map(({ name, typeUrl: type, value }) => ({ name, version: '1', resource: { typeUrl: type ?? typeUrl, value } })),
    }),
  );

const workload = (name: string, address: Uint8Array): Resource => {
  const value = { uid: name, name, namespace: 'default', addresses: [address] } as WorkloadInit;
  return { name, value: toBinary(AddressSchema, create(AddressSchema, { type: { case: 'workload', value } })) };
};

const known = (uid: string): boolean => proxy.http(15_000, '/config_dump').includes(`"${uid}"`);

/** Sends it after a push, beside a bystander. */
const withstand = (messages: readonly Uint8Array[], then: () => Promise<void>): Promise<void> =>
  besideBystander([client, server.ip, 8080], [proxy], SLACK_MIB, async () => {
    lab.garbage.push(...messages);
    await lab.push();
    await then();
    // It still follows: a change after the nonsense arrives.
    const name = `after-${crypto.randomUUID()}`;
    lab.workload({ ...server, name, ip: '10.94.1.77' }, 'later');
    await lab.push();
    await until('a later change to arrive', () => known(`Kubernetes//Pod/default/${name}`), 40_000);
    delete lab.addresses[`Kubernetes//Pod/default/${name}`];
  });

test(
  'of an answer with good and bad resources the good ones are used, and the bad ones named',
  () =>
    withstand(
      [
        response(ADDRESS_TYPE, [
          workload('good', Uint8Array.of(10, 94, 9, 1)),
          workload('short', Uint8Array.of(10, 94, 9)),
          { name: 'noise', value: Uint8Array.of(0xff, 0xff, 0xff) },
          workload('better', Uint8Array.of(10, 94, 9, 2)),
        ]),
      ],
      async () => {
        await until('the good ones', () => known('good') && known('better'));
        expect(known('short')).toBe(false);
        await until('the refusal', () => /xds: resources rejected.*short: .*noise: /.test(proxy.log));
      },
    ),
  90_000,
);

test(
  'messages that are none end the stream, which begins anew',
  () =>
    withstand([Uint8Array.of(0xff, 0xff, 0xff, 0xff)], () =>
      until('the complaint', () => proxy.log.includes('xds: cannot read an answer')).then(() => {}),
    ),
  90_000,
);

test(
  'a type nobody asked for, empty answers and strange nonces are no reason to stop',
  () =>
    withstand(
      [
        response('type.googleapis.com/never.heard.Of', [{ name: 'a', value: new Uint8Array(3) }]),
        response(AUTHORIZATION_TYPE, [], ''),
        response(ADDRESS_TYPE, [], 'x'.repeat(10_000)),
        new Uint8Array(0),
      ],
      async () => {},
    ),
  90_000,
);

test(
  'a thousand bad resources are refused without a log line or an answer as long as all of them',
  () =>
    withstand(
      [
        response(
          ADDRESS_TYPE,
          Array.from({ length: 1_000 }, (_, i) => ({ name: `bad-${i}-${'x'.repeat(200)}`, value: Uint8Array.of(0xff) })),
        ),
      ],
      async () => {
        await until('the refusal', () => proxy.log.includes('bad-0-'));
        const line = proxy.log.split('\n').find((each) => each.includes('bad-0-')) ?? '';
        expect(line.length).toBeLessThan(8_192);
      },
    ),
  90_000,
);

test(
  'an endless flood of answers is worked off',
  () =>
    withstand(
      Array.from({ length: 2_000 }, (_, i) => response(ADDRESS_TYPE, [workload('same', Uint8Array.of(10, 94, 8, i % 250))], String(i))),
      async () => {
        await until('the last of them', () => known('same'), 40_000);
      },
    ),
  90_000,
);
