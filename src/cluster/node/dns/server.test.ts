import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as packet from 'dns-packet';
import type { EndpointSlice, Informer, InformerHandlers, Service } from '../../../platform/kubernetes/index.ts';
import { Logging } from '../../../platform/telemetry/index.ts';
import { DnsServer } from './server.ts';

/** As much of an informer as the server uses, filled by hand: the server itself and its sockets are real. */
function view<T extends Service | EndpointSlice>(objects: readonly T[], synced = Promise.resolve()): Informer<T> {
  const find = (namespace: string, name: string) =>
    objects.find(({ metadata }) => metadata?.namespace === namespace && metadata.name === name);
  const shown = {
    synced,
    addHandlers(handlers: InformerHandlers<T>) {
      for (const object of objects) handlers.onAdd?.(object);
    },
    get: find,
    inNamespace: (namespace: string) => objects.filter(({ metadata }) => metadata?.namespace === namespace).values(),
  };
  return shown as unknown as Informer<T>;
}
const service = (name: string, spec: Service['spec']): Service => ({
  metadata: { namespace: 'n', name },
  ...(spec !== undefined && { spec }),
});
const slice: EndpointSlice = {
  metadata: { namespace: 'n', name: 'big-1', labels: { 'kubernetes.io/service-name': 'big' } },
  addressType: 'IPv4',
  endpoints: Array.from({ length: 60 }, (_, index) => ({ addresses: [`10.244.1.${index + 2}`], conditions: { ready: true } })),
};
let server: DnsServer;
let port: number;

beforeAll(async () => {
  const services = view([
    service('web', { clusterIP: '10.96.0.9' }),
    service('big', { clusterIP: 'None' }),
    service('ext', { type: 'ExternalName', externalName: 'web.n.svc.cluster.local' }),
  ]);
  server = new DnsServer(services, view([slice]), new Logging({ sink: (bytes) => bytes.length }).logger('test'));
  const free = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } });
  port = free.port;
  free.stop(true);
  await server.listen('127.0.0.1', port);
});
afterAll(() => server.close());

const question = (name: string, type: 'A' | 'AAAA' = 'A', edns = false): Buffer =>
  packet.encode({
    type: 'query',
    id: 7,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type, class: 'IN' }],
    ...(edns && {
      additionals: [
        { type: 'OPT', name: '.', udpPayloadSize: 4096, extendedRcode: 0, ednsVersion: 0, flags: 0, flag_do: false, options: [] },
      ],
    }),
  });

async function udp(bytes: Buffer): Promise<packet.DecodedPacket> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const socket = await Bun.udpSocket({
    connect: { hostname: '127.0.0.1', port },
    socket: { data: (_, reply) => resolve(Buffer.from(reply)) },
  });
  socket.send(bytes);
  const reply = packet.decode(await promise);
  socket.close();
  return reply;
}
const rcode = (reply: packet.DecodedPacket): number => (reply.flags ?? 0) & 15;
const addresses = (reply: packet.DecodedPacket) => (reply.answers ?? []).map((answer) => ('data' in answer ? answer.data : undefined));

test('answers over UDP with the id of the question, and says which names do not exist', async () => {
  const reply = await udp(question('web.n.svc.cluster.local'));
  expect([reply.id, rcode(reply), addresses(reply)]).toEqual([7, 0, ['10.96.0.9']]);
  expect(rcode(await udp(question('no.n.svc.cluster.local')))).toBe(3);
  const none = await udp(question('web.n.svc.cluster.local', 'AAAA'));
  expect([rcode(none), addresses(none)]).toEqual([0, []]);
});

test('a name outside the cluster does not exist here, and the answer comes at once', async () => {
  expect(rcode(await udp(question('example.com')))).toBe(3);
});

test('follows an alias inside the cluster', async () => {
  expect(addresses(await udp(question('ext.n.svc.cluster.local')))).toEqual(['web.n.svc.cluster.local', '10.96.0.9']);
});

test('an answer too long for plain UDP is cut and marked, with EDNS or over TCP it is whole', async () => {
  const short = await udp(question('big.n.svc.cluster.local'));
  expect((short.flags ?? 0) & packet.TRUNCATED_RESPONSE).toBe(packet.TRUNCATED_RESPONSE);
  expect(addresses(await udp(question('big.n.svc.cluster.local', 'A', true)))).toHaveLength(60);
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  let received = Buffer.alloc(0);
  const bytes = packet.streamEncode({ ...packet.decode(question('big.n.svc.cluster.local')), type: 'query' });
  const socket = await Bun.connect({
    hostname: '127.0.0.1',
    port,
    socket: {
      data(_, chunk) {
        received = Buffer.concat([received, chunk]);
        if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) resolve(received);
      },
    },
  });
  // In two pieces: a question over TCP need not come in one.
  socket.write(bytes.subarray(0, 5));
  socket.flush();
  await Bun.sleep(5);
  socket.write(bytes.subarray(5));
  expect(addresses(packet.decode((await promise).subarray(2)))).toHaveLength(60);
  socket.end();
});

test('garbage gets no answer and does no harm', async () => {
  const socket = await Bun.udpSocket({ connect: { hostname: '127.0.0.1', port }, socket: { data: () => {} } });
  for (const bytes of [Buffer.from(''), Buffer.from('x'), Buffer.alloc(600, 0xff), packet.encode({ type: 'response', id: 1 })])
    socket.send(bytes);
  socket.close();
  expect(addresses(await udp(question('web.n.svc.cluster.local')))).toEqual(['10.96.0.9']);
});

test('a name is not denied before the lists are complete: the question waits', async () => {
  const services: Service[] = [];
  const listed = Promise.withResolvers<void>();
  const late = new DnsServer(
    view(services, listed.promise),
    view<EndpointSlice>([]),
    new Logging({ sink: (bytes) => bytes.length }).logger('test'),
  );
  const free = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } });
  const latePort = free.port;
  free.stop(true);
  await late.listen('127.0.0.1', latePort);
  const replies: packet.DecodedPacket[] = [];
  const asked = Promise.withResolvers<void>();
  const socket = await Bun.udpSocket({
    connect: { hostname: '127.0.0.1', port: latePort },
    socket: {
      data(_, reply) {
        replies.push(packet.decode(Buffer.from(reply)));
        asked.resolve();
      },
    },
  });
  socket.send(question('web.n.svc.cluster.local'));
  await Bun.sleep(50);
  expect(replies).toEqual([]);
  services.push(service('web', { clusterIP: '10.96.0.9' }));
  listed.resolve();
  await asked.promise;
  expect(addresses(replies[0]!)).toEqual(['10.96.0.9']);
  socket.close();
  late.close();
});
