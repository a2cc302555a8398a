import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import fs from 'node:fs';
import * as packet from 'dns-packet';
import { applyRedirection, removeRedirection } from '../../src/node/redirection.ts';
import { DEFAULT_POD_RULES } from '../../src/node/rules.ts';
import { dial, serve } from './apps.ts';
import { ask, askTcp, askUdp, edns, framed, Nameserver, reply, UdpClient, withResolvConf } from './dns-peers.ts';
import { ipBytes, LATEEN, Lab, type TestProxy, until } from './lab.ts';
import type { Pod } from './network.ts';

const lab = new Lab('zt-n', '10.78');
const CLIENT_IPV6 = 'fd00:78::10';
const SERVER_IPV6 = 'fd00:78::53';
const CAPTURE = { ...DEFAULT_POD_RULES, captureDns: true };
let proxy: TestProxy;
let client: Pod;
/** Its nameserver is a name in nobody's resolver: the address applications use. */
let nameserver: Nameserver;
let silent: Nameserver;
let server: Pod;
let deaf: Pod;

async function redirect(pod: Pod, change: (netns: number) => Promise<void>): Promise<void> {
  const netns = fs.openSync(`/run/netns/${pod.namespace}`, 'r');
  await change(netns);
  fs.closeSync(netns);
}

beforeAll(async () => {
  const node1 = lab.network.addNode(1);
  const node2 = lab.network.addNode(2);
  client = lab.network.addPod(node1, 'client', 10);
  lab.network.addIpv6(client, CLIENT_IPV6);
  server = lab.network.addPod(node2, 'nameserver', 53);
  deaf = lab.network.addPod(node2, 'deaf', 54);
  nameserver = new Nameserver(server, [server.ip]);
  silent = new Nameserver(deaf, [deaf.ip]);
  silent.script = () => [];
  await lab.start();
  lab.workload(client, 'client');
  const vip = (address: string) => [{ network: '', address: ipBytes(address) }];
  lab.service('web', { addresses: vip('10.96.0.1') });
  lab.service('db', {});
  for (const index of [1, 2, 3]) {
    const pod: Pod = { name: `db-${index}`, node: node2, namespace: '', ip: `10.78.2.10${index}` };
    lab.workload(pod, 'db', { services: { 'default/db.default.svc.cluster.local': {} } });
  }
  lab.service('outside', { hostname: 'api.example.com', addresses: vip('240.240.0.1') });
  lab.service('many', {
    hostname: '*.many.example',
    addresses: Array.from({ length: 200 }, (_, i) => ({ network: '', address: ipBytes(`240.1.0.${i}`) })),
  });
  await lab.push();
  proxy = lab.addProxy(node1, { RUST_LOG: 'info,access=debug,dns=debug' });
  proxy.program = withResolvConf(lab.directory, 'one', `nameserver ${server.ip}\noptions timeout:1\n`, LATEEN);
  proxy.start();
  expect(await proxy.add(client, 'client')).toBe('');
  await redirect(client, (netns) => applyRedirection(netns, CAPTURE));
  await proxy.ready();
}, 60_000);

afterAll(async () => {
  expect(proxy.process.exitCode).toBeNull();
  nameserver.close();
  silent.close();
  lab.stop();
});

afterEach(() => {
  nameserver.take();
  nameserver.script = ({ bytes }) => [reply(bytes, [], 3)];
});

const DNS_IP = '10.96.0.10';
const addressesOf = (message: packet.DecodedPacket) =>
  (message.answers ?? []).flatMap((each) => ('data' in each ? [String(each.data)] : [])).sort();

const codeOf = ({ flags = 0 }: packet.DecodedPacket): number => flags & 15;

async function resolve(query: Buffer, protocol: 'udp' | 'tcp' = 'udp', at = DNS_IP): Promise<packet.DecodedPacket> {
  const message = protocol === 'udp' ? await askUdp(client, at, query) : (await askTcp(client, at, [query]))[0];
  if (message === undefined) throw new Error('no answer');
  return packet.decode(message);
}

