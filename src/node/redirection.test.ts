import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import fs from 'node:fs';
import {
  closeDescriptor,
  countEstablished,
  inNetworkNamespace,
  libc,
  listenTcp,
  openTcp,
  runNft,
  startConnect,
  TcpState,
  tcpState,
} from '../platform/linux/index.ts';
import { waitForDrain } from './drain.ts';
import { DEFAULT_PROBE_RULES, HOST_TABLE, HostProbeRules } from './probe-rules.ts';
import { applyRedirection, inspectRedirection, removeRedirection } from './redirection.ts';
import { DEFAULT_POD_RULES, PROBE_SNAT_IPV4, podRules } from './rules.ts';
import { NODE_IP, NODE_IP6, POD_IP, POD_IP6, type TestConnection, TestNetwork } from './testing.ts';

const PROXY_MARK = 0x539;
const DRAINING = { ...DEFAULT_POD_RULES, draining: true };
// Namespaces and nft take long on a busy machine.
setDefaultTimeout(60_000);
let net: TestNetwork;

beforeEach(() => {
  net = new TestNetwork();
});
afterEach(() => net.close());

/** An application in the pod, one on the node, and the proxy's three listeners. */
function serveAll() {
  net.serve(net.pod, 'app', 8080);
  net.serve(net.node, 'remote', 9000);
  for (const [name, port] of [
    ['outbound', 15001],
    ['plaintext', 15006],
    ['hbone', 15008],
  ] as const) {
    net.serve(net.pod, name, port);
  }
}

const FAMILIES = [
  [4, NODE_IP, POD_IP],
  [6, NODE_IP6, POD_IP6],
] as const;

test('redirects inbound connections to 15006 and outbound ones to 15001, with their original destination, in both address families', async () => {
  serveAll();
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  expect((await net.connect(net.node, POD_IP, 8080)).greeting).toBe(`plaintext ${NODE_IP} ${POD_IP}:8080`);
  expect((await net.connect(net.pod, NODE_IP, 9000)).greeting).toBe(`outbound ${POD_IP} ${NODE_IP}:9000`);
  expect((await net.connect(net.node, POD_IP6, 8080)).greeting).toBe(`plaintext ${NODE_IP6} ${POD_IP6}:8080`);
  expect((await net.connect(net.pod, NODE_IP6, 9000)).greeting).toBe(`outbound ${POD_IP6} ${NODE_IP6}:9000`);
});

test('lets tunnels reach 15008, and the pod reach itself, without redirecting them', async () => {
  serveAll();
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  expect((await net.connect(net.node, POD_IP, 15008)).greeting).toStartWith('hbone ');
  expect((await net.connect(net.pod, POD_IP, 8080)).greeting).toStartWith('app ');
  expect((await net.connect(net.pod, '127.0.0.1', 8080)).greeting).toStartWith('app ');
  expect((await net.connect(net.pod, '::1', 8080)).greeting).toStartWith('app ');
  expect((await net.connect(net.pod, POD_IP6, 8080)).greeting).toStartWith('app ');
});

test('has packets translated that the kernel finds outside the window of their connection', async () => {
  const setting = () =>
    inNetworkNamespace(net.pod, () => fs.readFileSync('/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal', 'utf8').trim());
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  expect(setting()).toBe('1');
});

test('does not redirect what the proxy itself opens', async () => {
  serveAll();
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  expect((await net.connect(net.pod, NODE_IP, 9000, { mark: PROXY_MARK })).greeting).toStartWith('remote ');
});

test.each(FAMILIES)(
  'brings the answers of the application back to the proxy when it uses the address of the client as source (IPv%i)',
  async (_, client, pod) => {
    serveAll();
    await applyRedirection(net.pod, DEFAULT_POD_RULES);
    const connection = await net.connect(net.pod, pod, 8080, { mark: PROXY_MARK, from: client });
    expect(connection.greeting).toStartWith(`app ${client} `);
    expect(await connection.echo('there and back')).toBe('there and back');
  },
);

test.each(FAMILIES)(
  'keeps a client’s connection and the proxy’s in its name apart when both have the same port (IPv%i)',
  async (_, client, pod) => {
    serveAll();
    await applyRedirection(net.pod, DEFAULT_POD_RULES);
    const fromClient = (fromPort: number) => net.connect(net.node, pod, 8080, { fromPort });
    const fromProxy = (fromPort: number) => net.connect(net.pod, pod, 8080, { mark: PROXY_MARK, from: client, fromPort });
    const open: TestConnection[] = [];
    for (const [port, order] of [
      [20_001, [fromClient, fromProxy]],
      [20_002, [fromProxy, fromClient]],
    ] as const) {
      for (const connect of order) {
        const connection = await connect(port);
        expect(connection.greeting).toStartWith(connect === fromClient ? `plaintext ${client} ` : `app ${client} `);
        open.push(connection);
      }
    }
    for (const connection of open) expect(await connection.echo('still itself')).toBe('still itself');
  },
);

