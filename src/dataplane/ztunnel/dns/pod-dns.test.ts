import { afterEach, expect, test } from 'bun:test';
import * as packet from 'dns-packet';
import { MeshRegistry, type Service, type Workload } from '../../../mesh/index.ts';
import { UdpSocket } from '../../../platform/net/index.ts';
import { Logging, Registry } from '../../../platform/telemetry/index.ts';
import { readConfig } from '../config.ts';
import { SocketBudget } from '../socket-budget.ts';
import { type DnsHost, MAX_QUERIES_OF_POD } from './pod-dns.ts';
import { DnsService } from './service.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A port nobody has on UDP and TCP of both loopback addresses. */
function freePort(): number {
  const probe = Bun.listen({ hostname: '::', port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  return port;
}

const service: Service = {
  name: 'web',
  namespace: 'shop',
  hostname: 'web.shop.svc.cluster.local',
  vips: [{ network: '', address: '10.96.0.1' }],
  ports: [],
  subjectAltNames: [],
  weightedWaypoints: [],
  ipFamilies: 'AUTOMATIC',
  canonical: false,
  visibility: 'PUBLIC',
};
// Of a workload only these are looked at.
const shopper = { name: 'shopper', namespace: 'shop', network: '', canonicalName: 'shopper', canonicalRevision: 'v1' } as Workload;
const info = { name: 'shopper', namespace: 'shop', serviceAccount: 'default' };
const known: DnsHost = { info, workload: shopper, whenKnown: (then) => then(shopper) };

interface Setup {
  readonly resolvConf?: string;
  readonly nameserverPort?: number;
  readonly maxSockets?: number;
  readonly env?: Record<string, string>;
}

function setUp({ resolvConf = '', nameserverPort = 9, maxSockets = 10_000, env = {} }: Setup = {}) {
  const config = readConfig({ PROXY_MODE: 'dedicated', PROXY_WORKLOAD_INFO: 'shop/shopper/default', ...env });
  const registry = new MeshRegistry();
  registry.insertService(service);
  const telemetry = new Registry();
  const port = freePort();
  let log = '';
  const logging = new Logging({
    sink: (bytes) => {
      log += new TextDecoder().decode(bytes);
      return bytes.length;
    },
  });
  const dns = new DnsService(
    { config, registry, telemetry, logging, sockets: new SocketBudget(maxSockets), random: Math.random },
    { ...config.dns!, port },
    { resolvConf, nameserverPort },
  );
  const open = (host = known) => {
    const pod = dns.open(host, undefined);
    closers.push(() => pod.close());
    return pod;
  };
  const limitHits = (limit: string): number => telemetry.counter('lateen_dns_limit_hits', '', ['limit']).labels({ limit }).value;
  return { port, open, limitHits, log: () => log };
}

/** A nameserver on loopback that answers each query as `answer` says. */
function nameserver(answer: (query: Buffer) => Buffer | undefined): number {
  const port = freePort();
  const socket: UdpSocket = new UdpSocket(
    { address: '127.0.0.1', port },
    {
      onDatagram: (query, from, address) => {
        const message = answer(Buffer.from(query));
        if (message) socket.send(message, from, address);
      },
      onUdpError: () => {},
    },
  );
  closers.push(() => socket.close());
  return port;
}

const question = (name: string, id = 7): Buffer => packet.encode({ type: 'query', id, questions: [{ name, type: 'A' }] });

function client(port: number, address = '127.0.0.1') {
  const received: Buffer[] = [];
  let wake = (): void => {};
  const socket = new UdpSocket(
    { address, port, connect: true },
    {
      onDatagram: (message) => {
        received.push(Buffer.from(message));
        wake();
      },
      onUdpError: () => wake(),
    },
  );
  closers.push(() => socket.close());
  return {
    received,
    send: (message: Uint8Array) => socket.send(message, port, address),
    async ask(message: Buffer): Promise<packet.DecodedPacket> {
      const next = new Promise<void>((resolve) => {
        wake = resolve;
      });
      socket.send(message, port, address);
      await next;
      return packet.decode(received.shift() ?? Buffer.alloc(0));
    },
  };
}

test('answers on both loopback addresses, on one without IPv6', async () => {
  const both = setUp();
  both.open();
  for (const address of ['127.0.0.1', '::1'])
    expect((await client(both.port, address).ask(question('web'))).answers).toMatchObject([{ data: '10.96.0.1', ttl: 30 }]);
  const one = setUp({ env: { IPV6_ENABLED: 'false' } });
  one.open();
  expect((await client(one.port).ask(question('web'))).answers).toHaveLength(1);
  await expect(client(one.port, '::1').ask(question('web'))).rejects.toThrow('Header must be 12 bytes');
});

test('the proxy of one workload strips the search list of its own file', async () => {
  const { port, open } = setUp({ resolvConf: 'search corp.example\n' });
  open();
  expect((await client(port).ask(question('web.corp.example'))).answers).toMatchObject([
    { type: 'CNAME', data: 'web' },
    { type: 'A', name: 'web', data: '10.96.0.1' },
  ]);
});

test('without a nameserver says so at the start, and fails what it would forward', async () => {
  const { port, open, log } = setUp();
  open();
  expect(packet.AUTHORITATIVE_ANSWER & ((await client(port).ask(question('www.example.com'))).flags ?? 0)).toBe(0);
  expect((await client(port).ask(question('www.example.com'))).flags! & 15).toBe(2);
  await Bun.sleep(0);
  expect(log()).toContain('problem="no usable nameserver: names that the mesh does not know cannot be resolved"');
  expect(log()).toContain('DNS queries of a pod fail\tpod="shop/shopper" queries=1 error="no nameserver is configured"');
});

test('a taken port is an error that leaves nothing behind', () => {
  const { port, open } = setUp();
  const blocker = Bun.listen({ hostname: '::1', port, socket: { data() {} } });
  expect(() => open()).toThrow('EADDRINUSE');
  blocker.stop(true);
  open();
});

test('pods share the descriptors there are, and get them back', async () => {
  const held: Buffer[] = [];
  const nameserverPort = nameserver((query) => {
    held.push(query);
    return undefined;
  });
  // An eighth of 800 sockets.
  const { port, open, limitHits } = setUp({ maxSockets: 800, resolvConf: 'nameserver 127.0.0.1\n', nameserverPort });
  const pod = open();
  const asker = client(port);
  for (let id = 0; id < 120; id++) asker.send(question(`n${id}.example`, id));
  while (asker.received.length < 20) await Bun.sleep(1);
  expect(limitHits('descriptors')).toBe(20);
  expect(pod.pending).toBe(100);
  for (const message of asker.received) expect(packet.decode(message).flags! & 15).toBe(2);
  pod.close();
  expect(pod.pending).toBe(0);
  open();
  const again = client(port);
  for (let id = 0; id < 50; id++) again.send(question(`m${id}.example`, id));
  while (held.length < 150) await Bun.sleep(1);
  expect(limitHits('descriptors')).toBe(20);
});

test('a pod that is not known has its queries held within the limit, then failed', async () => {
  let tell: (workload: Workload | undefined) => void = () => {};
  const { port, open, limitHits } = setUp();
  const pod = open({
    info,
    workload: undefined,
    whenKnown: (then) => {
      tell = then;
    },
  });
  const asker = client(port);
  for (let id = 0; id < MAX_QUERIES_OF_POD; id += 64) {
    for (let i = 0; i < 64; i++) asker.send(question('web', id + i));
    while (pod.pending < id + 64) await Bun.sleep(1);
  }
  expect((await asker.ask(question('web', 5000))).flags! & 15).toBe(2);
  expect(limitHits('queries-of-pod')).toBe(1);
  tell(undefined);
  expect(pod.pending).toBe(0);
  while (asker.received.length < 200) await Bun.sleep(1);
  expect(packet.decode(asker.received[0]!).flags! & 15).toBe(2);
});

test('queries that nobody has read yet when the proxy begins to drain are answered, those the mesh cannot tell too', async () => {
  const nameserverPort = nameserver((query) => {
    const { id, questions } = packet.decode(query);
    return packet.encode({
      type: 'response',
      id,
      questions,
      answers: [{ name: 'example.com', type: 'A', data: '192.0.2.1' }],
    } as packet.Packet);
  });
  const { port, open } = setUp({ resolvConf: 'nameserver 127.0.0.1', nameserverPort });
  const pod = open();
  const asker = client(port);
  expect((await asker.ask(question('web'))).answers).toHaveLength(1);
  asker.send(question('web', 8));
  asker.send(question('example.com', 9));
  pod.drain();
  // As the proxy does when it ends: after the last answer the sockets are closed, and a query is refused.
  while (pod.pending > 0) await Bun.sleep(1);
  pod.close();
  while (asker.received.length < 2) await Bun.sleep(1);
  const answers = asker.received.splice(0).map((message) => packet.decode(message));
  expect(answers.map(({ id }) => id).toSorted()).toEqual([8, 9]);
  await expect(asker.ask(question('web'))).rejects.toThrow('Header must be 12 bytes');
});