describe.each(['udp', 'tcp'] as const)('over %s', (protocol) => {
  test('services of the mesh are answered by the proxy, whoever was asked', async () => {
    const short = await resolve(ask('web'), protocol);
    expect(short).toMatchObject({ rcode: 'NOERROR', flag_aa: true, answers: [{ name: 'web', ttl: 30, data: '10.96.0.1' }] });
    expect(addressesOf(await resolve(ask('web.default.svc.cluster.local'), protocol))).toEqual(['10.96.0.1']);
    expect(addressesOf(await resolve(ask('api.example.com'), protocol))).toEqual(['240.240.0.1']);
    expect(addressesOf(await resolve(ask('db.default'), protocol))).toEqual(['10.78.2.101', '10.78.2.102', '10.78.2.103']);
    expect(await resolve(ask('web', 'AAAA'), protocol)).toMatchObject({ rcode: 'NOERROR', flag_aa: true, answers: [] });
    expect((await resolve(ask('api.example.com.default.svc.cluster.local'), protocol)).answers).toMatchObject([
      { type: 'CNAME', data: 'api.example.com' },
      { type: 'A', name: 'api.example.com', data: '240.240.0.1' },
    ]);
    expect(nameserver.take()).toEqual([]);
  });

  test('everything else reaches the nameserver from the pod, and its answer the client, octet by octet', async () => {
    const odd = (at: number, value: number, base: Buffer): Buffer => {
      base.writeUInt16BE(value, at < 0 ? base.length + at : at);
      return base;
    };
    const queries = [
      ask('www.example.com'),
      ask('_http._tcp.web.default.svc.cluster.local', 'SRV'),
      ask('web', 'TXT'),
      ask('web', 'ANY'),
      ask('web', 'MX', { additionals: [edns(1232)] }),
      odd(-4, 65, ask('web.default.svc.cluster.local')),
      odd(-4, 65_400, ask('web')),
      odd(-2, 3, ask('version.bind', 'TXT')),
      // Dynamic update (RFC 2136), two questions, none.
      odd(2, 5 << 11, ask('example.com', 'SOA', { authorities: [{ type: 'A', name: 'new.example.com', data: '1.2.3.4' }] })),
      ask('web', 'A', {
        questions: [
          { name: 'web', type: 'A' },
          { name: 'web', type: 'AAAA' },
        ],
      }),
      packet.encode({ type: 'query', id: 17 }),
      // A header and nonsense.
      Buffer.from('0011010000010000000000003f3f3f3f', 'hex'),
    ];
    const ids = new Set<number>();
    for (const query of queries) {
      const tail = Buffer.from(`an answer of no known form to ${query.length} octets`);
      nameserver.script = ({ bytes }) => [
        Buffer.concat([bytes.subarray(0, 2), Buffer.from([bytes[2]! | 0x80, 0x85]), bytes.subarray(4), tail]),
      ];
      const message = protocol === 'udp' ? await askUdp(client, DNS_IP, query) : (await askTcp(client, DNS_IP, [query]))[0];
      const [received, ...more] = nameserver.take();
      expect(more).toEqual([]);
      expect(received).toMatchObject({ protocol, source: protocol === 'udp' ? client.ip : '' });
      expect(received!.bytes.subarray(2).toString('hex')).toBe(query.subarray(2).toString('hex'));
      ids.add(received!.bytes.readUInt16BE(0));
      expect(message?.subarray(0, 2)).toEqual(query.subarray(0, 2));
      expect(message?.subarray(4).toString('hex')).toBe(Buffer.concat([query.subarray(4), tail]).toString('hex'));
    }
    // Ids that cannot be guessed: not the client's. Two of so many are the same in one of a thousand runs.
    expect(ids.size).toBeGreaterThan(queries.length - 2);
  });

  test('a pod reaches it over IPv6 as well', async () => {
    expect(addressesOf(await resolve(ask('web'), protocol, SERVER_IPV6))).toEqual(['10.96.0.1']);
  });
});