test('breaks no connection that was open before, while rules come, drain and go', async () => {
  serveAll();
  const inbound = await net.connect(net.node, POD_IP, 8080);
  const outbound = await net.connect(net.pod, NODE_IP, 9000);
  const check = async (step: string) => {
    expect(await inbound.echo(step)).toBe(step);
    expect(await outbound.echo(step)).toBe(step);
  };
  expect([inbound.greeting, outbound.greeting]).toEqual([`app ${NODE_IP} -`, `remote ${POD_IP} -`]);
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  await check('applied');
  await applyRedirection(net.pod, { ...DEFAULT_POD_RULES, captureDns: true });
  await check('replaced');
  await applyRedirection(net.pod, DRAINING);
  await check('draining');
  await removeRedirection(net.pod);
  await check('removed');
});

test('sends new connections directly while draining, and keeps those through the proxy', async () => {
  serveAll();
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  const inbound = await net.connect(net.node, POD_IP, 8080);
  const outbound = await net.connect(net.pod, NODE_IP, 9000);
  const spoofed = await net.connect(net.pod, POD_IP, 8080, { mark: PROXY_MARK, from: NODE_IP });
  expect([inbound.greeting.split(' ')[0], outbound.greeting.split(' ')[0]]).toEqual(['plaintext', 'outbound']);
  await applyRedirection(net.pod, DRAINING);
  for (const connection of [inbound, outbound, spoofed]) expect(await connection.echo('still here')).toBe('still here');
  expect((await net.connect(net.node, POD_IP, 8080)).greeting).toStartWith('app ');
  expect((await net.connect(net.pod, NODE_IP, 9000)).greeting).toStartWith('remote ');
});

test('waits for the connections through the proxy, up to the limit, until aborted', async () => {
  serveAll();
  const signal = new AbortController().signal;
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  const connection = await net.connect(net.node, POD_IP, 8080);
  await applyRedirection(net.pod, DRAINING);
  expect(countEstablished(net.pod, new Set([15006]))).toBe(1);
  expect(await waitForDrain(net.pod, { limitMs: 50, quietMs: 0, signal })).toBe(1);
  const abort = new AbortController();
  const waiting = waitForDrain(net.pod, { quietMs: 0, signal: abort.signal });
  abort.abort();
  expect(await waiting).toBeUndefined();
  const drained = waitForDrain(net.pod, { quietMs: 0, signal });
  connection.socket.end();
  expect(await drained).toBe(0);
});

test('leaves nothing behind when removed, and removing twice is no error', async () => {
  const before = net.state();
  await applyRedirection(net.pod, { ...DEFAULT_POD_RULES, captureDns: true, virtualInterfaces: ['docker0'] });
  expect(net.state()).not.toBe(before);
  await removeRedirection(net.pod);
  expect(net.state()).toBe(before);
  await removeRedirection(net.pod);
  expect(await inspectRedirection(net.pod, DEFAULT_POD_RULES)).toBe('none');
});

test('changes nothing when the same rules are in force, and repairs damaged ones', async () => {
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  const before = net.inPod('nft', '-a', 'list', 'ruleset');
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  expect(net.inPod('nft', '-a', 'list', 'ruleset')).toBe(before);
  await runNft('flush chain inet istio-ambient-nat output', net.pod);
  expect(await inspectRedirection(net.pod, DEFAULT_POD_RULES)).toBe('different');
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  expect(await inspectRedirection(net.pod, DEFAULT_POD_RULES)).toBe('current');
  net.inPod('ip', 'rule', 'del', 'pref', '32764');
  expect(await inspectRedirection(net.pod, DEFAULT_POD_RULES)).toBe('different');
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  expect(await inspectRedirection(net.pod, DEFAULT_POD_RULES)).toBe('current');
});

test('works in a pod without IPv6', async () => {
  net.inPod('sysctl', '-q', '-w', 'net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.lo.disable_ipv6=1');
  const before = net.state();
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  net.serve(net.pod, 'plaintext', 15006, '0.0.0.0');
  expect((await net.connect(net.node, POD_IP, 8080)).greeting).toStartWith('plaintext ');
  await removeRedirection(net.pod);
  expect(net.state()).toBe(before);
});

test('leaves inbound plain text to the application of a pod that bypasses inbound capture, and still captures its outbound', async () => {
  serveAll();
  await applyRedirection(net.pod, { ...DEFAULT_POD_RULES, bypassInbound: true });
  expect((await net.connect(net.node, POD_IP, 8080)).greeting).toStartWith('app ');
  expect((await net.connect(net.pod, NODE_IP, 9000)).greeting).toStartWith('outbound ');
});