test('programs resolve through the C library: short names, and names of the nameserver', async () => {
  nameserver.script = ({ bytes }) => {
    const [question] = packet.decode(bytes).questions ?? [];
    const known = question?.name === 'www.example.org' && question.type === 'A';
    return [known ? reply(bytes, [{ type: 'A', name: 'www.example.org', data: '192.0.2.7' }]) : reply(bytes, [], 3)];
  };
  const file = `${lab.directory}/client.resolv.conf`;
  fs.writeFileSync(file, `search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver ${DNS_IP}\noptions ndots:5\n`);
  const getent = async (name: string): Promise<string> => {
    const command = `mount --bind ${file} /etc/resolv.conf && getent ahostsv4 ${name}`;
    const child = Bun.spawn(['ip', 'netns', 'exec', client.namespace, 'sh', '-c', command], { stdout: 'pipe', stderr: 'pipe' });
    return (await new Response(child.stdout).text()).split(' ')[0] ?? '';
  };
  expect(await getent('web')).toBe('10.96.0.1');
  expect(await getent('api.example.com')).toBe('240.240.0.1');
  expect(await getent('www.example.org')).toBe('192.0.2.7');
  expect(await getent('nowhere.example.org')).toBe('');
});

test('many queries on one TCP connection are each answered, in any order, also when the client has no more', async () => {
  const texts = ['one', 'two', 'three'];
  nameserver.script = ({ bytes }) => [reply(bytes, [{ type: 'TXT', name: 'x', data: packet.decode(bytes).questions![0]!.name }])];
  const peer = dial(client, DNS_IP, 53);
  await peer.connected.promise;
  const stream = Buffer.concat([...texts.map((text) => framed(ask(`${text}.example`, 'TXT'))), framed(ask('web'))]);
  let received = Buffer.alloc(0);
  peer.handle = (chunk) => {
    received = Buffer.concat([received, chunk]);
  };
  peer.send(stream.subarray(0, 1));
  peer.send(stream.subarray(1, 40));
  peer.send(stream.subarray(40));
  peer.finish();
  await peer.closed.promise;
  for (const text of texts) expect(received.includes(`${text}.example`)).toBe(true);
  expect(received.includes(Buffer.from(ipBytes('10.96.0.1')))).toBe(true);
});

test('a zone transfer passes with all its messages', async () => {
  nameserver.script = ({ bytes }) =>
    ['a', 'b', 'c'].map((name) => reply(bytes, [{ type: 'A', name: `${name}.example`, data: '192.0.2.1' }]));
  const messages = await askTcp(client, DNS_IP, [ask('example', 'AXFR')], 3);
  expect(messages.map((each) => packet.decode(each).answers?.[0]?.name)).toEqual(['a.example', 'b.example', 'c.example']);
});

describe('answers that are too long for UDP', () => {
  const long = (bytes: Buffer) =>
    reply(
      bytes,
      Array.from({ length: 30 }, () => ({ type: 'TXT', name: 'long.example', data: 'x'.repeat(60) }) as const),
    );

  test('of a nameserver that says so are fetched over TCP by the client', async () => {
    nameserver.script = ({ bytes, protocol }) => [protocol === 'udp' ? reply(bytes, [], packet.TRUNCATED_RESPONSE) : long(bytes)];
    expect(await resolve(ask('long.example', 'TXT'))).toMatchObject({ flag_tc: true, answers: [] });
    expect((await resolve(ask('long.example', 'TXT'), 'tcp')).answers).toHaveLength(30);
  });

  test('of a nameserver that takes no notice are cut to what the client takes', async () => {
    nameserver.script = ({ bytes }) => [long(bytes)];
    expect(await resolve(ask('long.example', 'TXT'))).toMatchObject({ flag_tc: true, questions: [{ name: 'long.example' }], answers: [] });
    expect((await resolve(ask('long.example', 'TXT', { additionals: [edns(4096)] }))).answers).toHaveLength(30);
  });

  test('of the mesh hold as many addresses as fit, over TCP all', async () => {
    const plain = await resolve(ask('a.many.example'));
    expect(plain).toMatchObject({ flag_tc: true, flag_aa: true });
    expect(plain.answers!.length).toBeGreaterThan(25);
    expect((await resolve(ask('a.many.example', 'A', { additionals: [edns(4096)] }))).answers).toHaveLength(200);
    expect((await resolve(ask('a.many.example'), 'tcp')).answers).toHaveLength(200);
  });
});

test('only the answer with the right id and question is believed', async () => {
  nameserver.script = ({ bytes }) => {
    const wrong = reply(bytes, [{ type: 'A', name: 'www.example.com', data: '6.6.6.6' }]);
    wrong.writeUInt16BE(wrong.readUInt16BE(0) ^ 1, 0);
    const other = reply(ask('other.example', 'A', { id: bytes.readUInt16BE(0) }), [
      { type: 'A', name: 'www.example.com', data: '6.6.6.7' },
    ]);
    return [
      wrong,
      other,
      Buffer.from('x'),
      Buffer.alloc(0),
      bytes,
      reply(bytes, [{ type: 'A', name: 'www.example.com', data: '192.0.2.1' }]),
    ];
  };
  expect(addressesOf(await resolve(ask('www.example.com')))).toEqual(['192.0.2.1']);
});

describe('a nameserver that does not answer', () => {
  test('costs its queries a failure, and others nothing', async () => {
    nameserver.script = () => [];
    const failures = proxy.metric('istio_dns_upstream_failures_total');
    const lost = resolve(ask('lost.example'));
    expect(addressesOf(await resolve(ask('web')))).toEqual(['10.96.0.1']);
    expect(await lost).toMatchObject({ rcode: 'SERVFAIL', questions: [{ name: 'lost.example' }], answers: [] });
    // Asked twice, each time under another id.
    expect(new Set(nameserver.take().map(({ bytes }) => bytes.readUInt16BE(0))).size).toBe(2);
    expect(proxy.metric('istio_dns_upstream_failures_total')).toBe(failures + 1);
    await until('the line', () => proxy.log.includes('DNS queries of a pod fail'));
    expect(proxy.log).toMatch(/warn\tdns\tDNS queries of a pod fail\tpod="default\/client" queries=1 error="[\d.]+: no answer in time"/);
  });

  test('over TCP neither', async () => {
    await nameserver.withoutTcp(async () => {
      const started = performance.now();
      expect(await resolve(ask('lost.example'), 'tcp')).toMatchObject({ rcode: 'SERVFAIL' });
      expect(performance.now() - started).toBeLessThan(2000);
    });
  });
});

test('queries are counted with their source, type and protocol', async () => {
  const labels = {
    request_query_type: 'srv',
    request_protocol: 'tcp',
    source_canonical_service: 'client',
    source_canonical_revision: 'v1',
  };
  const before = proxy.metric('istio_dns_requests_total', labels);
  await resolve(ask('web', 'SRV'), 'tcp');
  expect(proxy.metric('istio_dns_requests_total', labels)).toBe(before + 1);
  expect(proxy.metric('istio_dns_upstream_requests_total', labels)).toBe(before + 1);
  expect(proxy.metric('istio_dns_upstream_request_duration_seconds_count', labels)).toBe(before + 1);
  const local = { request_query_type: 'a', request_protocol: 'udp' };
  const upstream = proxy.metric('istio_dns_upstream_requests_total', local);
  const requests = proxy.metric('istio_dns_requests_total', local);
  await resolve(ask('web'));
  expect(proxy.metric('istio_dns_requests_total', local)).toBe(requests + 1);
  expect(proxy.metric('istio_dns_upstream_requests_total', local)).toBe(upstream);
  expect(proxy.log).toMatch(
    /debug\tdns\tquery\tsrc.workload="client" src.namespace="default" query="A" domain="web" protocol="udp" result="success" endpoints=1/,
  );
});