test('lets probes of the node through to the application, only while the pod is in the set', async () => {
  serveAll();
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  const probes = new HostProbeRules(DEFAULT_PROBE_RULES, net.node);
  await probes.set('uid-1', [POD_IP, POD_IP6]);
  expect((await net.connect(net.node, POD_IP, 8080)).greeting).toStartWith(`app ${PROBE_SNAT_IPV4} `);
  expect((await net.connect(net.node, POD_IP6, 8080)).greeting).toStartWith('app fd16:9254:7127:1337:ffff:ffff:ffff:ffff ');
  await probes.set('uid-1', []);
  expect((await net.connect(net.node, POD_IP, 8080)).greeting).toStartWith('plaintext ');
  await runNft(`delete table inet ${HOST_TABLE}`, net.node);
});

test('takes only the sockets of the kubelet’s user for probes', async () => {
  serveAll();
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  await new HostProbeRules({ ...DEFAULT_PROBE_RULES, kubeletUid: 4711 }, net.node).set('uid-1', [POD_IP]);
  expect((await net.connect(net.node, POD_IP, 8080)).greeting).toStartWith('plaintext ');
});

describe.each([
  ['IPv4', NODE_IP, POD_IP],
  ['IPv6', NODE_IP6, POD_IP6],
] as const)('over %s, where the kernel remembers a connection from before', (_, node, pod) => {
  const PORT = 41_000;
  const outbound = () => net.connect(net.pod, node, 9000, { fromPort: PORT });
  const inbound = () => net.connect(net.node, pod, 8080, { fromPort: PORT });

  test('takes a new connection with the same addresses and ports to the proxy when the pod comes in again', async () => {
    serveAll();
    const before = [await outbound(), await inbound()];
    await applyRedirection(net.pod, DEFAULT_POD_RULES);
    for (const connection of before) expect(await connection.echo('seen by the rules')).toBe('seen by the rules');
    await removeRedirection(net.pod);
    net.vanish(...before);
    await applyRedirection(net.pod, DEFAULT_POD_RULES);
    expect((await outbound()).greeting).toStartWith('outbound ');
    expect((await inbound()).greeting).toStartWith('plaintext ');
  });

  test('takes it to the proxy after a drain that was given up', async () => {
    serveAll();
    await applyRedirection(net.pod, DEFAULT_POD_RULES);
    await applyRedirection(net.pod, DRAINING);
    const meanwhile = [await outbound(), await inbound()];
    expect(meanwhile.map(({ greeting }) => greeting.split(' ')[0])).toEqual(['remote', 'app']);
    net.vanish(...meanwhile);
    await applyRedirection(net.pod, DEFAULT_POD_RULES);
    expect((await outbound()).greeting).toStartWith('outbound ');
    expect((await inbound()).greeting).toStartWith('plaintext ');
  });

  test('takes it to the proxy when the rules first saw an old connection by a packet of its peer', async () => {
    serveAll();
    const before = await outbound();
    await applyRedirection(net.pod, DEFAULT_POD_RULES);
    net.announce('the peer speaks first');
    expect(await before.line()).toBe('the peer speaks first');
    await removeRedirection(net.pod);
    net.vanish(before);
    await applyRedirection(net.pod, DEFAULT_POD_RULES);
    expect((await outbound()).greeting).toStartWith('outbound ');
  });

  test('refuses a new connection that meets one that passed around the proxy and ended unseen while the rules were in force', async () => {
    serveAll();
    const before = [await outbound(), await inbound()];
    await applyRedirection(net.pod, DEFAULT_POD_RULES);
    for (const connection of before) expect(await connection.echo('seen by the rules')).toBe('seen by the rules');
    net.vanish(...before);
    await expect(outbound()).rejects.toThrow('ECONNREFUSED');
    await expect(inbound()).rejects.toThrow('ECONNREFUSED');
    expect((await net.connect(net.pod, node, 9000)).greeting).toStartWith('outbound ');
    expect((await net.connect(net.node, pod, 8080)).greeting).toStartWith('plaintext ');
  });

  test('refuses it, too, when the kernel holds it for an answer of the old one', async () => {
    serveAll();
    const before = await outbound();
    await applyRedirection(net.pod, DEFAULT_POD_RULES);
    net.announce('the peer speaks first');
    expect(await before.line()).toBe('the peer speaks first');
    net.vanish(before);
    await expect(outbound()).rejects.toThrow('ECONNREFUSED');
  });

  test('answers queries of a resolver that keeps its port through the proxy once DNS is captured, and answers on when it no longer is', async () => {
    await net.serveUdp(net.node, 'nameserver', 53, node);
    await net.serveUdp(net.pod, 'proxy', 15053, node.includes(':') ? '::1' : '127.0.0.1');
    await applyRedirection(net.pod, DEFAULT_POD_RULES);
    const ask = await net.askUdp(net.pod, node, 53);
    expect(await ask()).toBe('nameserver');
    await applyRedirection(net.pod, { ...DEFAULT_POD_RULES, captureDns: true });
    expect(await ask()).toBe('proxy');
    await applyRedirection(net.pod, DEFAULT_POD_RULES);
    expect(await ask()).toBe('proxy');
    await removeRedirection(net.pod);
    expect(await ask()).toBe('nameserver');
  });
});

test('cuts no connection through the proxy when rules are repaired, changed, or written by an agent that ended before it was done', async () => {
  serveAll();
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  const open = [
    await net.connect(net.node, POD_IP, 8080),
    await net.connect(net.pod, NODE_IP, 9000),
    await net.connect(net.pod, POD_IP, 8080, { mark: PROXY_MARK, from: NODE_IP }),
    await net.connect(net.node, POD_IP6, 8080),
    await net.connect(net.pod, NODE_IP6, 9000),
    await net.connect(net.pod, POD_IP6, 8080, { mark: PROXY_MARK, from: NODE_IP6 }),
  ];
  expect(open.map(({ greeting }) => greeting.split(' ')[0])).toEqual(['plaintext', 'outbound', 'app', 'plaintext', 'outbound', 'app']);
  const check = async (step: string) => {
    for (const connection of open) expect(await connection.echo(step)).toBe(step);
  };
  await runNft('flush chain inet istio-ambient-nat output', net.pod);
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  await check('repaired');
  await applyRedirection(net.pod, { ...DEFAULT_POD_RULES, captureDns: true, virtualInterfaces: ['br0'] });
  await check('changed');
  await runNft(podRules(DEFAULT_POD_RULES).script, net.pod);
  expect(await inspectRedirection(net.pod, DEFAULT_POD_RULES)).toBe('different');
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  await check('written again');
  await applyRedirection(net.pod, DRAINING);
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  await check('drain given up');
});

test('sends a connection directly when the rules are gone, although translation goes on for other rules of the pod', async () => {
  serveAll();
  await runNft('table ip own {\n chain out {\n type nat hook output priority 0;\n }\n}\n', net.pod);
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  const through = await net.connect(net.pod, NODE_IP, 9000, { fromPort: 41_000 });
  expect(through.greeting).toStartWith('outbound ');
  net.vanish(through);
  await removeRedirection(net.pod);
  expect((await net.connect(net.pod, NODE_IP, 9000, { fromPort: 41_000 })).greeting).toStartWith('remote ');
});

test('gives connections that wait for a proxy that stops to its successor', async () => {
  await applyRedirection(net.pod, DEFAULT_POD_RULES);
  const listen = () => listenTcp({ address: '0.0.0.0', port: 15008, networkNamespace: net.pod, reusePort: true });
  const [old, next] = [listen(), listen()];
  const clients: number[] = [];
  for (let i = 0; i < 40; i++) {
    const fd = openTcp({ family: 4, networkNamespace: net.node });
    startConnect(fd, POD_IP, 15008);
    clients.push(fd);
  }
  const deadline = performance.now() + 5_000;
  while (clients.some((fd) => tcpState(fd) !== TcpState.ESTABLISHED) && performance.now() < deadline) await Bun.sleep(5);
  closeDescriptor(old);
  const accepted: number[] = [];
  while (accepted.length < clients.length && performance.now() < deadline) {
    const fd = libc.accept4(next, null, null, 0);
    if (fd >= 0) accepted.push(fd);
    else await Bun.sleep(5);
  }
  expect(accepted.length).toBe(clients.length);
  for (const fd of [...accepted, ...clients, next]) closeDescriptor(fd);
});

test('captures what comes in from a virtual interface, and refuses to forward what met a connection from before', async () => {
  serveAll();
  const vm = net.addVirtualMachine('br0', '10.202.0');
  const connect = () => net.connect(vm, NODE_IP, 9000, { fromPort: 41_000 });
  const options = { ...DEFAULT_POD_RULES, virtualInterfaces: ['br0'] };
  const before = await connect();
  expect(before.greeting).toStartWith('remote 10.202.0.2 ');
  await applyRedirection(net.pod, options);
  expect(await before.echo('seen by the rules')).toBe('seen by the rules');
  expect((await net.connect(vm, NODE_IP, 9000)).greeting).toBe(`outbound 10.202.0.2 ${NODE_IP}:9000`);
  net.vanish(before);
  await expect(connect()).rejects.toThrow('ECONNREFUSED');
  await applyRedirection(net.pod, DRAINING);
  await applyRedirection(net.pod, options);
  expect((await connect()).greeting).toStartWith('outbound ');
});