test('a pod that the control plane does not know gets no answers', async () => {
  const stranger = lab.network.addPod(client.node, 'stranger', 20);
  expect(await proxy.add(stranger, 'stranger')).toBe('');
  await redirect(stranger, (netns) => applyRedirection(netns, CAPTURE));
  const answers = await Promise.all(
    [ask('web'), ask('www.example.com'), ask('web', 'TXT')].map((query) => askUdp(stranger, DNS_IP, query)),
  );
  expect(answers.map((each) => each && codeOf(packet.decode(each)))).toEqual([2, 2, 2]);
  expect(nameserver.take()).toEqual([]);
  // Known in time, it is answered.
  const early = askUdp(stranger, DNS_IP, ask('web'));
  lab.workload(stranger, 'stranger');
  await lab.push();
  expect(addressesOf(packet.decode((await early)!))).toEqual(['10.96.0.1']);
  await proxy.remove(stranger);
}, 30_000);

test('a pod whose port is taken is not served half: it waits, and joins when the port is free', async () => {
  const taken = lab.network.addPod(client.node, 'taken', 21);
  lab.workload(taken, 'taken');
  await lab.push();
  const blocker = serve(taken, 15_053);
  expect(await proxy.add(taken, 'taken')).toContain('EADDRINUSE');
  expect(proxy.http(15_021, '/healthz/ready')).toContain('workload proxy manager');
  // Nothing of it was left listening.
  const early = dial(taken, '127.0.0.1', 15_001);
  expect(await early.closed.promise).toBeInstanceOf(Error);
  blocker.close();
  await proxy.ready();
  await redirect(taken, (netns) => applyRedirection(netns, CAPTURE));
  expect(addressesOf(packet.decode((await askUdp(taken, DNS_IP, ask('web')))!))).toEqual(['10.96.0.1']);
  await proxy.remove(taken);
}, 30_000);

describe('hostile clients', () => {
  test('that send garbage get nothing, or what the nameserver says, and harm nobody', async () => {
    nameserver.script = () => [];
    const noise = new UdpClient(client, DNS_IP);
    for (let length = 0; length < 200; length++) noise.send(crypto.getRandomValues(new Uint8Array(length)));
    // Answers are never answered: two proxies would talk for ever.
    noise.send(reply(ask('web'), []));
    const stream = dial(client, DNS_IP, 53);
    await stream.connected.promise;
    stream.send(crypto.getRandomValues(new Uint8Array(50_000)));
    expect(addressesOf(await resolve(ask('web')))).toEqual(['10.96.0.1']);
    stream.socket?.terminate();
    noise.close();
  });

  test('find their number of queries limited, and everybody else is answered', async () => {
    nameserver.script = () => [];
    const flood = new UdpClient(client, DNS_IP);
    let sent = 0;
    await until('the limit', async () => {
      // In portions, as the kernel's buffer is small.
      for (let i = 0; i < 200; i++) flood.send(ask(`lost-${sent++}.example`));
      await Bun.sleep(1);
      return sent % 1000 === 0 && proxy.metric('lateen_dns_limit_hits_total', { limit: 'queries-of-pod' }) > 0;
    });
    expect(addressesOf(await resolve(ask('web')))).toEqual(['10.96.0.1']);
    flood.close();
    nameserver.script = ({ bytes }) => [reply(bytes, [])];
    await until('room for more', async () => codeOf(await resolve(ask('www.example.com'))) === 0);
  }, 30_000);

  test('hold no more TCP connections than a pod may have, and idle ones not for ever', async () => {
    const peers = Array.from({ length: 80 }, () => dial(client, DNS_IP, 53));
    await Promise.all(peers.map((peer) => peer.connected.promise.catch(() => {})));
    await until('some to be refused', () => peers.filter(({ isClosed }) => isClosed).length === 16);
    // Octets that trickle in do not keep a connection.
    const started = performance.now();
    const trickle = setInterval(() => {
      for (const peer of peers) if (!peer.isClosed) peer.send(Buffer.from([1]));
    }, 500);
    await until('the others to be closed', () => peers.every(({ isEnded, isClosed }) => isEnded || isClosed), 20_000);
    clearInterval(trickle);
    expect(performance.now() - started).toBeGreaterThan(5000);
    expect(addressesOf(await resolve(ask('web'), 'tcp'))).toEqual(['10.96.0.1']);
    expect(proxy.metric('lateen_connection_faults_total')).toBe(0);
  }, 40_000);
});

test('the next nameserver takes over from one that does not answer, and keeps the place', async () => {
  const file = `nameserver ${deaf.ip}\nnameserver ${server.ip}\noptions timeout:1\n`;
  proxy.program = withResolvConf(lab.directory, 'two', file, LATEEN);
  await proxy.stop();
  // Nobody there: refused at once, not lost.
  expect(await askUdp(client, DNS_IP, ask('web'), 5000)).toBeUndefined();
  proxy.start();
  await proxy.ready();
  nameserver.script = ({ bytes }) => [reply(bytes, [{ type: 'A', name: 'www.example.com', data: '192.0.2.1' }])];
  silent.take();
  for (let i = 0; i < 3; i++) expect(addressesOf(await resolve(ask('www.example.com')))).toEqual(['192.0.2.1']);
  expect(silent.take()).toHaveLength(1);
  expect(nameserver.take()).toHaveLength(3);
  // One that cannot tell is not the last word either.
  nameserver.script = ({ bytes }) => [reply(bytes, [], 2)];
  silent.script = ({ bytes }) => [reply(bytes, [{ type: 'A', name: 'www.example.com', data: '192.0.2.2' }])];
  expect(addressesOf(await resolve(ask('www.example.com')))).toEqual(['192.0.2.2']);
  silent.script = ({ bytes }) => [reply(bytes, [], 5)];
  expect(codeOf(await resolve(ask('www.example.com')))).toBe(5);
}, 30_000);

test('a query under way when the proxy stops is answered, and the next proxy serves the same client', async () => {
  const asker = new UdpClient(client, DNS_IP);
  nameserver.script = () => [];
  silent.script = () => [];
  const pending = asker.ask(ask('www.example.com'));
  await until('the query to arrive', () => nameserver.received.length > 0);
  proxy.process.kill('SIGTERM');
  await until('the drain', () => proxy.log.includes('draining'));
  nameserver.script = ({ bytes }) => [reply(bytes, [{ type: 'A', name: 'www.example.com', data: '192.0.2.9' }])];
  expect(addressesOf(packet.decode((await pending)!))).toEqual(['192.0.2.9']);
  expect(await proxy.process.exited).toBe(0);
  proxy.start();
  await proxy.ready();
  expect(addressesOf(packet.decode((await asker.ask(ask('web')))!))).toEqual(['10.96.0.1']);
  asker.close();
}, 30_000);

test('a client that keeps its socket is answered by its nameserver again when the pod leaves the mesh', async () => {
  nameserver.script = ({ bytes }) => [reply(bytes, [{ type: 'A', name: 'web', data: '192.0.2.3' }])];
  const asker = new UdpClient(client, server.ip);
  expect(addressesOf(packet.decode((await asker.ask(ask('web')))!))).toEqual(['10.96.0.1']);
  await proxy.remove(client);
  await redirect(client, removeRedirection);
  expect(addressesOf(packet.decode((await asker.ask(ask('web')))!))).toEqual(['192.0.2.3']);
  expect(await proxy.add(client, 'client')).toBe('');
  await redirect(client, (netns) => applyRedirection(netns, CAPTURE));
  expect(addressesOf(await resolve(ask('web')))).toEqual(['10.96.0.1']);
  asker.close();
});

test('switched off, nothing listens', async () => {
  await proxy.stop();
  proxy.start({ ISTIO_META_DNS_CAPTURE: 'false' });
  await proxy.ready();
  expect(await askUdp(client, DNS_IP, ask('web'), 5000)).toBeUndefined();
  expect(proxy.http(15_020, '/metrics')).not.toContain('istio_dns');
  await proxy.stop();
  proxy.start({ PREFERED_SERVICE_NAMESPACE: 'other', IPV6_ENABLED: 'false' });
  await proxy.ready();
  expect(addressesOf(await resolve(ask('web')))).toEqual(['10.96.0.1']);
}, 30_000);
